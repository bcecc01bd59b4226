// What makes two requests the same: the scope of a key, and the fingerprint of a request's content.
// Requests that mean the same get one fingerprint: order of query parameters and JSON members, white
// space and the notation of numbers (1, 1.0, 1e0) do not count.
//
// Thread-safety: pure functions.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "holdfast/base/digest.hpp"
#include "holdfast/http/request.hpp"
#include "holdfast/runtime/context.hpp"

namespace holdfast::idempotency {

/// The first half of a SHA-256 over tenant, principal, method, route and key: 128 bits name a record.
using Scope = std::array<std::uint8_t, 16>;

Scope scope_of(const Principal& principal, const http::Request& request, std::string_view key);

/// SHA-256 of method, route, path parameters, query, media type and body. A body that says it is JSON is
/// taken in canonical form where it is JSON within 64 levels, else byte for byte.
/// Throws Error(invalid_argument) where the query string is malformed.
Sha256Digest fingerprint_of(const http::Request& request);

/// The canonical form of `body`; `body` itself where it is not JSON.
std::string canonical_body(std::string_view body);

}  // namespace holdfast::idempotency
