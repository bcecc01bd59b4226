#include "orders/modules/shipping/shipping.hpp"

namespace holdfast::orders::shipping {

std::vector<sql::Migration> migrations() {
  return {{.version = 70,
           .name = "shipments",
           .up_sql = R"sql(
create table shipments(
  id text not null primary key,
  order_id text not null unique,
  state text not null,
  reference text not null unique,
  carrier text not null,
  carrier_ref text,
  tracking_number text,
  expected_delivery text,
  open_operation text,
  unknown_since integer,
  failure_reason text,
  destination text not null,
  parcels text not null,
  declared_minor integer not null,
  declared_currency text not null,
  version integer not null,
  created_at integer not null,
  updated_at integer not null
);
create index shipments_unknown on shipments(unknown_since) where state = 'unknown';
)sql",
           .down_sql = "drop table shipments;"}};
}

}  // namespace holdfast::orders::shipping
