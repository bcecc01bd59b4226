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
           .down_sql = "drop table products;"},
          {.version = 31,
           .name = "reviews",
           .up_sql = R"sql(
create table reviews(
  id text not null primary key,
  sku text not null,
  stars integer not null check (stars between 1 and 5),
  author text not null,
  text text not null,
  created_at integer not null
);
create index reviews_by_sku on reviews(sku, id);
create table review_totals(
  sku text not null primary key,
  reviews integer not null,
  stars integer not null
);
)sql",
           .down_sql = "drop table review_totals; drop table reviews;"},
          {.version = 32,
           .name = "bought_together",
           .up_sql = R"sql(
create table bought_together(
  sku_a text not null,
  sku_b text not null,
  orders integer not null,
  primary key (sku_a, sku_b)
);
create index bought_together_by_b on bought_together(sku_b);
)sql",
           .down_sql = "drop table bought_together;"}};
}

}  // namespace holdfast::orders::catalog
