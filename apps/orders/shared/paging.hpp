// Pages of a list, by cursor or by number, and the cursor's text. A cursor names the last row seen and
// the order it was seen in, so that a list stays stable while rows are inserted before it.
//
//   const Cursor after = read_cursor(text, "-price");        // refuses a cursor of another order
//   page.next_cursor = write_cursor({"-price", {"1250", "MUG-1"}});
//
// Thread-safety: pure functions and values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/reflect.hpp"

namespace holdfast::orders {

inline constexpr std::int64_t kDefaultLimit = 20;
inline constexpr std::int64_t kMaxLimit = 200;

template <class T>
struct Page {
  std::vector<T> items;
  std::optional<std::string> next_cursor;  ///< absent on the last page
  std::optional<std::int64_t> page;        ///< by number only: from 1
  std::optional<std::int64_t> total;       ///< by number only: rows in all
  HOLDFAST_DESCRIBE_WITHIN(Page, (items, next_cursor, page, total))
};

struct Cursor {
  std::string order;              ///< of the list it was made in: a sort, or a name
  std::vector<std::string> keys;  ///< of the last row, in that order
};
HOLDFAST_DESCRIBE(Cursor, (order, keys))

/// URL-safe. Not secret, not signed: it says nothing that the list did not.
std::string write_cursor(const Cursor& cursor);

/// Throws Error(invalid_argument, "bad_cursor") where `text` is none that a list in `order` with
/// `key_count` keys made.
Cursor read_cursor(std::string_view text, std::string_view order, std::size_t key_count);

/// A key that was written as a number. Throws as read_cursor().
std::int64_t cursor_number(std::string_view key);

/// `text` as a SQL LIKE pattern that finds it anywhere; to be used with `escape '\'`.
std::string like_anywhere(std::string_view text);

}  // namespace holdfast::orders
