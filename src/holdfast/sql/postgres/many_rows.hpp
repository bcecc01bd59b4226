// What transactions that run together send at once, as one statement: inserts and selects are rewritten for
// many rows; of updates that take from a number while there is enough, the amounts are added.
//
//   for_many_rows("insert into t(a, b) values($1, $2)")
//     == "insert into t(a, b) select p1, p2 from unnest($1, $2) as p(p1, p2)"
//   as_taking("update stock set left = left - $2, at = $3 where sku = $1 and left >= $2")
//     == Taking{.table = "stock", .key_column = "sku", .key = 0, .amount = 1}
//
// Thread-safety: functions of their arguments.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::sql::postgres {

/// The same insert with an array for each placeholder, its rows in the arrays' order. Nothing where it is
/// no `insert into table(columns) values(…)` of placeholders alone: with `on conflict`, `returning`, an
/// expression or a literal among the values, rows may depend on each other or on more than their values.
std::optional<std::string> for_many_rows(std::string_view insert);

/// An insert of what is not there yet, for many rows: it returns the key of those it has inserted.
struct InsertsNew {
  std::string sql;
  std::vector<std::size_t> key;  ///< which parameters, from 0
};

/// Of `insert into table(columns) values(…) on conflict(key) do nothing`, of placeholders alone; else
/// nothing.
std::optional<InsertsNew> inserts_new_for_many(std::string_view insert);

/// An update that takes an amount from a row's number while there is that much.
struct Taking {
  std::string table;
  std::string key_column;
  std::size_t key = 0;     ///< which parameter, from 0
  std::size_t amount = 0;  ///< likewise
};

/// Nothing where it is no `update table set number = number - $a, … where key = $k and number >= $a`, further
/// columns set to parameters of their own. Where no two rows have the same key, several such one after the
/// other do what one does that takes their sum, if there is as much.
std::optional<Taking> as_taking(std::string_view update);

/// Whether it only reads, and reads the same when it is asked twice: a `select` without a function or a
/// subquery (no parentheses, to be sure) and without `for update`.
bool reads_only(std::string_view sql) noexcept;

/// The same select with an array for each placeholder: all their rows, each with the place in the arrays
/// before it, from 1. Nothing where it is not reads_only(), has no placeholder, or
/// wants an order or a limit. The select
/// stays a query of its own, planned as it would be alone.
std::optional<std::string> reads_for_many(std::string_view select);

/// How many rows a statement that reported `changed` has changed, for all that is known: a `select` may call
/// a function that writes.
std::int64_t may_change(std::string_view sql, std::int64_t changed) noexcept;

}  // namespace holdfast::sql::postgres
