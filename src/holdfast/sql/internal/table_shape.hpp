// What a database says of its own tables, the same way for every engine.
//
// Thread-safety: functions of their arguments.
#pragma once

#include <string>
#include <vector>

#include "holdfast/sql/database.hpp"

namespace holdfast::sql {

struct ColumnShape {
  std::string name;
  Value::Type type;  ///< what it holds where it is not null
  bool operator==(const ColumnShape&) const = default;
};

struct TableShape {
  std::string name;
  std::vector<ColumnShape> columns;  ///< by name: engines and histories order them differently
  std::vector<std::size_t> key;  ///< of the primary key or a unique index, in its order: indices of `columns`
  bool operator==(const TableShape&) const = default;

  std::string column_list() const;  ///< "a, b, c"
  std::string key_list() const;
};

/// All tables of the schema in use, by name, but for the engine's own. Throws Error(failed_precondition) for
/// one without any such key, or with a column of a type that is none of the portable ones.
std::vector<TableShape> tables_of(const Context& ctx, Database& database);

}  // namespace holdfast::sql
