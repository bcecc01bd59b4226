#include "paysim/schema.hpp"

namespace holdfast::paysim {

std::vector<sql::Migration> migrations() {
  return {{1, "payments",
           R"sql(
create table intents (
  id text primary key,
  order_id text not null,
  amount bigint not null,
  currency text not null,
  status text not null,
  capture_method text not null,
  payment_method text not null,
  amount_authorized bigint not null,
  amount_capturable bigint not null,
  amount_received bigint not null,
  amount_refunded bigint not null,
  latest_charge text not null,
  description text not null,
  metadata text not null,
  cancellation_reason text not null,
  last_payment_error text not null,
  settles_at bigint,
  canceled_at bigint,
  created_at bigint not null
);
create index intents_by_settlement on intents (settles_at) where settles_at is not null;

create table intent_metadata (
  name text not null,
  value text not null,
  intent_id text not null,
  primary key (name, value, intent_id)
);

create table refunds (
  id text primary key,
  intent_id text not null,
  charge_id text not null,
  amount bigint not null,
  currency text not null,
  reason text not null,
  metadata text not null,
  created_at bigint not null
);
create index refunds_by_intent on refunds (intent_id, id);

create table events (
  id text primary key,
  type text not null,
  object_id text not null,
  body text not null,
  created_at bigint not null
);

create table deliveries (
  id text primary key,
  event_id text not null,
  intent_id text not null,
  state text not null,
  due_at bigint not null,
  attempts bigint not null,
  outcome text not null
);
create index deliveries_by_due on deliveries (due_at, id) where state = 'pending';

create table remembered_answers (
  key text primary key,
  fingerprint text not null,
  status bigint not null,
  body text not null,
  created_at bigint not null
);
create index remembered_answers_by_age on remembered_answers (created_at);

create table webhook_endpoint (
  id bigint primary key,
  url text not null,
  secret text not null
);
)sql",
           R"sql(
drop table webhook_endpoint; drop table remembered_answers; drop table deliveries; drop table events;
drop table refunds; drop table intent_metadata; drop table intents;
)sql"},
          {2, "webhooks of chosen events",
           R"sql(
alter table webhook_endpoint add column enabled_events text not null default '["*"]';
)sql",
           R"sql(
alter table webhook_endpoint drop column enabled_events;
)sql"}};
}

}  // namespace holdfast::paysim
