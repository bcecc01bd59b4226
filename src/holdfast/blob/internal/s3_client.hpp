// One request to S3: addressed, signed anew for every try, sent through the pipeline, and its refusals told
// apart: those that pass are tried again, those of the object are given to the caller, all others are Errors.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "holdfast/blob/s3_store.hpp"
#include "holdfast/http/client.hpp"
#include "holdfast/resilience/pipeline.hpp"

namespace holdfast::blob {

struct S3Request {
  http::Method method = http::Method::get;
  std::string key;  ///< with the prefix; empty: the bucket itself
  std::vector<std::pair<std::string, std::string>> query = {};
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::string body = {};
  std::string body_sha256 = {};  ///< computed unless given
  std::size_t max_answer_bytes = 64 * 1024;
  /// A 200 whose body may be an <Error> all the same (CompleteMultipartUpload).
  bool late_error = false;
};

class S3Client {
 public:
  S3Client(http::Client& client, resilience::Pipeline& pipeline, S3Options options);

  /// The answer, of a status 2xx, 404, 412 or 416. Throws Error(unavailable) and what the pipeline throws.
  http::ClientResponse call(const Context& ctx, S3Request request);

  const S3Options& options() const noexcept { return options_; }

 private:
  void address(const S3Request& request, http::ClientRequest& sending) const;
  void sign_for_now(const Context& ctx, const S3Request& request, http::ClientRequest& sending) const;

  http::Client& client_;
  resilience::Pipeline& pipeline_;
  const S3Options options_;
  std::string scheme_;
  std::string host_;  // as it stands in the Host header
};

}  // namespace holdfast::blob
