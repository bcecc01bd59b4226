// A product as its row: flat, in the columns' order. For this module's sources.
#pragma once

#include <string_view>
#include <utility>

#include "orders/modules/catalog/catalog.hpp"

namespace holdfast::orders::catalog {

struct ProductRow {
  std::string sku;
  std::string name;
  std::string description;
  std::int64_t price_minor = 0;
  Currency currency;
  ProductStatus status = ProductStatus::active;
  JsonText attributes;
  std::int64_t version = 1;
  WallTime created_at;
  WallTime updated_at;
};
HOLDFAST_DESCRIBE(ProductRow, (sku, name, description, price_minor, currency, status, attributes, version,
                               created_at, updated_at))

inline constexpr std::string_view kSelectProduct =
    "select sku, name, description, price_minor, currency, status, attributes, version, created_at, "
    "updated_at "
    "from products";

inline Product to_product(ProductRow&& row) {
  return {std::move(row.sku),
          std::move(row.name),
          std::move(row.description),
          {row.price_minor, row.currency},
          row.status,
          std::move(row.attributes),
          row.version,
          row.created_at,
          row.updated_at};
}

}  // namespace holdfast::orders::catalog
