#include "orders/modules/catalog/bought_together.hpp"

#include <algorithm>

#include "holdfast/runtime/context.hpp"

namespace holdfast::orders::catalog {
namespace {

constexpr std::int64_t kMostFrequent = 32;

// What an order's event says that is of use here.
struct BoughtItem {
  std::string sku;
};
HOLDFAST_DESCRIBE(BoughtItem, (sku))
struct BoughtOrder {
  std::string status;
  std::vector<BoughtItem> items;
};
HOLDFAST_DESCRIBE(BoughtOrder, (status, items))

struct Row {
  std::string sku;
  std::string name;
  std::int64_t price_minor = 0;
  Currency currency;
  std::int64_t orders = 0;
};
HOLDFAST_DESCRIBE(Row, (sku, name, price_minor, currency, orders))

BoughtOrder order_of(const messaging::Message& message) {
  return from_json<BoughtOrder>(message.payload, {.limits = {}, .ignore_unknown = true});
}

/// Most orders are of one item, and go with nothing. What can't be read is left to handle(), which tells.
bool has_pairs(const messaging::Message& message) {
  if (message.type != "order.placed" && message.type != "order.confirmed") return false;
  try {
    const BoughtOrder order = order_of(message);
    return order.status == "confirmed" && order.items.size() > 1;
  } catch (const Error&) {
    return true;
  }
}

void handle(const Context&, sql::Transaction& tx, const messaging::Message& message) {
  if (message.type != "order.placed" && message.type != "order.confirmed") return;
  const BoughtOrder order = order_of(message);
  if (order.status != "confirmed") return;  // it may yet be rejected; its confirmation will come
  std::vector<std::string> skus;
  for (const BoughtItem& item : order.items) skus.push_back(item.sku);
  count_together(tx, std::move(skus));
}

}  // namespace

std::vector<Companion> bought_together(sql::Queries& db, std::string_view sku, std::int64_t limit) {
  std::vector<Companion> companions;
  db.for_each<Row>(
      "select p.sku as sku, p.name as name, p.price_minor as price_minor, p.currency as currency, "
      "t.orders as orders from (select other, orders from ("
      "  select sku_b as other, orders from bought_together where sku_a = $1"
      "  union all"
      "  select sku_a as other, orders from bought_together where sku_b = $1) as pairs"
      " order by orders desc, other limit $2) as t "
      "join products p on p.sku = t.other where p.status = 'active' order by t.orders desc, p.sku limit $3",
      [&](Row&& row) {
        companions.push_back(
            {std::move(row.sku), std::move(row.name), {row.price_minor, row.currency}, row.orders});
      },
      sku, kMostFrequent, limit);
  return companions;
}

void count_together(sql::Transaction& tx, std::vector<std::string> skus) {
  std::ranges::sort(skus);
  skus.erase(std::ranges::unique(skus).begin(), skus.end());
  if (skus.size() > kMaxPairedSkus) skus.resize(kMaxPairedSkus);
  for (std::size_t a = 0; a < skus.size(); ++a) {
    for (std::size_t b = a + 1; b < skus.size(); ++b) {
      tx.execute(
          "insert into bought_together(sku_a, sku_b, orders) values($1, $2, 1) "
          "on conflict(sku_a, sku_b) do update set orders = bought_together.orders + 1",
          skus[a], skus[b]);
    }
  }
}

messaging::SubscriptionOptions bought_together_subscription() {
  messaging::SubscriptionOptions subscription;
  subscription.group = std::string(kBoughtTogetherGroup);
  subscription.topics = {"orders"};
  subscription.wanted = has_pairs;
  return subscription;
}

messaging::Handler bought_together_handler() { return messaging::transactional(handle); }

}  // namespace holdfast::orders::catalog
