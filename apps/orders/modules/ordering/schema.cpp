#include "orders/modules/ordering/ordering.hpp"

namespace holdfast::orders::ordering {

// Ids ascend with time, so both tables grow at their end only. Nearly every order is confirmed, so the
// index by status holds only the others, and costs the order path nothing.
std::vector<sql::Migration> migrations() {
  return {{.version = 40,
           .name = "orders",
           .up_sql = R"sql(
create table orders(
  id text not null primary key,
  customer_id text not null,
  customer_email text,
  status text not null,
  total_minor integer not null check (total_minor >= 0),
  currency text not null,
  shipping_address text,
  created_at integer not null,
  updated_at integer not null
) without rowid;
create index orders_by_customer on orders(customer_id, id);
create index orders_not_confirmed on orders(status, id) where status <> 'confirmed';
create table order_lines(
  order_id text not null,
  position integer not null,
  sku text not null,
  name text not null,
  quantity integer not null check (quantity > 0),
  unit_price_minor integer not null,
  primary key (order_id, position)
) without rowid;
create table order_changes(
  order_id text not null,
  number integer not null,
  type text not null,
  at integer not null,
  payload text not null,
  primary key (order_id, number)
) without rowid;
)sql",
           .down_sql = "drop table order_changes; drop table order_lines; drop table orders;"},
          // Most orders end confirmed or, with a checkout, shipped: the index holds the others. Its
          // condition is a list of the terms that queries have, which is how SQLite knows it fits.
          {.version = 41,
           .name = "orders: checkout",
           .up_sql = R"sql(
alter table orders add column status_reason text;
alter table orders add column confirmed_at integer;
update orders set confirmed_at = created_at;
drop index orders_not_confirmed;
create index orders_open on orders(status, id)
  where status = 'pending' or status = 'rejected' or status = 'cancelled';
)sql",
           .down_sql = R"sql(
drop index orders_open;
create index orders_not_confirmed on orders(status, id) where status <> 'confirmed';
alter table orders drop column confirmed_at;
alter table orders drop column status_reason;
)sql"}};
}

}  // namespace holdfast::orders::ordering
