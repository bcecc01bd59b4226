// The release before on the schema of the next one, whose steps only add: it starts, takes orders, and all
// adds up. So a release is rolled out process by process, and back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <thread>

#include "drills/frame/server_process.hpp"
#include "holdfast/sql/testing/postgres_server.hpp"

namespace holdfast::drills {
namespace {

using namespace std::chrono_literals;
using sql::PostgresServer;
using ::testing::AllOf;
using ::testing::HasSubstr;

/// A column in each table, a table and an index more, as the next release might add them.
std::string expanding(const std::string& integer) {
  std::string sql = "create table of_tomorrow(n " + integer +
                    " primary key); create index orders_of_tomorrow on "
                    "orders(customer_id, status); ";
  for (const char* table : {"orders", "order_lines", "stock_levels", "stock_movements", "products", "outbox",
                            "outbox_leases", "outbox_groups", "inbox", "idempotency_records", "sent_mails",
                            "api_keys", "sagas", "parked_messages"}) {
    sql +=
        std::string("alter table ") + table + " add column of_tomorrow " + integer + " not null default 7; ";
  }
  return sql +
         "insert into holdfast_migrations(version, name, checksum, applied_at) values(99999, 'expand: of "
         "tomorrow', 'x', 0);";
}

void expect_work(ServerProcess& server) {
  const std::string key = server.create_key("admin");
  HttpConnection http(server.port(), 10s, key);
  ASSERT_EQ(http.post("/v1/products", R"({"sku":"MUG","name":"Mug","price":{"minor":100,"currency":"GBP"},)"
                                      R"("initialStock":10})")
                .status,
            201);
  for (int n = 0; n < 5; ++n) {
    const HttpAnswer made =
        http.post("/v1/orders", R"({"customerId":"ada","items":[{"sku":"MUG","quantity":1}]})",
                  {{"Idempotency-Key", "k" + std::to_string(n)}});
    ASSERT_EQ(made.status, 201) << made.body;
  }
  EXPECT_EQ(http.get("/v1/orders?limit=10").status, 200);
  std::string books;
  for (int looks = 0; looks < 500; ++looks) {
    books = http.get("/v1/ops/reconciliation").body;
    if (books.find(R"("complete":true)") != std::string::npos) break;
    std::this_thread::sleep_for(20ms);
  }
  EXPECT_THAT(books, AllOf(HasSubstr(R"("balanced":true)"), HasSubstr(R"("complete":true)")));
  const Finished status = server.run({"migrate", "status"});
  EXPECT_EQ(status.status.code, 0) << status.err;
  EXPECT_THAT(status.out, HasSubstr("expand: of tomorrow"));
  for (const std::vector<std::string>& command : std::vector<std::vector<std::string>>{
           {"outbox", "status"}, {"dead-letters", "list"}, {"sagas", "list"}, {"keys", "list"}}) {
    const Finished ended = server.run(command);
    EXPECT_EQ(ended.status.code, 0) << command.front() << ": " << ended.err;
  }
  EXPECT_EQ(server.stop().code, 0);
}

TEST(OnANewerSchema, TheReleaseBeforeGoesOnWithSqlite) {
  ServerProcess server({.start = false});
  ASSERT_EQ(server.run({"migrate", "up"}).status.code, 0);
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open((server.data() / "orders.db").c_str(), &db), SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(db, expanding("integer").c_str(), nullptr, nullptr, nullptr), SQLITE_OK)
      << sqlite3_errmsg(db);
  sqlite3_close(db);
  server.start();
  expect_work(server);
}

TEST(OnANewerSchema, TheReleaseBeforeGoesOnWithPostgres) {
  if (PostgresServer::not_wanted()) GTEST_SKIP() << PostgresServer::kNotWanted;
  const std::string database = PostgresServer::shared().create_database();
  ServerProcess server(
      {.environment = {{"HOLDFAST_DATABASE_URL", PostgresServer::shared().url(database)}}, .start = false});
  ASSERT_EQ(server.run({"migrate", "up"}).status.code, 0);
  PostgresServer::shared().run_sql(database, expanding("bigint"));
  server.start();
  expect_work(server);
}

}  // namespace
}  // namespace holdfast::drills
