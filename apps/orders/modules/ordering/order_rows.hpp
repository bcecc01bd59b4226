// An order as its rows. For this module's sources.
#pragma once

#include "orders/modules/ordering/ordering.hpp"

namespace holdfast::orders::ordering {

struct OrderRow {
  OrderId id;
  std::string customer_id;
  std::optional<std::string> customer_email;
  OrderStatus status = OrderStatus::confirmed;
  std::optional<std::string> status_reason;
  std::int64_t total_minor = 0;
  Currency currency;
  std::optional<std::string> shipping_address;
  WallTime created_at;
  WallTime updated_at;
  std::optional<WallTime> confirmed_at;
};
HOLDFAST_DESCRIBE(OrderRow, (id, customer_id, customer_email, status, status_reason, total_minor, currency,
                             shipping_address, created_at, updated_at, confirmed_at))

struct LineRow {
  std::string sku;
  std::string name;
  std::int64_t quantity = 0;
  std::int64_t unit_price_minor = 0;
};
HOLDFAST_DESCRIBE(LineRow, (sku, name, quantity, unit_price_minor))

struct ChangeRow {
  std::int64_t number = 0;
  std::string type;
  WallTime at;
  std::string payload;
};
HOLDFAST_DESCRIBE(ChangeRow, (number, type, at, payload))

}  // namespace holdfast::orders::ordering
