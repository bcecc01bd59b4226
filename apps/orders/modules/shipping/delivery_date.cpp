#include "orders/modules/shipping/delivery_date.hpp"

namespace holdfast::orders::shipping {
namespace {

void append_number(std::string& out, unsigned number, std::size_t digits) {
  const std::string text = std::to_string(number);
  out.append(digits - text.size(), '0').append(text);
}

/// `text` is digits only, few enough not to overflow.
std::optional<unsigned> read_number(std::string_view text) noexcept {
  unsigned number = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    number = number * 10 + static_cast<unsigned>(c - '0');
  }
  return number;
}

}  // namespace

std::string write_date(const DeliveryDate& date, char separator) {
  std::string out;
  append_number(out, static_cast<unsigned>(date.year()), 4);
  out += separator;
  append_number(out, date.month(), 2);
  out += separator;
  append_number(out, date.day(), 2);
  return out;
}

std::optional<DeliveryDate> read_date(std::string_view text, char separator) noexcept {
  if (text.size() != 10 || text[4] != separator || text[7] != separator) return std::nullopt;
  const auto year = read_number(text.substr(0, 4));
  const auto month = read_number(text.substr(5, 2));
  const auto day = read_number(text.substr(8, 2));
  if (!year || !month || !day) return std::nullopt;
  return DeliveryDate::of(static_cast<int>(*year), *month, *day);
}

}  // namespace holdfast::orders::shipping
