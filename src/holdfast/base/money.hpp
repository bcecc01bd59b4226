// Money as whole minor units (cents) of an ISO 4217 currency. Arithmetic is checked: an overflow or a
// mix of currencies is an Error, never a wrong sum.
//
//   const Money total = price * quantity + shipping;     // JSON: {"minor": 1250, "currency": "GBP"}
//
// Thread-safety: values.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "holdfast/base/describe.hpp"
#include "holdfast/base/text_form.hpp"

namespace holdfast {

/// Three upper-case letters. Whether ISO has assigned them is not checked. "XXX" (no currency) unless set.
class Currency {
 public:
  constexpr Currency() noexcept = default;
  static std::optional<Currency> parse(std::string_view text) noexcept;

  /// For constants; a code that is none does not compile: `Currency::of("GBP")`.
  static consteval Currency of(const char (&code)[4]) {
    Currency currency;
    for (std::size_t i = 0; i < 3; ++i) {
      if (code[i] < 'A' || code[i] > 'Z') throw "a currency is three upper-case letters";
      currency.letters_[i] = code[i];
    }
    return currency;
  }

  constexpr std::string_view text() const noexcept { return {letters_.data(), letters_.size()}; }
  auto operator<=>(const Currency&) const = default;

 private:
  std::array<char, 3> letters_{'X', 'X', 'X'};
};

struct Money {
  std::int64_t minor = 0;
  Currency currency;

  bool operator==(const Money&) const = default;
};
HOLDFAST_DESCRIBE(Money, (minor, currency))

/// Throw Error: invalid_argument/"currency_mismatch" for two currencies, invalid_argument/"money_overflow"
/// where 64 bits do not hold the result.
Money operator+(const Money& a, const Money& b);
Money operator-(const Money& a, const Money& b);
Money operator*(const Money& a, std::int64_t factor);
Money& operator+=(Money& a, const Money& b);
Money& operator-=(Money& a, const Money& b);

template <>
struct TextForm<Currency> {
  static void append(std::string& out, const Currency& currency) { out.append(currency.text()); }
  static std::optional<Currency> parse(std::string_view text) { return Currency::parse(text); }
  static constexpr TextSchema schema{
      .what = "an ISO 4217 currency such as GBP", .pattern = "^[A-Z]{3}$", .example = "GBP"};
};

}  // namespace holdfast
