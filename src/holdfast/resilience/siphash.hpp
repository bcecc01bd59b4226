// SipHash-2-4 (Aumasson, Bernstein, 2012): a hash for tables whose keys strangers choose. Without the
// secret nobody can find keys that meet in one place. Not for signatures.
//
// Thread-safety: a pure function.
#pragma once

#include <cstdint>
#include <string_view>

namespace holdfast::resilience {

struct SipKey {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
};

std::uint64_t siphash(const SipKey& secret, std::string_view text) noexcept;

}  // namespace holdfast::resilience
