#include "holdfast/sql/postgres/many_rows.hpp"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <vector>

#include "holdfast/sql/postgres/statement_text.hpp"

namespace holdfast::sql::postgres {
namespace {

bool is_space(char c) noexcept { return std::isspace(static_cast<unsigned char>(c)) != 0; }
bool is_digit(char c) noexcept { return std::isdigit(static_cast<unsigned char>(c)) != 0; }

void skip_space(std::string_view& text) noexcept {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
}

bool take(std::string_view& text, std::string_view expected) noexcept {
  skip_space(text);
  if (!text.starts_with(expected)) return false;
  text.remove_prefix(expected.size());
  return true;
}

/// "table(column, column)", which a name in quotes or a schema before it is no part of here.
bool take_table_and_columns(std::string_view& text) noexcept {
  const std::size_t open = text.find('(');
  const std::size_t close = text.find(')');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) return false;
  const auto plain = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == ',' || is_space(c);
  };
  const std::string_view table = text.substr(0, open);
  const std::string_view columns = text.substr(open + 1, close - open - 1);
  if (!std::all_of(table.begin(), table.end(), plain) ||
      !std::all_of(columns.begin(), columns.end(), plain)) {
    return false;
  }
  text.remove_prefix(close + 1);
  return true;
}

/// "($2, $1, …)" to its end, as "p2, p1, …"; empty where it is not that.
std::string take_placeholders(std::string_view& text) {
  std::string taken;
  if (!take(text, "(")) return {};
  for (;;) {
    if (!take(text, "$")) return {};
    taken += 'p';
    std::size_t digits = 0;
    while (!text.empty() && is_digit(text.front())) {
      taken += text.front();
      text.remove_prefix(1);
      ++digits;
    }
    if (digits == 0) return {};
    if (take(text, ")")) return taken;
    if (!take(text, ",")) return {};
    taken += ", ";
  }
}

std::string take_name(std::string_view& text) {
  skip_space(text);
  const auto in_name = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; };
  const auto end = std::find_if_not(text.begin(), text.end(), in_name);
  std::string name(text.begin(), end);
  text.remove_prefix(name.size());
  return name;
}

/// "(a, b)"; empty where it is not that.
std::vector<std::string> take_names(std::string_view& text) {
  std::vector<std::string> names;
  if (!take(text, "(")) return {};
  do {
    names.push_back(take_name(text));
    if (names.back().empty()) return {};
  } while (take(text, ","));
  return take(text, ")") ? names : std::vector<std::string>{};
}

/// The n of "$n", from 0.
std::optional<std::size_t> take_placeholder(std::string_view& text) {
  if (!take(text, "$")) return std::nullopt;
  std::size_t number = 0;
  while (!text.empty() && is_digit(text.front()) && number < 1000) {
    number = number * 10 + static_cast<std::size_t>(text.front() - '0');
    text.remove_prefix(1);
  }
  return number > 0 ? std::optional(number - 1) : std::nullopt;
}

/// "$1, $2, …" with another mark.
std::string numbered(char mark, std::size_t count) {
  std::string text;
  for (std::size_t i = 1; i <= count; ++i) {
    if (i > 1) text += ", ";
    text += mark;
    text += std::to_string(i);
  }
  return text;
}

}  // namespace

std::optional<std::string> for_many_rows(std::string_view insert) {
  std::string_view rest = insert;
  if (!take(rest, "insert into ") || !take_table_and_columns(rest)) return std::nullopt;
  const std::string_view head = insert.substr(0, insert.size() - rest.size());
  if (!take(rest, "values")) return std::nullopt;
  const std::string row = take_placeholders(rest);
  skip_space(rest);
  if (row.empty() || !rest.empty()) return std::nullopt;
  const std::size_t count = placeholders(insert);
  return std::string(head) + " select " + row + " from unnest(" + numbered('$', count) + ") as p(" +
         numbered('p', count) + ")";
}

std::optional<InsertsNew> inserts_new_for_many(std::string_view insert) {
  constexpr std::string_view kConflict = " on conflict";
  const std::size_t at = insert.find(kConflict);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view plain = insert.substr(0, at);
  const auto many = for_many_rows(plain);
  std::string_view target = insert.substr(at + kConflict.size());
  const std::vector<std::string> key = take_names(target);
  if (!many || key.empty() || !take(target, "do nothing")) return std::nullopt;
  skip_space(target);
  if (!target.empty()) return std::nullopt;

  std::string_view listed = plain.substr(plain.find('('));
  const std::vector<std::string> columns = take_names(listed);
  std::string_view values = listed.substr(listed.find('(') + 1);
  std::vector<std::size_t> given;  // the parameter of each column
  do {
    given.push_back(take_placeholder(values).value());
  } while (take(values, ","));
  InsertsNew made{.sql = *many + std::string(insert.substr(at)) + " returning ", .key = {}};
  for (const std::string& column : key) {
    const auto found = std::find(columns.begin(), columns.end(), column);
    const auto index = static_cast<std::size_t>(found - columns.begin());
    if (index >= given.size()) return std::nullopt;
    made.sql += (made.key.empty() ? "" : ", ") + column;
    made.key.push_back(given[index]);
  }
  return made;
}

std::optional<Taking> as_taking(std::string_view update) {
  std::string_view rest = update;
  Taking taking;
  if (!take(rest, "update ")) return std::nullopt;
  taking.table = take_name(rest);
  if (!take(rest, "set ")) return std::nullopt;
  const std::string number = take_name(rest);
  if (!take(rest, "=") || take_name(rest) != number || !take(rest, "-")) return std::nullopt;
  const auto amount = take_placeholder(rest);
  std::vector<std::size_t> others;
  while (take(rest, ",")) {
    const std::string column = take_name(rest);
    const auto value = take(rest, "=") ? take_placeholder(rest) : std::nullopt;
    if (!value || column == number) return std::nullopt;
    others.push_back(*value);
  }
  if (!take(rest, "where ")) return std::nullopt;
  taking.key_column = take_name(rest);
  const auto key = take(rest, "=") ? take_placeholder(rest) : std::nullopt;
  if (!take(rest, "and ") || take_name(rest) != number || !take(rest, ">=")) return std::nullopt;
  if (!amount || !key || take_placeholder(rest) != amount || key == amount) return std::nullopt;
  skip_space(rest);
  if (!rest.empty() || taking.table.empty() || number.empty() || taking.key_column == number)
    return std::nullopt;
  for (const std::size_t other : others)
    if (other == *amount || other == *key) return std::nullopt;
  taking.key = *key;
  taking.amount = *amount;
  return taking;
}

bool reads_only(std::string_view sql) noexcept {
  skip_space(sql);
  return sql.starts_with("select ") && sql.find('(') == std::string_view::npos &&
         sql.find(" for ") == std::string_view::npos;
}

std::optional<std::string> reads_for_many(std::string_view select) {
  const std::size_t count = placeholders(select);
  if (count == 0 || !reads_only(select)) return std::nullopt;
  for (const std::string_view refused :
       {" order ", " limit ", " offset ", " fetch ", "asked", "'", "\"", ";", "--", "$$"})
    if (select.find(refused) != std::string_view::npos) return std::nullopt;
  std::string inner;
  for (std::size_t i = 0; i < select.size(); ++i) {
    const bool placeholder = select[i] == '$' && i + 1 < select.size() && is_digit(select[i + 1]);
    placeholder ? inner.append("asked.p") : inner.append(1, select[i]);
  }
  return "select asked.n, found.* from unnest(" + numbered('$', count) + ") with ordinality as asked(" +
         numbered('p', count) + ", n), lateral (" + inner + " offset 0) as found";
}

std::int64_t may_change(std::string_view sql, std::int64_t changed) noexcept {
  if (changed > 0) return changed;
  skip_space(sql);
  for (const std::string_view plain : {"insert ", "update ", "delete "})
    if (sql.starts_with(plain)) return 0;
  return reads_only(sql) ? 0 : 1;
}

}  // namespace holdfast::sql::postgres
