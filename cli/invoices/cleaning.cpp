#include "cli/invoices/cleaning.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace holdfast::cli {

namespace {

constexpr std::size_t kMaxSkuBytes = 64;
constexpr std::array<std::string_view, 14> kNotProducts = {
    "POST",         "DOT",       "C2",     "D",    "M",    "S",       "B",
    "BANK CHARGES", "AMAZONFEE", "AMAZON", "CRUK", "PADS", "SAMPLES", "TEST"};

bool is_space(char c) noexcept { return static_cast<unsigned char>(c) <= ' ' || c == '\x7f'; }
bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
bool is_letter(char c) noexcept { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }

std::string_view trim(std::string_view text) noexcept {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

/// Takes digits off the front; nothing where there are none, or more than `most`.
std::optional<std::int64_t> take_digits(std::string_view& text, std::size_t most) noexcept {
  std::size_t count = 0;
  while (count < text.size() && is_digit(text[count])) ++count;
  if (count == 0 || count > most) return std::nullopt;
  std::int64_t value = 0;
  std::from_chars(text.data(), text.data() + count, value);
  text.remove_prefix(count);
  return value;
}

bool take(std::string_view& text, char wanted) noexcept {
  if (text.empty() || text.front() != wanted) return false;
  text.remove_prefix(1);
  return true;
}

struct DateParts {
  std::int64_t year, month, day, hour, minute, second;
};

std::optional<std::int64_t> sortable(const DateParts& d) noexcept {
  if (d.year < 1900 || d.year > 9999 || d.month < 1 || d.month > 12 || d.day < 1 || d.day > 31)
    return std::nullopt;
  if (d.hour > 23 || d.minute > 59 || d.second > 59) return std::nullopt;
  return ((((d.year * 100 + d.month) * 100 + d.day) * 100 + d.hour) * 100 + d.minute) * 100 + d.second;
}

}  // namespace

std::string collapse_spaces(std::string_view text) {
  std::string out;
  for (const char c : trim(text)) {
    if (!is_space(c)) {
      out += c;
    } else if (out.back() != ' ') {
      out += ' ';
    }
  }
  return out;
}

std::string normalise_sku(std::string_view text) {
  std::string out = collapse_spaces(text);
  for (char& c : out) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return out;
}

bool is_sku(std::string_view text) noexcept {
  if (text.empty() || text.size() > kMaxSkuBytes) return false;
  if (!is_digit(text.front()) && !is_letter(text.front())) return false;
  return std::ranges::all_of(
      text, [](char c) { return is_digit(c) || is_letter(c) || c == '-' || c == '_' || c == '.'; });
}

bool is_not_a_product(std::string_view sku) noexcept {
  return std::ranges::find(kNotProducts, sku) != kNotProducts.end();
}

std::optional<std::int64_t> parse_price_minor(std::string_view text) noexcept {
  constexpr std::size_t kMostWholeDigits = 12;
  text = trim(text);
  const bool negative = take(text, '-');
  const auto whole = take_digits(text, kMostWholeDigits);
  if (!whole) return std::nullopt;
  std::int64_t minor = *whole * 100;
  if (take(text, '.')) {
    std::int64_t weight = 10;
    for (const char c : text) {
      if (!is_digit(c) || (weight == 0 && c != '0')) return std::nullopt;
      minor += (c - '0') * weight;
      weight /= 10;
    }
    text = {};
  }
  if (!text.empty()) return std::nullopt;
  return negative ? -minor : minor;
}

std::optional<std::int64_t> parse_quantity(std::string_view text) noexcept {
  constexpr std::size_t kMostDigits = 12;
  text = trim(text);
  const bool negative = take(text, '-');
  const auto value = take_digits(text, kMostDigits);
  if (!value) return std::nullopt;
  if (take(text, '.')) {
    if (text.find_first_not_of('0') != std::string_view::npos) return std::nullopt;
    text = {};
  }
  if (!text.empty()) return std::nullopt;
  return negative ? -*value : *value;
}

std::string normalise_customer(std::string_view text) {
  text = trim(text);
  const std::size_t dot = text.find('.');
  const bool float_text = dot != std::string_view::npos && dot > 0 &&
                          std::ranges::all_of(text.substr(0, dot), is_digit) &&
                          text.find_first_not_of('0', dot + 1) == std::string_view::npos;
  if (float_text) text = text.substr(0, dot);
  return collapse_spaces(text);
}

std::optional<std::int64_t> parse_sortable_date(std::string_view text) noexcept {
  text = trim(text);
  DateParts parts{};
  const auto first = take_digits(text, 4);
  if (!first) return std::nullopt;
  const bool iso = take(text, '-');
  if (!iso && !take(text, '/')) return std::nullopt;
  const auto second = take_digits(text, 2);
  if (!second || !take(text, iso ? '-' : '/')) return std::nullopt;
  const auto third = take_digits(text, 4);
  if (!third) return std::nullopt;
  if (iso) {
    parts = {.year = *first, .month = *second, .day = *third, .hour = 0, .minute = 0, .second = 0};
  } else {  // month first, as the spreadsheet this layout comes from writes it
    parts = {.year = *third, .month = *first, .day = *second, .hour = 0, .minute = 0, .second = 0};
  }
  if (text.empty()) return sortable(parts);
  if (!take(text, ' ') && !take(text, 'T')) return std::nullopt;
  const auto hour = take_digits(text, 2);
  if (!hour || !take(text, ':')) return std::nullopt;
  const auto minute = take_digits(text, 2);
  if (!minute) return std::nullopt;
  parts.hour = *hour;
  parts.minute = *minute;
  if (take(text, ':')) {
    const auto seconds = take_digits(text, 2);
    if (!seconds) return std::nullopt;
    parts.second = *seconds;
  }
  if (!text.empty() && text != "Z") return std::nullopt;
  return sortable(parts);
}

}  // namespace holdfast::cli
