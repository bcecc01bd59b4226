#include "holdfast/messaging/schema.hpp"

namespace holdfast::messaging {
namespace {

// AUTOINCREMENT: a position is never given again, also when everything was trimmed.
constexpr const char* kPosition = R"sql(
create table outbox (
  position integer primary key autoincrement,
)sql";

// A reader goes on from the highest position it saw, so none below it may become visible later. A sequence
// alone lets that happen: two transactions take 1 and 2, and the second commits first. Here who takes a
// position first takes a lock that its transaction keeps until it has committed.
constexpr const char* kPostgresPosition = R"sql(
create sequence outbox_positions;
create or replace function outbox_next_position() returns bigint language plpgsql as $$
begin
  perform pg_advisory_xact_lock(8031170681846625120);
  return nextval('outbox_positions');
end $$;
create table outbox (
  position bigint primary key default outbox_next_position(),
)sql";

constexpr const char* kTables =
    R"sql(  id text not null,
  topic text not null,
  key text not null,
  bucket integer not null,
  type text not null,
  version integer not null,
  headers text not null,
  payload text not null,
  occurred_at integer not null
);
create table outbox_groups (
  group_name text not null primary key,
  topics text not null,
  created_at integer not null
) without rowid;
create table outbox_workers (
  worker text not null primary key,
  expires_at integer not null
) without rowid;
create table outbox_members (
  group_name text not null,
  worker text not null,
  primary key (group_name, worker)
) without rowid;
create table outbox_leases (
  group_name text not null,
  bucket integer not null,
  owner text,
  fence integer not null,
  position integer not null,
  primary key (group_name, bucket)
) without rowid;
create table parked_messages (
  group_name text not null,
  bucket integer not null,
  key text not null,
  position integer not null,
  id text not null,
  topic text not null,
  type text not null,
  version integer not null,
  headers text not null,
  payload text not null,
  occurred_at integer not null,
  attempts integer not null,
  history text not null,
  next_attempt_at integer not null,
  adopted integer not null
);
create unique index parked_messages_order on parked_messages (group_name, bucket, key, position);
create index parked_messages_new on parked_messages (group_name) where adopted = 0;
create table dead_letters (
  id text not null primary key,
  group_name text not null,
  topic text not null,
  key text not null,
  bucket integer not null,
  type text not null,
  version integer not null,
  message_id text not null,
  position integer not null,
  occurred_at integer not null,
  headers text not null,
  payload text not null,
  error text not null,
  attempts text not null,
  dead_at integer not null,
  redriven_at integer
);
create index dead_letters_open on dead_letters (group_name) where redriven_at is null;
create table inbox (
  group_name text not null,
  message_id text not null,
  processed_at integer not null,
  primary key (group_name, message_id)
) without rowid;
)sql";

constexpr const char* kDown = R"sql(
drop table inbox;
drop table dead_letters;
drop table parked_messages;
drop table outbox_leases;
drop table outbox_members;
drop table outbox_workers;
drop table outbox_groups;
drop table outbox;
)sql";
constexpr const char* kPostgresDown = "drop function outbox_next_position; drop sequence outbox_positions;";

}  // namespace

std::vector<sql::Migration> migrations() {
  return {{.version = kFirstMigration,
           .name = "messaging",
           .up_sql = std::string(kPosition) + kTables,
           .down_sql = kDown,
           .postgres_up_sql = std::string(kPostgresPosition) + kTables,
           .postgres_down_sql = std::string(kDown) + kPostgresDown},
          {.version = kFirstMigration + 1,
           .name = "messaging: workers that ended",
           .up_sql = "alter table outbox_leases add column crashes integer not null default 0;",
           .down_sql = "alter table outbox_leases drop column crashes;"},
          {.version = kFirstMigration + 2,
           .name = "messaging: retries that ended a worker",
           .up_sql = "alter table parked_messages add column crashes integer not null default 0;",
           .down_sql = "alter table parked_messages drop column crashes;"},
          {.version = kFirstMigration + 3,
           .name = "messaging: where a broker's reader goes on",
           .up_sql = "alter table outbox_leases add column cursor text not null default '';",
           .down_sql = "alter table outbox_leases drop column cursor;"}};
}

}  // namespace holdfast::messaging
