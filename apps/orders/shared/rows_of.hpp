// The rows of many keys, a few dozen keys a statement: a tenth of the round trips of one a key.
//
//   for_each_of<Sku>(tx, "select sku from products where sku", skus, [&](Sku&& found) { … });
//
// Thread-safety: as the Queries'.
#pragma once

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include "holdfast/sql/database.hpp"

namespace holdfast::orders {

/// `select` ends with the column that `keys` are compared with. Rows come in no order.
template <class Row, class Receive>
void for_each_of(sql::Queries& db, std::string_view select, std::span<const std::string_view> keys,
                 const Receive& receive) {
  constexpr std::size_t kAtOnce = 32;
  std::string sql = std::string(select) + " in (";
  for (std::size_t i = 1; i <= kAtOnce; ++i) sql += (i > 1 ? ", $" : "$") + std::to_string(i);
  sql += ")";
  for (std::size_t first = 0; first < keys.size(); first += kAtOnce) {
    std::array<std::string_view, kAtOnce> some;
    for (std::size_t i = 0; i < kAtOnce; ++i) some[i] = keys[std::min(first + i, keys.size() - 1)];
    std::apply([&](const auto&... key) { db.for_each<Row>(sql, receive, key...); }, some);
  }
}

}  // namespace holdfast::orders
