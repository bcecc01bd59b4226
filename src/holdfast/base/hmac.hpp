// HMAC-SHA-256 (RFC 2104): proof that whoever made a text knew the key. Compare what was presented with
// what was made by equal_in_constant_time (digest.hpp), never by ==.
//
//   const Sha256Digest mac = hmac_sha256(secret, {timestamp, ".", body});   // parts, joined without a copy
//
// Thread-safety: pure functions.
#pragma once

#include <initializer_list>
#include <string_view>

#include "holdfast/base/digest.hpp"

namespace holdfast {

/// Of the parts, one behind the other. A key of any length; fewer than 32 bytes are worth less.
Sha256Digest hmac_sha256(std::string_view key, std::initializer_list<std::string_view> parts);

inline Sha256Digest hmac_sha256(std::string_view key, std::string_view bytes) {
  return hmac_sha256(key, {bytes});
}

}  // namespace holdfast
