#include "orders/modules/inventory/inventory.hpp"

namespace holdfast::orders::inventory {

// The ledger is only ever appended to, and has no index besides its own order: each order writes to it.
std::vector<sql::Migration> migrations() {
  return {{.version = 20,
           .name = "stock",
           .up_sql = R"sql(
create table stock_levels(
  sku text not null primary key,
  quantity integer not null check (quantity >= 0),
  updated_at integer not null
) without rowid;
create table stock_movements(
  id integer primary key,
  sku text not null,
  delta integer not null,
  reason text not null,
  reference text not null,
  at integer not null
);
)sql",
           .down_sql = "drop table stock_movements; drop table stock_levels;"}};
}

}  // namespace holdfast::orders::inventory
