#include "holdfast/config/units.hpp"

#include <array>
#include <limits>
#include <span>

namespace holdfast::config {

namespace {

struct Unit {
  std::string_view name;
  std::uint64_t size;
};

constexpr std::array<Unit, 7> kDurations = {{{"d", 86'400'000'000'000},
                                             {"h", 3'600'000'000'000},
                                             {"m", 60'000'000'000},
                                             {"s", 1'000'000'000},
                                             {"ms", 1'000'000},
                                             {"us", 1'000},
                                             {"ns", 1}}};

constexpr std::array<Unit, 9> kSizes = {{{"TiB", 1ULL << 40},
                                         {"TB", 1'000'000'000'000},
                                         {"GiB", 1ULL << 30},
                                         {"GB", 1'000'000'000},
                                         {"MiB", 1ULL << 20},
                                         {"MB", 1'000'000},
                                         {"KiB", 1ULL << 10},
                                         {"KB", 1'000},
                                         {"B", 1}}};

/// What `text` comes to in the smallest unit; nothing where it is no number with a unit, has a part that
/// is smaller still, or is over `most`.
std::optional<std::uint64_t> parse(std::string_view text, std::span<const Unit> units, std::uint64_t most) {
  const std::size_t unit_at = text.find_first_not_of("0123456789.");
  if (unit_at == 0 || unit_at == std::string_view::npos) return std::nullopt;
  std::string_view number = text.substr(0, unit_at);
  std::string_view suffix = text.substr(unit_at);
  if (suffix.starts_with(' ')) suffix.remove_prefix(1);
  std::uint64_t unit = 0;
  for (const Unit& candidate : units) {
    if (candidate.name == suffix) unit = candidate.size;
  }
  const std::size_t dot = number.find('.');
  const std::string_view whole = number.substr(0, dot);
  const std::string_view fraction =
      dot == std::string_view::npos ? std::string_view() : number.substr(dot + 1);
  if (unit == 0 || whole.empty() || (dot != std::string_view::npos && fraction.empty()) ||
      fraction.size() > 18) {
    return std::nullopt;
  }
  if (fraction.find('.') != std::string_view::npos) return std::nullopt;
  __extension__ using Wide = unsigned __int128;
  Wide total = 0;
  for (const char c : whole) {
    total = total * 10 + static_cast<unsigned>(c - '0');
    if (total > most) return std::nullopt;
  }
  total *= unit;
  Wide numerator = 0;
  Wide denominator = 1;
  for (const char c : fraction) {
    numerator = numerator * 10 + static_cast<unsigned>(c - '0');
    denominator *= 10;
  }
  if (numerator * unit % denominator != 0) return std::nullopt;
  total += numerator * unit / denominator;
  if (total > most) return std::nullopt;
  return static_cast<std::uint64_t>(total);
}

std::string format(std::uint64_t amount, std::span<const Unit> units) {
  for (const Unit& unit : units) {
    if (amount % unit.size == 0) return std::to_string(amount / unit.size).append(unit.name);
  }
  return std::to_string(amount);
}

}  // namespace

std::optional<Duration> parse_duration(std::string_view text) {
  const auto found = parse(text, kDurations, std::numeric_limits<std::int64_t>::max());
  if (!found) return std::nullopt;
  return Duration(static_cast<std::int64_t>(*found));
}

std::string format_duration(Duration duration) {
  if (duration.count() == 0) return "0s";
  if (duration.count() < 0) return std::to_string(duration.count()).append("ns");
  return format(static_cast<std::uint64_t>(duration.count()), kDurations);
}

std::optional<ByteSize> parse_byte_size(std::string_view text) {
  const auto found = parse(text, kSizes, std::numeric_limits<std::uint64_t>::max());
  if (!found) return std::nullopt;
  return ByteSize{*found};
}

std::string format_byte_size(ByteSize size) { return size.bytes == 0 ? "0B" : format(size.bytes, kSizes); }

}  // namespace holdfast::config
