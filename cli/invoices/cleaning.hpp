// What makes a value of real, dirty data usable, or says why it isn't. A cleaned value is canonical:
// the same thing written in two ways becomes one text.
//
// Thread-safety: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace holdfast::cli {

/// Trimmed, runs of white space and control characters made one space.
std::string collapse_spaces(std::string_view text);

/// Trimmed and upper case, so that "85123a" and "85123A " are one product.
std::string normalise_sku(std::string_view text);

/// Letters, digits, '-', '_' and '.', 1 to 64 of them, the first a letter or digit.
bool is_sku(std::string_view text) noexcept;

/// Postage, discounts, fees and the like, that invoices list among the goods. `sku` is normalised.
bool is_not_a_product(std::string_view sku) noexcept;

/// "4.15" → 415. Nothing for what is no decimal number or has more than two decimals other than zero.
std::optional<std::int64_t> parse_price_minor(std::string_view text) noexcept;

/// "6", "-6", "6.0"; nothing for anything else.
std::optional<std::int64_t> parse_quantity(std::string_view text) noexcept;

/// "12923.0" → "12923"; trimmed; empty where nobody is named.
std::string normalise_customer(std::string_view text);

/// "2011-10-06 16:20:00" and "10/6/2011 16:20" → 20111006162000: a number that sorts as the time does.
std::optional<std::int64_t> parse_sortable_date(std::string_view text) noexcept;

}  // namespace holdfast::cli
