// What is bought together: for each pair of products, the orders that had both, counted from order events.
// (Part of catalog.hpp.)
//
//   broker.subscribe(catalog::bought_together_subscription(), catalog::bought_together_handler());
//
// An order counts when it is confirmed, once (the inbox sees to it), and still counts if it is cancelled
// later: it was wanted together. Knows of orders what their events say, and nothing else of ordering.
// Thread-safety: as the Transaction's and Queries'.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/money.hpp"
#include "holdfast/base/reflect.hpp"
#include "holdfast/messaging/subscription.hpp"
#include "holdfast/sql/database.hpp"

namespace holdfast::orders::catalog {

inline constexpr std::string_view kBoughtTogetherGroup = "bought-together";

/// Of a larger order the first so many skus are paired: at most 45 pairs, so that no order costs more.
inline constexpr std::size_t kMaxPairedSkus = 10;

struct Companion {
  std::string sku;
  std::string name;
  Money price;
  std::int64_t orders = 0;  ///< that had both
};
HOLDFAST_DESCRIBE(Companion, (sku, name, price, orders))

/// The most frequent companions that can be ordered, of the 32 most frequent.
std::vector<Companion> bought_together(sql::Queries& db, std::string_view sku, std::int64_t limit);

/// Counts the pairs of one order. Skus may be in any order, and double.
void count_together(sql::Transaction& tx, std::vector<std::string> skus);

messaging::SubscriptionOptions bought_together_subscription();
messaging::Handler bought_together_handler();

}  // namespace holdfast::orders::catalog
