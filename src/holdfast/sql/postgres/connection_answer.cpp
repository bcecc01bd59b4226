// The answers of Connection.
#include <libpq-fe.h>

#include <cstdlib>

#include "holdfast/sql/postgres/connection.hpp"
#include "holdfast/sql/postgres/row.hpp"

namespace holdfast::sql::postgres {

std::int64_t Connection::Answer::changed() const {
  const std::string_view tag = PQcmdStatus(result_.get());
  return tag.starts_with("SELECT") ? 0 : static_cast<std::int64_t>(std::atoll(PQcmdTuples(result_.get())));
}

void Connection::Answer::deliver(std::string_view sql, RowSink& sink) const {
  ResultRow row(result_.get(), sql);
  sink.columns(row);
  const int count = PQntuples(result_.get());
  for (int i = 0; i < count; ++i) {
    row.move_to(i);
    if (!sink.row(row)) break;
  }
}

std::size_t Connection::Answer::rows() const noexcept {
  return static_cast<std::size_t>(PQntuples(result_.get()));
}

std::string_view Connection::Answer::text(std::size_t row, std::size_t column) const noexcept {
  const int at[] = {static_cast<int>(row), static_cast<int>(column)};
  return {PQgetvalue(result_.get(), at[0], at[1]),
          static_cast<std::size_t>(PQgetlength(result_.get(), at[0], at[1]))};
}

std::vector<std::vector<int>> Connection::Answer::by_number(std::size_t count) const {
  std::vector<std::vector<int>> rows(count);
  const int all = PQntuples(result_.get());
  for (int i = 0; i < all; ++i) {
    const auto number = static_cast<std::size_t>(std::atoll(PQgetvalue(result_.get(), i, 0)));
    rows.at(number - 1).push_back(i);
  }
  return rows;
}

void Connection::Answer::deliver_numbered(std::string_view sql, std::span<const int> rows,
                                          RowSink& sink) const {
  ResultRow row(result_.get(), sql, 1);
  sink.columns(row);
  for (const int i : rows) {
    row.move_to(i);
    if (!sink.row(row)) break;
  }
}

}  // namespace holdfast::sql::postgres
