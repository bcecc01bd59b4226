#include "orders/modules/catalog/product_page.hpp"

#include <algorithm>
#include <utility>

#include "holdfast/runtime/fiber.hpp"

namespace holdfast::orders::catalog {
namespace {

constexpr std::int64_t kLatestReviews = 3;
constexpr std::int64_t kCompanions = 5;

resilience::FallbackOptions fallback_options(const PageSettings& settings, Duration budget) {
  return {.max_keys = settings.max_remembered, .max_staleness = settings.max_staleness, .patience = budget};
}

/// Fresh for a while; past that it is asked for anew within the budget, and served as it was where that
/// fails.
cache::CachedOptions cache_options(const PageSettings& settings) {
  const Duration fresh = settings.bought_together_fresh_for;
  cache::CachedOptions options;
  options.name = "page_bought_together";
  options.fresh_for = fresh;
  options.stale_while_refreshed = Duration(0);
  options.stale_if_error = std::max(settings.max_staleness - fresh, Duration(0));
  return options;
}

/// Its changes are heard of within moments; the time is for those that were not, where Redis was away.
cache::CachedOptions product_cache_options() {
  cache::CachedOptions options;
  options.name = "page_product";
  options.fresh_for = std::chrono::minutes(1);
  options.stale_while_refreshed = Duration(0);
  options.stale_if_error = Duration(0);
  return options;
}

/// As a source that is late: until the caller has no more time, if that is sooner.
void be_late(const Context& ctx, Duration delay) {
  if (delay <= Duration(0)) return;
  runtime::sleep_for(ctx.detached().with_cancellation(ctx.cancellation()), std::min(delay, ctx.remaining()));
  ctx.check("waiting for a part of a page");
}

}  // namespace

PageSources sources_of(sql::Database& database) {
  PageSources sources;
  sources.critical = [&database](const Context& ctx, const std::string& sku) {
    return database.read(ctx, [&](sql::Snapshot& db) {
      PageSources::Critical found{.product = get(db, sku)};
      if (const auto level = inventory::level(db, sku)) found.stock = level->quantity;
      return found;
    });
  };
  sources.product = [&database](const Context& ctx, const std::string& sku) {
    return database.read(ctx, [&](sql::Snapshot& db) { return catalog::get(db, sku); });
  };
  sources.stock = [&database](const Context& ctx, const std::string& sku) {
    return database.read(ctx, [&](sql::Snapshot& db) {
      const auto level = inventory::level(db, sku);
      return level ? level->quantity : std::int64_t{0};
    });
  };
  sources.reviews = [&database](const Context& ctx, const std::string& sku) {
    return database.read(ctx, [&](sql::Snapshot& db) { return review_summary(db, sku, kLatestReviews); });
  };
  sources.bought_together = [&database](const Context& ctx, const std::string& sku) {
    return database.read(ctx,
                         [&](sql::Snapshot& db) { return catalog::bought_together(db, sku, kCompanions); });
  };
  return sources;
}

ProductPages::Part::Part(std::string part_name, observe::Metrics& metrics) : name(std::move(part_name)) {
  const auto counted = [&](const char* outcome) {
    return metrics.counter("holdfast_page_parts_total",
                           "Optional parts of product pages, by what became of them.",
                           {{"part", name}, {"outcome", outcome}});
  };
  shown_fresh = counted("fresh");
  shown_stale = counted("stale");
  left_out = counted("left_out");
}

ProductPages::ProductPages(PageSources sources, const PageSettings& settings, const Parts& parts,
                           observe::Logger logger)
    : sources_(std::move(sources)),
      settings_(settings),
      clock_(parts.clock),
      logger_(std::move(logger)),
      reviews_("reviews", parts.metrics),
      shared_reviews_("page_reviews", {}, parts.metrics),
      last_reviews_("page_reviews", fallback_options(settings, settings.reviews_budget), parts.clock,
                    parts.metrics),
      bought_together_("boughtTogether", parts.metrics),
      kept_bought_together_(parts.cache, cache_options(settings), parts.clock, parts.random, parts.metrics,
                            [this](const Context& ctx, const std::string& sku) {
                              be_late(ctx, settings_.bought_together_delay);
                              return sources_.bought_together(ctx, sku);
                            }) {
  if (!parts.remember_products) return;
  kept_products_.emplace(
      parts.cache, product_cache_options(), parts.clock, parts.random, parts.metrics,
      [this](const Context& ctx, const std::string& sku) { return sources_.product(ctx, sku); });
}

std::function<void(const Context&, const std::string& sku)> ProductPages::forgetting(
    cache::Cache& cache, const Clock& clock, Random& random, observe::Metrics& metrics) {
  // Shared with the copies of the function: a Cached can't be copied.
  const auto products =
      std::make_shared<cache::Cached<Product>>(cache, product_cache_options(), clock, random, metrics);
  return [products](const Context& ctx, const std::string& sku) { products->invalidate(ctx, sku); };
}

PageSources::Critical ProductPages::ask_critical(const Context& ctx, const std::string& sku) {
  if (!kept_products_) return sources_.critical(ctx, sku);
  const auto product = kept_products_->get(ctx, sku);
  return {.product = *product, .stock = sources_.stock(ctx, sku)};
}

/// One line when a part begins to be missing and one when it is back, however many pages there are.
void ProductPages::tell(const Context& ctx, Part& part, bool degraded, std::string_view why) {
  if (part.degraded.load(std::memory_order_relaxed) == degraded) return;
  if (part.degraded.exchange(degraded) == degraded) return;
  if (degraded) {
    logger_.warn(ctx, "pages go without a part, or show it as it was", {{"part", part.name}, {"error", why}});
  } else {
    logger_.info(ctx, "pages have the part again", {{"part", part.name}});
  }
}

auto ProductPages::ask_reviews(const Context& ctx, const std::string& sku) -> Asked<ReviewSummary> {
  return last_reviews_.get(ctx, sku, [&](const Context& bounded) {
    return shared_reviews_.get(bounded, sku, [&](const Context& own) {
      be_late(own, settings_.reviews_delay);
      return sources_.reviews(own, sku);
    });
  });
}

auto ProductPages::ask_bought_together(const Context& ctx, const std::string& sku)
    -> Asked<std::vector<Companion>> {
  auto kept = kept_bought_together_.ask(ctx.with_timeout(settings_.bought_together_budget), sku);
  Asked<std::vector<Companion>> asked{.value = std::move(kept.value)};
  if (!kept.stale) return asked;
  asked.age = kept.age;
  asked.stale_since = clock_.wall_now() - std::chrono::duration_cast<WallTime::duration>(kept.age);
  return asked;
}

template <class T>
void ProductPages::fetch(const Context& ctx, const std::string& sku, Part& part,
                         Asked<T> (ProductPages::*ask)(const Context&, const std::string&),
                         std::optional<T>& shown, ProductPage& page) {
  try {
    const Asked<T> found = (this->*ask)(ctx, sku);
    shown = *found.value;
    if (!found.stale_since) {
      part.shown_fresh.add();
      return tell(ctx, part, false, {});
    }
    part.shown_stale.add();
    page.degraded.push_back(part.name);
    page.stale.push_back(
        {part.name, *found.stale_since, std::chrono::duration_cast<std::chrono::seconds>(found.age).count()});
    tell(ctx, part, true, "late; shown as it was");
  } catch (const Error& error) {
    if (ctx.cancelled()) return;  // nobody is there to be shown anything
    part.left_out.add();
    page.degraded.push_back(part.name);
    tell(ctx, part, true, error.what());
  }
}

ProductPage ProductPages::get(const Context& ctx, const std::string& sku) {
  ProductPage page;
  runtime::FiberGroup parts(ctx);  // its fibers share this frame; it is gone before the frame is
  parts.spawn("page reviews", [&](const Context& own) {
    fetch(own, sku, reviews_, &ProductPages::ask_reviews, page.reviews, page);
  });
  parts.spawn("page bought together", [&](const Context& own) {
    fetch(own, sku, bought_together_, &ProductPages::ask_bought_together, page.bought_together, page);
  });
  PageSources::Critical critical = ask_critical(ctx, sku);
  parts.wait();
  page.product = std::move(critical.product);
  page.stock = critical.stock;
  std::ranges::sort(page.degraded);  // they came in any order
  return page;
}

}  // namespace holdfast::orders::catalog
