// AWS Signature Version 4 (AWS General Reference, "Signing AWS API requests"), headers only, as a pure
// function of the request and the time. In-house because it is forty lines on our HMAC, and the SDK is not.
//
//   const Signed s = sign(request, {"AKIA…", "secret"}, {"eu-central-1", "s3"}, now);
//   headers.push_back({"Authorization", s.authorization});
//
// Thread-safety: pure functions.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "holdfast/base/clock.hpp"

namespace holdfast::blob {

struct SignedRequest {
  std::string method;
  std::string path;  ///< escaped once by escape_path(), as it is sent
  /// Not escaped; any order.
  std::vector<std::pair<std::string, std::string>> query;
  /// All that are to be signed: "host" and "x-amz-date" among them. Any order, names in any case.
  std::vector<std::pair<std::string, std::string>> headers;
  std::string payload_sha256;  ///< hex
};

struct SigningKey {
  std::string_view access_key_id;
  std::string_view secret_access_key;
};

struct SigningScope {
  std::string_view region;
  std::string_view service;
};

struct Signed {
  std::string authorization;  ///< the header's value
  std::string signature;      ///< hex: the end of it
};

Signed sign(const SignedRequest& request, const SigningKey& key, const SigningScope& scope, WallTime now);

/// "20130524T000000Z", the x-amz-date header.
std::string amz_date(WallTime now);

/// RFC 3986: all but A-Z a-z 0-9 - . _ ~ becomes %XX; '/' stays in a path.
std::string escape_path(std::string_view path);
std::string escape_query(std::string_view text);
/// "a=1&b=", escaped and in the order that is signed.
std::string canonical_query(std::vector<std::pair<std::string, std::string>> query);

}  // namespace holdfast::blob
