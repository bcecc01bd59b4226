// SHA-256 (FIPS 180-4), whole or piece by piece, and a comparison that takes as long for a near miss as
// for a hit, for whatever an attacker may guess at.
//
//   if (!equal_in_constant_time(sha256(presented_key), stored)) throw …
//
// Thread-safety: functions are pure; a Sha256 belongs to one thread.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace holdfast {

using Sha256Digest = std::array<std::uint8_t, 32>;

Sha256Digest sha256(std::string_view bytes);

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  Sha256& update(std::string_view bytes);
  /// Once; the object is then ready for another text.
  Sha256Digest finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// False at once where the lengths differ; those are no secret.
bool equal_in_constant_time(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b) noexcept;

}  // namespace holdfast
