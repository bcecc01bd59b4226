#include "orders/modules/catalog/changes.hpp"

#include <utility>

#include "holdfast/base/reflect.hpp"

namespace holdfast::orders::catalog {
namespace {

struct ProductsChanged {
  std::vector<std::string> skus;
};
HOLDFAST_DESCRIBE(ProductsChanged, (skus))

}  // namespace

void publish_changes(const Context& ctx, sql::Transaction& tx, messaging::Publisher& publisher,
                     const std::vector<std::string>& skus) {
  publisher.publish(ctx, tx,
                    {.topic = std::string(kCatalogTopic),
                     .key = skus.front(),
                     .type = std::string(kProductsChangedEvent),
                     .payload = to_json(ProductsChanged{.skus = skus})});
}

messaging::SubscriptionOptions page_cache_subscription() {
  messaging::SubscriptionOptions subscription;
  subscription.group = std::string(kPageCacheGroup);
  subscription.topics = {std::string(kCatalogTopic)};
  subscription.wanted = [](const messaging::Message& message) {
    return message.type == kProductsChangedEvent;
  };
  return subscription;
}

messaging::Handler page_cache_handler(std::function<void(const Context&, const std::string& sku)> forget) {
  return messaging::external([forget = std::move(forget)](const Context& ctx,
                                                          const messaging::Message& message) {
    const auto changed = from_json<ProductsChanged>(message.payload, {.limits = {}, .ignore_unknown = true});
    for (const std::string& sku : changed.skus) forget(ctx, sku);
  });
}

}  // namespace holdfast::orders::catalog
