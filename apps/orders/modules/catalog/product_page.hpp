// ProductPages: all that a product's page shows, in one call. Product and stock must be there; reviews and
// what is bought together are optional parts: each has a time budget of its own, they are asked for at the
// same time, and one that fails or is late is left out, or served as it last was. What is bought together is
// kept in the cache for a while.
//
//   ProductPages pages(sources_of(db), settings.catalog.page, {cache, clock, random, metrics}, logger);
//   const ProductPage page = pages.get(ctx, "MUG-1");
//   page.degraded          // {"reviews"}: what is missing or old; page.stale says since when it is old
//
// Thread-safety: get() from any fiber.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "holdfast/base/reflect.hpp"
#include "holdfast/cache/cached.hpp"
#include "holdfast/observe/log.hpp"
#include "holdfast/observe/metrics.hpp"
#include "holdfast/resilience/coalesce.hpp"
#include "holdfast/resilience/fallback.hpp"
#include "holdfast/runtime/context.hpp"
#include "orders/modules/catalog/catalog.hpp"

namespace holdfast::orders::catalog {

/// A part that is shown as it was.
struct StalePart {
  std::string part;
  WallTime since;  ///< when it was last known to be so
  std::int64_t age_seconds = 0;
};
HOLDFAST_DESCRIBE(StalePart, (part, since, age_seconds))

struct ProductPage {
  Product product;
  std::int64_t stock = 0;  ///< pieces
  std::optional<ReviewSummary> reviews;
  std::optional<std::vector<Companion>> bought_together;
  std::vector<std::string> degraded;  ///< parts that are left out or stale
  std::vector<StalePart> stale;
};
HOLDFAST_DESCRIBE(ProductPage, (product, stock, reviews, bought_together, degraded, stale))

/// Where the parts come from. All may wait. The first must be there: what it throws is the page's error.
struct PageSources {
  struct Critical {
    Product product;
    std::int64_t stock = 0;
  };
  std::function<Critical(const Context&, const std::string& sku)> critical;
  /// The same one by one, where products are remembered and stock is not.
  std::function<Product(const Context&, const std::string& sku)> product;
  std::function<std::int64_t(const Context&, const std::string& sku)> stock;
  std::function<ReviewSummary(const Context&, const std::string& sku)> reviews;
  std::function<std::vector<Companion>(const Context&, const std::string& sku)> bought_together;
};

/// All of them from this database, which is borrowed.
PageSources sources_of(sql::Database& database);

class ProductPages {
 public:
  /// All are borrowed.
  struct Parts {
    cache::Cache& cache;
    /// Whether products are remembered too. Right only where every process hears of their changes: where the
    /// cache is shared, and page_cache_handler() (changes.hpp) calls forget().
    bool remember_products = false;
    const Clock& clock;
    Random& random;
    observe::Metrics& metrics;
  };
  ProductPages(PageSources sources, const PageSettings& settings, const Parts& parts, observe::Logger logger);

  /// Throws what the critical source throws: Error(not_found, "unknown_sku"), and others.
  ProductPage get(const Context& ctx, const std::string& sku);

  /// What of `cache` is about `sku`, for all processes. Throws Error(unavailable) where not all could be
  /// told: to be called again.
  static std::function<void(const Context&, const std::string& sku)> forgetting(cache::Cache& cache,
                                                                                const Clock& clock,
                                                                                Random& random,
                                                                                observe::Metrics& metrics);

 private:
  /// An optional part, as it was asked for: of now, or since when it is not.
  template <class T>
  using Asked = resilience::Fallen<std::shared_ptr<const T>>;
  /// How the pages get on with it.
  struct Part {
    Part(std::string part_name, observe::Metrics& metrics);
    const std::string name;
    observe::Counter shown_fresh;
    observe::Counter shown_stale;
    observe::Counter left_out;
    std::atomic<bool> degraded{false};
  };

  PageSources::Critical ask_critical(const Context& ctx, const std::string& sku);
  Asked<ReviewSummary> ask_reviews(const Context& ctx, const std::string& sku);
  Asked<std::vector<Companion>> ask_bought_together(const Context& ctx, const std::string& sku);
  template <class T>
  void fetch(const Context& ctx, const std::string& sku, Part& part,
             Asked<T> (ProductPages::*ask)(const Context&, const std::string&), std::optional<T>& shown,
             ProductPage& page);
  void tell(const Context& ctx, Part& part, bool degraded, std::string_view why);

  const PageSources sources_;
  const PageSettings settings_;
  const Clock& clock_;
  const observe::Logger logger_;
  Part reviews_;
  resilience::Coalescer<ReviewSummary> shared_reviews_;
  resilience::LastGood<std::shared_ptr<const ReviewSummary>> last_reviews_;  // shared with pages that show it
  Part bought_together_;
  cache::Cached<std::vector<Companion>> kept_bought_together_;
  std::optional<cache::Cached<Product>> kept_products_;
};

}  // namespace holdfast::orders::catalog
