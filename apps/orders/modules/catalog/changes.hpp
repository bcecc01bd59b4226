// What is told of the catalog's changes, and what hears it: "products.changed" of the topic "catalog", in the
// transaction of the change. Whoever remembers products forgets those it names.
//
//   publish_changes(ctx, tx, publisher, {"MUG-1"});
//   subscriber.subscribe(page_cache_subscription(), page_cache_handler(forget));
//
// Thread-safety: functions of their arguments.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/describe.hpp"
#include "holdfast/messaging/outbox.hpp"
#include "holdfast/messaging/subscription.hpp"

namespace holdfast::orders::catalog {

inline constexpr std::string_view kCatalogTopic = "catalog";
inline constexpr std::string_view kProductsChangedEvent = "products.changed";
inline constexpr std::string_view kPageCacheGroup = "page-cache";

/// One message for all of `skus`, of which there is at least one.
void publish_changes(const Context& ctx, sql::Transaction& tx, messaging::Publisher& publisher,
                     const std::vector<std::string>& skus);

messaging::SubscriptionOptions page_cache_subscription();
/// `forget` is called for each sku, until it returns for all.
messaging::Handler page_cache_handler(std::function<void(const Context&, const std::string& sku)> forget);

}  // namespace holdfast::orders::catalog
