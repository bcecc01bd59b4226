#include "holdfast/saga/schema.hpp"

namespace holdfast::saga {
namespace {

// due_at: when a worker should look at the saga: its next attempt, a wait's deadline, at once for what
// runs; the far future for what waits for ever or is parked; null once it has ended. So its index holds
// the sagas that live, and nothing of those that are kept for their history.
// history: JSON objects with a comma after each, appended to.
constexpr const char* kUp = R"sql(
create table sagas (
  id text not null primary key,
  definition text not null,
  version integer not null,
  key text,
  bucket integer not null,
  status text not null,
  step integer not null,
  step_name text not null,
  attempts integer not null,
  may_have_happened integer not null,
  starts integer not null,
  revision integer not null,
  due_at integer,
  wait_until integer,
  revocable integer not null,
  cancel_reason text,
  reason text not null,
  detail text not null,
  error text not null,
  state text not null,
  history text not null,
  traceparent text not null,
  request_id text not null,
  started_at integer not null,
  updated_at integer not null,
  finished_at integer
) without rowid;
create unique index sagas_key on sagas (definition, key) where key is not null;
create index sagas_due on sagas (due_at) where due_at is not null;
create table saga_signals (
  position integer primary key autoincrement,
  saga_id text not null,
  event text not null,
  payload text not null,
  at integer not null
);
create index saga_signals_of on saga_signals (saga_id, event, position);
create table saga_workers (
  worker text not null primary key,
  expires_at integer not null
) without rowid;
create table saga_leases (
  bucket integer not null primary key,
  owner text,
  fence integer not null,
  crashed_at integer not null
) without rowid;
create table saga_definitions (
  name text not null,
  version integer not null,
  steps text not null,
  primary key (name, version)
) without rowid;
)sql";

constexpr const char* kDown = R"sql(
drop table saga_definitions;
drop table saga_leases;
drop table saga_workers;
drop table saga_signals;
drop table sagas;
)sql";

}  // namespace

std::vector<sql::Migration> migrations() {
  return {{.version = kFirstMigration, .name = "sagas", .up_sql = kUp, .down_sql = kDown}};
}

}  // namespace holdfast::saga
