#include "holdfast/idempotency/schema.hpp"

#include <string>

#include "holdfast/sql/database.hpp"

namespace holdfast::idempotency {
namespace {

// Rows are appended in the order of their expiry, so the sweep needs no index; the only one is narrow.
constexpr const char* kUp = R"sql(
create table idempotency_records (
  number integer primary key,
  scope blob not null,
  fingerprint blob not null,
  status integer not null,
  headers text not null,
  body blob not null,
  created_at integer not null,
  expires_at integer not null
);
create unique index idempotency_records_scope on idempotency_records (scope);
)sql";

constexpr const char* kDown = "drop table idempotency_records";

}  // namespace

std::vector<sql::Migration> migrations() {
  return {{.version = kFirstMigration, .name = "idempotency", .up_sql = kUp, .down_sql = kDown},
          {.version = kFirstMigration + 1,
           .name = "idempotency: which database this is",
           .up_sql = "create table idempotency_store (one integer not null primary key, id text not null);",
           .down_sql = "drop table idempotency_store;"}};
}

std::string store_id(const Context& ctx, sql::Database& database, Random& random) {
  return database.transact(ctx, "name the database", [&](sql::Transaction& tx) {
    tx.execute("insert into idempotency_store(one, id) values(1, $1) on conflict(one) do nothing",
               std::to_string(random.next()));
    return tx.query_value<std::string>("select id from idempotency_store where one = 1");
  });
}

}  // namespace holdfast::idempotency
