// Quantities with their unit, as people write them in a configuration: "200ms", "1.5h", "64KiB", "1GB".
// A bare number is refused, since nobody remembers what it counts.
//
// Thread-safety: pure functions.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "holdfast/base/clock.hpp"
#include "holdfast/base/text_form.hpp"

namespace holdfast::config {

/// A size in bytes. "64KB" is 64,000 and "64KiB" is 65,536 (IEC 80000-13).
struct ByteSize {
  std::uint64_t bytes = 0;
  constexpr auto operator<=>(const ByteSize&) const = default;
};

constexpr ByteSize kibibytes(std::uint64_t n) { return {n << 10}; }
constexpr ByteSize mebibytes(std::uint64_t n) { return {n << 20}; }

/// Not negative; ns, us, ms, s, m, h or d, with decimals where they come out even ("1.5s", not "0.5ns").
std::optional<Duration> parse_duration(std::string_view text);
/// In the largest unit that gives a whole number: "1500ms", "2h", "0s".
std::string format_duration(Duration duration);

/// B, KB, MB, GB, TB, KiB, MiB, GiB or TiB, with decimals where they come out even.
std::optional<ByteSize> parse_byte_size(std::string_view text);
std::string format_byte_size(ByteSize size);

}  // namespace holdfast::config

template <>
struct holdfast::TextForm<holdfast::config::ByteSize> {
  static void append(std::string& out, const config::ByteSize& size) {
    out += config::format_byte_size(size);
  }
  static std::optional<config::ByteSize> parse(std::string_view text) {
    return config::parse_byte_size(text);
  }
  static constexpr TextSchema schema{.what = "a size with its unit, such as 512B, 64KiB or 1GB"};
};
