#include "orders/modules/payments/payments.hpp"

namespace holdfast::orders::payments {
namespace {

// Nearly every payment ends captured, so the indexes by what is open hold only the others.
constexpr const char* kTables = R"sql(
create table payments(
  id text not null primary key,
  order_id text not null unique,
  state text not null,
  settled_state text not null,
  amount_minor integer not null check (amount_minor > 0),
  captured_minor integer not null default 0 check (captured_minor >= 0),
  refunded_minor integer not null default 0 check (refunded_minor >= 0),
  currency text not null,
  method text not null,
  provider text not null,
  provider_ref text,
  authorize_key text not null,
  open_operation text,
  decline_reason text,
  action_url text,
  unknown_since integer,
  version integer not null,
  created_at integer not null,
  updated_at integer not null
);
create unique index payments_by_ref on payments(provider_ref) where provider_ref is not null;
create index payments_open on payments(updated_at)
  where state in ('unknown', 'refund_unknown', 'action_required', 'processing', 'refunding');
create table payment_events(
  id text not null primary key,
  outcome text not null,
  received_at integer not null
) without rowid;
create index payment_events_by_age on payment_events(received_at);
create table ledger_entries(
  transaction_id text not null,
  position integer not null,
  order_id text not null,
  kind text not null,
  account text not null,
  amount_minor integer not null check (amount_minor <> 0),
  currency text not null,
  at integer not null,
  primary key (transaction_id, position)
) without rowid;
create index ledger_entries_by_order on ledger_entries(order_id, at);
)sql";

// What is written in the ledger stays: triggers see to it.
constexpr const char* kTriggers =
    R"sql(create trigger ledger_entries_stay before update on ledger_entries begin
  select raise(abort, 'ledger_entries is append-only');
end;
create trigger ledger_entries_remain before delete on ledger_entries begin
  select raise(abort, 'ledger_entries is append-only');
end;
)sql";
constexpr const char* kPostgresTriggers = R"sql(
create or replace function ledger_is_append_only() returns trigger language plpgsql as $$
begin
  raise exception 'ledger_entries is append-only';
end $$;
create trigger ledger_entries_stay before update or delete or truncate on ledger_entries
  for each statement execute function ledger_is_append_only();
)sql";

constexpr const char* kDown = "drop table ledger_entries; drop table payment_events; drop table payments;";

}  // namespace

std::vector<sql::Migration> migrations() {
  return {{.version = 60,
           .name = "payments",
           .up_sql = std::string(kTables) + kTriggers,
           .down_sql = kDown,
           .postgres_up_sql = std::string(kTables) + kPostgresTriggers,
           .postgres_down_sql = std::string(kDown) + " drop function ledger_is_append_only;"},
          {.version = 61,
           .name = "payments: webhooks are known to the room of webhooks",
           .up_sql = "drop table payment_events;",
           .down_sql = R"sql(
create table payment_events(
  id text not null primary key,
  outcome text not null,
  received_at integer not null
) without rowid;
create index payment_events_by_age on payment_events(received_at);
)sql"}};
}

}  // namespace holdfast::orders::payments
