// Where large payloads are kept: the settings below `blob`. (Part of settings.hpp.)
#pragma once

#include <cstdint>
#include <string>

#include "holdfast/base/describe.hpp"
#include "holdfast/base/rules.hpp"
#include "holdfast/config/secret.hpp"
#include "holdfast/config/units.hpp"

namespace holdfast::orders {

enum class BlobKind : std::uint8_t {
  files,  ///< a folder, which all processes must share
  s3,     ///< S3, and what speaks its API
};
HOLDFAST_DESCRIBE_ENUM(BlobKind, files, s3)

struct S3Settings {
  std::string endpoint = "https://s3.us-east-1.amazonaws.com";
  std::string region = "us-east-1";
  std::string bucket;
  std::string access_key_id;
  config::Secret secret_access_key;
  config::Secret session_token;
  bool path_style = false;
  std::string prefix;
  std::string ca_file;

  static constexpr auto rules() {
    return holdfast::rules(
        field<&S3Settings::endpoint>().length(8, 512).doc("https://host[:port], without a path."),
        field<&S3Settings::region>().length(1, 64).doc("As requests are signed for."),
        field<&S3Settings::bucket>().length(0, 255).doc("It must be there."),
        field<&S3Settings::access_key_id>().length(0, 255).doc("Who we are there."),
        field<&S3Settings::secret_access_key>().doc("Best as `file:/run/secrets/s3`."),
        field<&S3Settings::session_token>().doc("Of temporary credentials."),
        field<&S3Settings::path_style>().doc("https://host/bucket/name, as MinIO likes it."),
        field<&S3Settings::prefix>().length(0, 256).doc("Before every name: several users of a bucket."),
        field<&S3Settings::ca_file>().length(0, 4096).doc("PEM; empty: the system's authorities."));
  }
};
HOLDFAST_DESCRIBE(S3Settings, (endpoint, region, bucket, access_key_id, secret_access_key, session_token,
                               path_style, prefix, ca_file))

struct BlobSettings {
  BlobKind kind = BlobKind::files;
  std::string folder = "blobs";
  config::ByteSize max_inline = config::kibibytes(256);
  S3Settings s3;

  static constexpr auto rules() {
    return holdfast::rules(
        field<&BlobSettings::kind>().doc(
            "Where events' payloads over max_inline go on their way to an outside broker; docs/blob.md."),
        field<&BlobSettings::folder>().length(1, 4096).doc(
            "Of files; below the data folder unless absolute. All processes must see the same."),
        field<&BlobSettings::max_inline>().doc("Larger payloads leave their messages; at most 1MiB."));
  }
};
HOLDFAST_DESCRIBE(BlobSettings, (kind, folder, max_inline, s3))

}  // namespace holdfast::orders
