// Inserts of one row, rewritten to insert many: what transactions that run together send at once becomes
// one statement.
//
//   for_many_rows("insert into t(a, b) values($1, $2)")
//     == "insert into t(a, b) select p1, p2 from unnest($1, $2) as p(p1, p2)"
//
// Thread-safety: functions of their arguments.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace holdfast::sql::postgres {

/// The same insert with an array for each placeholder, its rows in the arrays' order. Nothing where it is
/// no `insert into table(columns) values(…)` of placeholders alone: with `on conflict`, `returning`, an
/// expression or a literal among the values, rows may depend on each other or on more than their values.
std::optional<std::string> for_many_rows(std::string_view insert);

/// Whether it only reads, and reads the same when it is asked twice: a `select` without a function or a
/// subquery (no parentheses, to be sure) and without `for update`.
bool reads_only(std::string_view sql) noexcept;

/// How many rows a statement that reported `changed` has changed, for all that is known: a `select` may call
/// a function that writes.
std::int64_t may_change(std::string_view sql, std::int64_t changed) noexcept;

}  // namespace holdfast::sql::postgres
