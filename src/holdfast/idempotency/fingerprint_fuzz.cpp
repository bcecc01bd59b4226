// Any bytes as the body and query of a request: never a crash; and the canonical form of a body is a
// fixed point, so that two texts that mean the same have one fingerprint.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "holdfast/base/error.hpp"
#include "holdfast/base/invariant.hpp"
#include "holdfast/idempotency/fingerprint.hpp"
#include "holdfast/idempotency/idempotency.hpp"

namespace {

holdfast::Sha256Digest fingerprint_with_body(std::string_view body) {
  holdfast::http::Request request;
  request.method = holdfast::http::Method::post;
  request.method_name = "POST";
  request.headers = {{"Content-Type", "application/json"}};
  request.body = body;
  return holdfast::idempotency::fingerprint_of(request);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace holdfast;
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  const std::string canonical = idempotency::canonical_body(body);
  require_invariant(idempotency::canonical_body(canonical) == canonical,
                    "the canonical form is a fixed point");
  require_invariant(fingerprint_with_body(body) == fingerprint_with_body(canonical),
                    "a body and its canonical form have one fingerprint");
  try {
    http::Request request;
    request.query_string = body;
    (void)idempotency::fingerprint_of(request);
  } catch (const Error&) {
    // a malformed query string is refused
  }
  try {
    (void)idempotency::parse_key(body);
  } catch (const Error&) {
  }
  return 0;
}
