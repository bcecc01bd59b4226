#include "orders/modules/catalog/catalog.hpp"

namespace holdfast::orders::catalog {

// What the order path reads stands before the long columns, which may overflow to pages of their own.
std::vector<sql::Migration> migrations() {
  return {{.version = 30,
           .name = "products",
           .up_sql = R"sql(
create table products(
  sku text not null primary key,
  price_minor integer not null check (price_minor >= 0),
  currency text not null,
  status text not null check (status in ('active', 'archived')),
  name text not null,
  version integer not null,
  created_at integer not null,
  updated_at integer not null,
  attributes text not null,
  description text not null
);
create index products_by_name on products(name, sku);
create index products_by_price on products(price_minor, sku);
)sql",
           .down_sql = "drop table products;"}};
}

}  // namespace holdfast::orders::catalog
