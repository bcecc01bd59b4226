#include "holdfast/sql/row.hpp"

#include "holdfast/base/error.hpp"
#include "holdfast/sql/database.hpp"

namespace holdfast::sql {
namespace {

// One sentence for callers; what it was about is for the log.
[[noreturn]] void throw_defect(std::string cause) {
  throw Error(ErrorCode::internal, "A statement and the code around it disagree.").cause(std::move(cause));
}

std::string in_statement(const RowView& row) { return " in: " + std::string(row.statement()); }

}  // namespace

std::string_view to_string(Value::Type type) noexcept {
  switch (type) {
    case Value::Type::null: return "null";
    case Value::Type::integer: return "integer";
    case Value::Type::real: return "real";
    case Value::Type::text: return "text";
    case Value::Type::blob: return "blob";
  }
  return "null";
}

void Value::refuse(Type wanted) const {
  throw_defect("a value is " + std::string(to_string(type_)) + " where " + std::string(to_string(wanted)) +
               " is needed");
}

void throw_out_of_range(std::int64_t value) {
  throw_defect("the integer " + std::to_string(value) + " does not fit its C++ or SQL type");
}

void throw_wrong_size(std::size_t size, std::size_t wanted) {
  throw_defect("a blob has " + std::to_string(size) + " bytes where " + std::to_string(wanted) +
               " are needed");
}

void throw_unreadable(std::string_view text, std::string_view wanted) {
  throw_defect("the text '" + std::string(text.substr(0, 80)) + "' where " + std::string(wanted) +
               " is needed");
}

void throw_unknown_column(const RowView& row, std::size_t column) {
  throw_defect("column '" + std::string(row.name(column)) + "' has no member of that name" +
               in_statement(row));
}

void throw_missing_column(const RowView& row, std::string_view member) {
  throw_defect("member '" + std::string(member) + "' has no column of that name" + in_statement(row));
}

void throw_column_count(const RowView& row, std::size_t wanted) {
  throw_defect(std::to_string(row.columns()) + " columns where " + std::to_string(wanted) + " are read" +
               in_statement(row));
}

void rethrow_for_column(const RowView& row, std::size_t column) {
  std::string why = "unreadable";
  try {
    throw;
  } catch (const Error& error) {
    why = error.cause().empty() ? error.detail() : error.cause();
  } catch (const std::exception& error) {
    why = error.what();
  }
  throw_defect("column '" + std::string(row.name(column)) + "': " + why + in_statement(row));
}

void throw_no_row(std::string_view sql) {
  throw_defect("no row where one is certain, in: " + std::string(sql));
}

}  // namespace holdfast::sql
