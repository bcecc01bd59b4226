// A row of a result, as Values. Integers of all widths, booleans and whole numerics are INTEGER, so that
// count(*), sum() and comparisons read as they do with SQLite.
//
// Thread-safety: as its connection.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/sql/row.hpp"

struct pg_result;

namespace holdfast::sql::postgres {

class ResultRow final : public RowView {
 public:
  /// Without its first `hidden` columns.
  ResultRow(const pg_result* result, std::string_view sql, std::size_t hidden = 0);

  void move_to(int row) noexcept { row_ = row; }

  std::size_t columns() const noexcept override;
  std::string_view name(std::size_t column) const override;
  Value value(std::size_t column) const override;
  std::string_view statement() const noexcept override { return sql_; }

 private:
  const pg_result* result_;
  std::string_view sql_;
  std::size_t hidden_;
  int row_ = 0;
  mutable std::vector<std::vector<std::byte>> bytes_;  // decoded, by column
};

}  // namespace holdfast::sql::postgres
