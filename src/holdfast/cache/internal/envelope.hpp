// What an entry looks like in Redis: "HFC1", a flag byte (1: absent), its whole life, the stale part of it
// and what loading took, each eight bytes of microseconds, big-endian; then the encoded value. Thread-safety:
// pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "holdfast/base/clock.hpp"

namespace holdfast::cache::internal {

struct Envelope {
  bool absent = false;
  Duration life{0};       ///< from loading until it is gone
  Duration stale_for{0};  ///< the end of that
  Duration load_took{0};
  std::string_view encoded{};
};

std::string seal(const Envelope& envelope);
/// Empty for anything that seal() did not make. `encoded` refers to `bytes`.
std::optional<Envelope> unseal(std::string_view bytes) noexcept;

}  // namespace holdfast::cache::internal
