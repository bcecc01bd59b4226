#include "holdfast/webhooks/schema.hpp"

namespace holdfast::webhooks {
namespace {

// A subscriber's deliveries that are due are found by an index of the pending ones alone: it stays small
// however many finished ones are kept. The unique index is what makes a fan-out repeatable.
constexpr const char* kUp = R"sql(
create table webhook_received (
  source text not null,
  event_id text not null,
  received_at integer not null,
  primary key (source, event_id)
);
create index webhook_received_by_age on webhook_received (source, received_at);
create table webhook_subscribers (
  id text not null primary key,
  url text not null,
  description text not null,
  event_types text not null,
  secret text not null,
  previous_secret text,
  previous_secret_until integer,
  status text not null,
  disabled_reason text,
  disabled_at integer,
  failing_since integer,
  consecutive_failures integer not null,
  created_at integer not null,
  updated_at integer not null
);
create table webhook_events (
  id text not null primary key,
  body text not null,
  created_at integer not null
);
create index webhook_events_by_age on webhook_events (created_at);
create table webhook_deliveries (
  id text not null primary key,
  subscriber_id text not null,
  event_id text not null,
  type text not null,
  status text not null,
  attempts integer not null,
  fence integer not null,
  next_attempt_at integer,
  last_status integer,
  last_error text,
  created_at integer not null,
  finished_at integer
);
create unique index webhook_deliveries_event on webhook_deliveries (event_id, subscriber_id);
create index webhook_deliveries_list on webhook_deliveries (subscriber_id, id);
create index webhook_deliveries_due on webhook_deliveries (subscriber_id, next_attempt_at)
  where status = 'pending';
create index webhook_deliveries_finished on webhook_deliveries (finished_at) where finished_at is not null;
)sql";

constexpr const char* kDown = R"sql(
drop table webhook_deliveries;
drop table webhook_events;
drop table webhook_subscribers;
drop table webhook_received;
)sql";

}  // namespace

std::vector<sql::Migration> migrations() {
  return {{.version = kFirstMigration, .name = "webhooks", .up_sql = kUp, .down_sql = kDown}};
}

}  // namespace holdfast::webhooks
