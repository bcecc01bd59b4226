#include "holdfast/sql/postgres/position.hpp"

#include <charconv>
#include <cstdio>

namespace holdfast::sql::postgres {

std::string to_string(Position position) {
  char text[20];
  const auto value = static_cast<std::uint64_t>(position);
  const int size = std::snprintf(text, sizeof text, "%X/%X", static_cast<unsigned>(value >> 32),
                                 static_cast<unsigned>(value & 0xFFFF'FFFF));
  return {text, static_cast<std::size_t>(size)};
}

std::optional<Position> parse_position(std::string_view text) noexcept {
  const auto half = [](std::string_view digits, std::uint32_t& value) {
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    return error == std::errc{} && end == digits.data() + digits.size();
  };
  const std::size_t slash = text.find('/');
  std::uint32_t high = 0;
  std::uint32_t low = 0;
  if (slash == std::string_view::npos || !half(text.substr(0, slash), high) ||
      !half(text.substr(slash + 1), low)) {
    return std::nullopt;
  }
  return Position{(std::uint64_t{high} << 32) | low};
}

}  // namespace holdfast::sql::postgres
