#include "holdfast/idempotency/schema.hpp"

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
  return {{.version = kFirstMigration, .name = "idempotency", .up_sql = kUp, .down_sql = kDown}};
}

}  // namespace holdfast::idempotency
