#include <libpq-fe.h>

#include <stdexcept>

#include "drills/frame/shop_data.hpp"

namespace holdfast::drills {

namespace {

struct Close {
  void operator()(PGconn* connection) const noexcept { PQfinish(connection); }
  void operator()(PGresult* result) const noexcept { PQclear(result); }
};
using Result = std::unique_ptr<PGresult, Close>;

class PostgresData final : public ShopData {
 public:
  explicit PostgresData(const std::string& url) : connection_(PQconnectdb(url.c_str())) {
    if (PQstatus(connection_.get()) != CONNECTION_OK)
      throw std::runtime_error(std::string("connecting to PostgreSQL: ") + PQerrorMessage(connection_.get()));
    PQsetNoticeProcessor(
        connection_.get(), [](void*, const char*) {}, nullptr);
  }

  std::vector<std::vector<std::string>> rows(const std::string& sql) const override {
    const Result result = run(sql);
    std::vector<std::vector<std::string>> all;
    for (int row = 0; row < PQntuples(result.get()); ++row) {
      auto& columns = all.emplace_back();
      for (int column = 0; column < PQnfields(result.get()); ++column)
        columns.emplace_back(PQgetvalue(result.get(), row, column));
    }
    return all;
  }
  bool has_table(const std::string& name) const override {
    return number("select count(*) from pg_tables where tablename = '" + name +
                  "' and schemaname = current_schema()") > 0;
  }
  void change(const std::string& sql) const override { run(sql); }

 private:
  Result run(const std::string& sql) const {
    Result result(PQexec(connection_.get(), sql.c_str()));
    const ExecStatusType status = PQresultStatus(result.get());
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) return result;
    throw std::runtime_error(std::string(PQerrorMessage(connection_.get())) + " in: " + sql);
  }
  std::unique_ptr<PGconn, Close> connection_;
};

}  // namespace

std::unique_ptr<ShopData> open_postgres(const std::string& url) {
  return std::make_unique<PostgresData>(url);
}

}  // namespace holdfast::drills
