// Whatever lies in Redis is an envelope or none; one that is, is sealed again to the same bytes.
#include "holdfast/base/invariant.hpp"
#include "holdfast/cache/internal/envelope.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto envelope = holdfast::cache::internal::unseal(bytes)) {
    holdfast::require_invariant(holdfast::cache::internal::seal(*envelope) == bytes, "sealed as it was");
  }
  return 0;
}
