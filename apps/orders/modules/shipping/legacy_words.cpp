// The old carrier's words, one by one. (Declared in legacy_translation.hpp.)
#include <algorithm>
#include <array>
#include <limits>

#include "holdfast/base/utf8.hpp"
#include "orders/modules/shipping/legacy_translation.hpp"

namespace holdfast::orders::shipping::legacy {
namespace {

constexpr std::size_t kCustomerDigits = 10;
constexpr std::size_t kMaxAmountChars = 20;
constexpr std::string_view kNoDate = "0000.00.00";

bool all_digits(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

/// ISO 4217's currencies without two decimals.
std::size_t decimals_of(Currency currency) {
  constexpr std::array<std::string_view, 15> kNone = {"BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW",
                                                      "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF"};
  constexpr std::array<std::string_view, 7> kThree = {"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"};
  if (std::ranges::find(kNone, currency.text()) != kNone.end()) return 0;
  if (std::ranges::find(kThree, currency.text()) != kThree.end()) return 3;
  return 2;
}

void append_escaped(std::string& out, std::string_view part) {
  for (const char c : part) {
    if (c == '|' || c == '\\') out += '\\';
    out += c;
  }
}

}  // namespace

std::string Fault::text() const { return std::string(enum_name(kind)) + " in " + field; }

Translated<std::string> write_customer_number(std::string_view number) {
  const bool all_zero = std::ranges::all_of(number, [](char c) { return c == '0'; });
  if (!all_digits(number) || number.size() > kCustomerDigits || all_zero) {
    return Fault{FaultKind::bad_number, "KUNNR"};
  }
  return std::string(kCustomerDigits - number.size(), '0').append(number);
}

Translated<std::string> read_customer_number(std::string_view text) {
  const std::size_t first = text.find_first_not_of('0');
  if (!all_digits(text) || text.size() != kCustomerDigits || first == std::string_view::npos) {
    return Fault{FaultKind::bad_number, "KUNNR"};
  }
  return std::string(text.substr(first));
}

std::string write_date(const std::optional<DeliveryDate>& date) {
  return date ? shipping::write_date(*date, '.') : std::string(kNoDate);
}

Translated<std::optional<DeliveryDate>> read_date(std::string_view text, std::string_view field) {
  if (text == kNoDate) return std::optional<DeliveryDate>();
  auto date = shipping::read_date(text, '.');
  if (!date) return Fault{FaultKind::bad_date, std::string(field)};
  return date;
}

Translated<std::string> write_amount(const Money& amount) {
  if (amount.minor < 0) return Fault{FaultKind::bad_amount, "NETWR"};
  const std::size_t decimals = decimals_of(amount.currency);
  std::string text = std::to_string(amount.minor);
  if (decimals == 0) return text;
  if (text.size() <= decimals) text.insert(0, decimals + 1 - text.size(), '0');
  text.insert(text.size() - decimals, ".");
  return text;
}

Translated<Money> read_amount(std::string_view text, Currency currency) {
  const Fault fault{FaultKind::bad_amount, "NETWR"};
  const std::size_t decimals = decimals_of(currency);
  const std::size_t point = text.find('.');
  if (text.size() > kMaxAmountChars) return fault;
  if ((point == std::string_view::npos) != (decimals == 0)) return fault;
  std::string digits(text.substr(0, point));
  if (!all_digits(digits) || (digits.size() > 1 && digits[0] == '0')) return fault;
  if (decimals != 0) {
    if (text.size() - point - 1 != decimals || !all_digits(text.substr(point + 1))) return fault;
    digits += text.substr(point + 1);
  }
  std::int64_t minor = 0;
  for (const char c : digits) {
    const std::int64_t digit = c - '0';
    if (minor > (std::numeric_limits<std::int64_t>::max() - digit) / 10) return fault;
    minor = minor * 10 + digit;
  }
  return Money{minor, currency};
}

Translated<std::string> write_address(const Place& place) {
  std::string out;
  const std::array<const std::string*, 4> parts = {&place.street, &place.city, &place.region,
                                                   &place.postal_code};
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (!is_valid_utf8(*parts[i])) return Fault{FaultKind::not_text, "ADRESSE"};
    if (has_control_characters(*parts[i])) return Fault{FaultKind::control_character, "ADRESSE"};
    if (i > 0) out += '|';
    append_escaped(out, *parts[i]);
  }
  return out;
}

Translated<Place> read_address(std::string_view text, std::string_view field) {
  const auto refuse = [&](FaultKind kind) { return Fault{kind, std::string(field)}; };
  if (!is_valid_utf8(text)) return refuse(FaultKind::not_text);
  if (has_control_characters(text)) return refuse(FaultKind::control_character);
  std::array<std::string, 4> parts;
  std::size_t part = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '|') {
      if (++part == parts.size()) return refuse(FaultKind::bad_address);
      continue;
    }
    if (text[i] == '\\') {
      ++i;
      if (i == text.size() || (text[i] != '|' && text[i] != '\\')) return refuse(FaultKind::bad_escape);
    }
    parts[part] += text[i];
  }
  if (part + 1 != parts.size()) return refuse(FaultKind::bad_address);
  return Place{std::move(parts[0]), std::move(parts[1]), std::move(parts[2]), std::move(parts[3])};
}

Translated<BookingStatus> read_status(std::string_view letter) {
  if (letter == "A" || letter == "U") return BookingStatus::booked;
  if (letter == "Z") return BookingStatus::delivered;
  if (letter == "S") return BookingStatus::cancelled;
  return Fault{FaultKind::bad_code, "STATUS"};
}

}  // namespace holdfast::orders::shipping::legacy
