// Blobs in S3, and in what speaks its API (MinIO, Ceph, R2): HTTP requests signed with Signature Version 4,
// each tried again by the pipeline as it says.
//
//   S3Store store(client, dependencies.add("blobs"), random,
//                 {.endpoint = "https://s3.eu-central-1.amazonaws.com", .region = "eu-central-1",
//                  .bucket = "shop", .access_key_id = "AKIA…", .secret_access_key = Secret("…")});
//
// What fits into a part is one PUT; more is a multipart upload, a part at a time; a get asks for a range at a
// time and goes on where it broke off. So at most a part or two are in memory, however large the blob. A put
// that was tried twice because its answer got lost is told from another's by a mark in its metadata.
// Give the bucket a rule that aborts unfinished uploads: those of killed processes stay there otherwise.
#pragma once

#include <memory>
#include <string>

#include "holdfast/base/random.hpp"
#include "holdfast/blob/store.hpp"
#include "holdfast/config/secret.hpp"

namespace holdfast::http {
class Client;
}
namespace holdfast::resilience {
class Pipeline;
}

namespace holdfast::blob {

struct S3Options {
  std::string endpoint;  ///< "https://host[:port]", without a path
  std::string region = "us-east-1";
  std::string bucket;
  std::string access_key_id;
  config::Secret secret_access_key;
  config::Secret session_token;  ///< of temporary credentials; none if empty
  /// Whether the bucket stands in the path (https://host/bucket/name), as MinIO likes it, or in the host.
  bool path_style = false;
  std::string prefix;  ///< before every name: several users of a bucket; at most 256 bytes, "shop/"
  /// Of a part and a range; AWS takes 5 MiB to 5 GiB, and 10,000 parts: 8 MiB is up to 78 GiB a blob.
  std::size_t part_bytes = 8 * 1024 * 1024;
};

class S3Store final : public Store {
 public:
  /// All are borrowed. The pipeline's time of a try must suffice for a part. Throws Error(invalid_argument,
  /// "blob_store_settings_invalid") naming the setting. Later, Error(unavailable): what the pipeline and the
  /// client say; "blob_store_refused" where the store refuses us (keys, clock, region, bucket; its own words
  /// are in the cause).
  S3Store(http::Client& client, resilience::Pipeline& pipeline, Random& random, S3Options options);
  ~S3Store() override;

  Info put(const Context& ctx, std::string_view name, Reader& bytes, const PutOptions& options = {}) override;
  Info get(const Context& ctx, std::string_view name, const Sink& sink,
           const GetOptions& options = {}) override;
  std::optional<Info> head(const Context& ctx, std::string_view name) override;
  void remove(const Context& ctx, std::string_view name) override;
  Page list(const Context& ctx, std::string_view prefix, std::string_view after = {},
            std::size_t limit = kMaxPage) override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace holdfast::blob
