#include "holdfast/base/money.hpp"

#include <algorithm>

#include "holdfast/base/error.hpp"

namespace holdfast {
namespace {

void require_same(const Money& a, const Money& b) {
  if (a.currency == b.currency) return;
  throw Error(ErrorCode::invalid_argument, "Amounts in " + std::string(a.currency.text()) + " and " +
                                               std::string(b.currency.text()) + " can't be added up.")
      .reason("currency_mismatch");
}

[[noreturn]] void throw_overflow(const Money& a) {
  throw Error(ErrorCode::invalid_argument,
              "An amount in " + std::string(a.currency.text()) + " is larger than can be handled.")
      .reason("money_overflow");
}

}  // namespace

std::optional<Currency> Currency::parse(std::string_view text) noexcept {
  if (text.size() != 3) return std::nullopt;
  Currency currency;
  for (std::size_t i = 0; i < 3; ++i) {
    if (text[i] < 'A' || text[i] > 'Z') return std::nullopt;
    currency.letters_[i] = text[i];
  }
  return currency;
}

Money operator+(const Money& a, const Money& b) {
  require_same(a, b);
  Money sum{.currency = a.currency};
  if (__builtin_add_overflow(a.minor, b.minor, &sum.minor)) throw_overflow(a);
  return sum;
}

Money operator-(const Money& a, const Money& b) {
  require_same(a, b);
  Money difference{.currency = a.currency};
  if (__builtin_sub_overflow(a.minor, b.minor, &difference.minor)) throw_overflow(a);
  return difference;
}

Money operator*(const Money& a, std::int64_t factor) {
  Money product{.currency = a.currency};
  if (__builtin_mul_overflow(a.minor, factor, &product.minor)) throw_overflow(a);
  return product;
}

Money& operator+=(Money& a, const Money& b) { return a = a + b; }
Money& operator-=(Money& a, const Money& b) { return a = a - b; }

}  // namespace holdfast
