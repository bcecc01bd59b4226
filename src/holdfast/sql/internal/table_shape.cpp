#include "holdfast/sql/internal/table_shape.hpp"

#include <algorithm>
#include <cctype>
#include <tuple>

namespace holdfast::sql {
namespace {

constexpr const char* kSqliteColumns =
    "select m.name, c.name, c.type, c.pk from sqlite_master m join pragma_table_info(m.name) c "
    "where m.type = 'table' and m.name not like 'sqlite\\_%' escape '\\' order by m.name, c.name";
constexpr const char* kPostgresColumns =
    "select c.relname::text, a.attname::text, format_type(a.atttypid, null), "
    "coalesce(array_position(i.indkey::int2[], a.attnum) + 1, 0)::bigint "
    "from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped "
    "left join pg_index i on i.indrelid = c.oid and i.indisprimary "
    "where c.relkind = 'r' and c.relnamespace = current_schema()::regnamespace "
    "order by c.relname collate \"C\", a.attname collate \"C\"";

// Where there is no primary key, a unique index does as well; of several the first by name.
constexpr const char* kSqliteUnique =
    "select l.name, i.name from pragma_index_list($1) l join pragma_index_info(l.name) i "
    "where l.\"unique\" = 1 and l.partial = 0 order by l.name, i.seqno";
constexpr const char* kPostgresUnique =
    "select c.relname::text, a.attname::text "
    "from pg_index i join pg_class c on c.oid = i.indexrelid "
    "join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey::int2[]) "
    "where i.indrelid = to_regclass($1::text) and i.indisunique and i.indpred is null "
    "order by c.relname collate \"C\", array_position(i.indkey::int2[], a.attnum)";

[[noreturn]] void refuse(std::string detail) {
  throw Error(ErrorCode::failed_precondition, std::move(detail)).reason("table_not_portable");
}

Value::Type type_named(const std::string& table, const std::string& column, std::string name) {
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (name == "integer" || name == "bigint") return Value::Type::integer;
  if (name == "real" || name == "double precision") return Value::Type::real;
  if (name == "text") return Value::Type::text;
  if (name == "blob" || name == "bytea") return Value::Type::blob;
  refuse("Column " + table + "." + column + " is of type " + name +
         ", which is none of integer, real, text, blob.");
}

std::string list(const TableShape& table, const auto& names) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : ", ") + name;
  if (text.empty())
    refuse("Table " + table.name +
           " has no primary key and no unique index, by which its rows are told apart.");
  return text;
}

void take_unique_index(const Context& ctx, Database& database, TableShape& table) {
  using Column = std::tuple<std::string, std::string>;
  std::string chosen;
  for (const auto& [index, name] : database.query<Column>(
           ctx, database.dialect() == Dialect::postgres ? kPostgresUnique : kSqliteUnique, table.name)) {
    if (chosen.empty()) chosen = index;
    if (index != chosen) break;
    const auto column = std::ranges::find(table.columns, name, &ColumnShape::name);
    table.key.push_back(static_cast<std::size_t>(column - table.columns.begin()));
  }
}

}  // namespace

std::string TableShape::column_list() const {
  std::vector<std::string> names;
  for (const ColumnShape& column : columns) names.push_back(column.name);
  return list(*this, names);
}

std::string TableShape::key_list() const {
  std::vector<std::string> names;
  for (const std::size_t index : key) names.push_back(columns[index].name);
  return list(*this, names);
}

std::vector<TableShape> tables_of(const Context& ctx, Database& database) {
  using Column = std::tuple<std::string, std::string, std::string, std::int64_t>;
  const bool postgres = database.dialect() == Dialect::postgres;
  std::vector<TableShape> tables;
  std::vector<std::pair<std::int64_t, std::size_t>> key;  // of the last table: place, column
  const auto end_table = [&] {
    std::ranges::sort(key);
    for (const auto& [place, column] : key) tables.back().key.push_back(column);
    key.clear();
  };
  for (const auto& [table, name, type, place] :
       database.query<Column>(ctx, postgres ? kPostgresColumns : kSqliteColumns)) {
    if (tables.empty() || tables.back().name != table) {
      end_table();
      tables.push_back({.name = table, .columns = {}, .key = {}});
    }
    if (place > 0) key.emplace_back(place, tables.back().columns.size());
    tables.back().columns.push_back({.name = name, .type = type_named(table, name, type)});
  }
  end_table();
  for (TableShape& table : tables) {
    if (table.key.empty()) take_unique_index(ctx, database, table);
    static_cast<void>(table.key_list());  // or what is wrong with it
  }
  return tables;
}

}  // namespace holdfast::sql
