#include "cli/replay/order_json.hpp"

#include <algorithm>

#include "holdfast/base/reflect.hpp"

namespace holdfast::cli {

namespace {

struct Amount {
  std::int64_t minor = 0;
  std::string currency;
};
HOLDFAST_DESCRIBE(Amount, (minor, currency))

struct Line {
  std::string sku;
  std::int64_t quantity = 0;
  Amount unit_price;
};
HOLDFAST_DESCRIBE(Line, (sku, quantity, unit_price))

struct Order {
  std::string id;
  std::string status;
  std::vector<Line> items;
  Amount total;
};
HOLDFAST_DESCRIBE(Order, (id, status, items, total))

/// FNV-1a, 64 bit: a fingerprint against mistakes, not against malice.
void mix(std::uint64_t& hash, std::string_view text) {
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  hash = (hash ^ 0xff) * 0x100000001b3;
}

}  // namespace

StoredOrder read_order(const JsonValue& json) {
  Order order = from_json<Order>(json, {.limits = {}, .ignore_unknown = true});
  std::ranges::sort(order.items, {}, &Line::sku);
  StoredOrder stored{.id = std::move(order.id),
                     .status = std::move(order.status),
                     .total_minor = order.total.minor,
                     .currency = std::move(order.total.currency),
                     .lines_total_minor = 0,
                     .lines_hash = 0xcbf29ce484222325,
                     .lines = {}};
  for (Line& line : order.items) {
    stored.lines_total_minor += line.quantity * line.unit_price.minor;
    mix(stored.lines_hash, line.sku);
    mix(stored.lines_hash, std::to_string(line.quantity));
    mix(stored.lines_hash, std::to_string(line.unit_price.minor));
    stored.lines.emplace_back(std::move(line.sku), line.quantity);
  }
  return stored;
}

StoredOrder read_order(std::string_view text) { return read_order(JsonDocument::parse(text).root()); }

std::string order_body(const ReplayPlan& plan, const PlannedOrder& order) {
  std::string body;
  JsonWriter writer(body);
  writer.begin_object().member("customerId", order.customer).key("items").begin_array();
  for (const PlannedLine& line : order.lines) {
    writer.begin_object().member("sku", plan.skus[line.sku]).member("quantity", line.quantity).end_object();
  }
  writer.end_array().end_object();
  return body;
}

std::string product_body(const CollectedProduct& product, std::string_view currency, std::int64_t stock) {
  std::string body;
  JsonWriter writer(body);
  writer.begin_object().member("sku", product.sku).member("name", product.name);
  writer.key("price")
      .begin_object()
      .member("minor", product.price_minor)
      .member("currency", currency)
      .end_object();
  writer.member("initialStock", stock).end_object();
  return body;
}

}  // namespace holdfast::cli
