// Conditional GET (RFC 9110, 13): an answer gets a strong ETag made of its bytes, unless the handler
// set one; a client that has it already (If-None-Match) gets 304 and no body. Saves the transfer, not
// the work; a handler that knows its version better sets the ETag itself.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "holdfast/http/route.hpp"

namespace holdfast::http {

struct ConditionalOptions {
  std::size_t max_bytes = 4 * 1024 * 1024;  ///< larger bodies get no ETag: hashing would hold up the loop
};

/// Must stand inside compression(): the tag is that of the uncompressed bytes.
Middleware conditional_get(ConditionalOptions options = {});

/// "\"<32 hex digits>\"": a strong ETag of `bytes`, half a SHA-256.
std::string etag_of(std::string_view bytes);

/// Whether `list` (an If-Match or If-None-Match header, or "*") names `etag`. Weak comparison ignores W/;
/// strong comparison, which If-Match asks for, never matches a weak tag.
enum class EtagComparison : std::uint8_t { weak, strong };
bool names_etag(std::string_view list, std::string_view etag, EtagComparison comparison) noexcept;

}  // namespace holdfast::http
