// DeliveryDate: a day of the calendar, without a time or a zone: "2023-12-31". (Part of shipping.hpp.)
//
// Thread-safety: a value.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "holdfast/base/text_form.hpp"

namespace holdfast::orders::shipping {

class DeliveryDate {
 public:
  constexpr DeliveryDate() noexcept = default;

  /// Nothing where there is no such day, or its year is not within 1 … 9999.
  static constexpr std::optional<DeliveryDate> of(int year, unsigned month, unsigned day) noexcept {
    const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(month),
                                           std::chrono::day(day)};
    if (!date.ok() || year < 1 || year > 9999) return std::nullopt;
    return DeliveryDate(date);
  }

  constexpr int year() const noexcept { return static_cast<int>(date_.year()); }
  constexpr unsigned month() const noexcept { return static_cast<unsigned>(date_.month()); }
  constexpr unsigned day() const noexcept { return static_cast<unsigned>(date_.day()); }
  auto operator<=>(const DeliveryDate&) const = default;

 private:
  explicit constexpr DeliveryDate(std::chrono::year_month_day date) noexcept : date_(date) {}
  std::chrono::year_month_day date_{std::chrono::year(1970), std::chrono::month(1), std::chrono::day(1)};
};

/// Year, month and day with `separator` between them: four, two and two digits.
std::string write_date(const DeliveryDate& date, char separator);
/// Strict: exactly that form, and a real day.
std::optional<DeliveryDate> read_date(std::string_view text, char separator) noexcept;

}  // namespace holdfast::orders::shipping

template <>
struct holdfast::TextForm<holdfast::orders::shipping::DeliveryDate> {
  using DeliveryDate = orders::shipping::DeliveryDate;
  static void append(std::string& out, const DeliveryDate& date) {
    out += orders::shipping::write_date(date, '-');
  }
  static std::optional<DeliveryDate> parse(std::string_view text) {
    return orders::shipping::read_date(text, '-');
  }
  static constexpr TextSchema schema{
      .what = "a date such as 2023-12-31", .format = "date", .example = "2023-12-31"};
};
