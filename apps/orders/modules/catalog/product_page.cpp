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
  sources.reviews = [&database](const Context& ctx, const std::string& sku) {
    return database.read(ctx, [&](sql::Snapshot& db) { return review_summary(db, sku, kLatestReviews); });
  };
  sources.bought_together = [&database](const Context& ctx, const std::string& sku) {
    return database.read(ctx,
                         [&](sql::Snapshot& db) { return catalog::bought_together(db, sku, kCompanions); });
  };
  return sources;
}

template <class T>
ProductPages::Part<T>::Part(std::string part_name, Duration budget, Duration fresh, Duration late,
                            const PageSettings& settings, const Clock& clock, observe::Metrics& metrics)
    : name(std::move(part_name)),
      fresh_for(fresh),
      delay(late),
      coalescer("page_" + name, {}, metrics),
      last_good("page_" + name, fallback_options(settings, budget), clock, metrics) {
  const auto counted = [&](const char* outcome) {
    return metrics.counter("holdfast_page_parts_total",
                           "Optional parts of product pages, by what became of them.",
                           {{"part", name}, {"outcome", outcome}});
  };
  shown_fresh = counted("fresh");
  shown_stale = counted("stale");
  left_out = counted("left_out");
}

ProductPages::ProductPages(PageSources sources, const PageSettings& settings, const Clock& clock,
                           observe::Metrics& metrics, observe::Logger logger)
    : sources_(std::move(sources)),
      logger_(std::move(logger)),
      reviews_("reviews", settings.reviews_budget, Duration(0), settings.reviews_delay, settings, clock,
               metrics),
      bought_together_("boughtTogether", settings.bought_together_budget, settings.bought_together_fresh_for,
                       settings.bought_together_delay, settings, clock, metrics) {}

/// One line when a part begins to be missing and one when it is back, however many pages there are.
template <class T>
void ProductPages::tell(const Context& ctx, Part<T>& part, bool degraded, std::string_view why) {
  if (part.degraded.load(std::memory_order_relaxed) == degraded) return;
  if (part.degraded.exchange(degraded) == degraded) return;
  if (degraded) {
    logger_.warn(ctx, "pages go without a part, or show it as it was", {{"part", part.name}, {"error", why}});
  } else {
    logger_.info(ctx, "pages have the part again", {{"part", part.name}});
  }
}

template <class T>
template <class Source>
auto ProductPages::Part<T>::ask(const Context& ctx, const std::string& sku, const Source& source)
    -> resilience::Fallen<std::shared_ptr<const T>> {
  if (fresh_for > Duration(0)) {
    auto kept = last_good.find(sku);
    if (kept && kept->age < fresh_for) {
      kept->stale_since.reset();
      return *std::move(kept);
    }
  }
  return last_good.get(ctx, sku, [&](const Context& bounded) {
    return coalescer.get(bounded, sku, [&](const Context& own) {
      be_late(own, delay);
      return source(own, sku);
    });
  });
}

template <class T, class Source>
void ProductPages::fetch(const Context& ctx, const std::string& sku, Part<T>& part, const Source& source,
                         std::optional<T>& shown, ProductPage& page) {
  try {
    const auto found = part.ask(ctx, sku, source);
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
  parts.spawn("page reviews",
              [&](const Context& own) { fetch(own, sku, reviews_, sources_.reviews, page.reviews, page); });
  parts.spawn("page bought together", [&](const Context& own) {
    fetch(own, sku, bought_together_, sources_.bought_together, page.bought_together, page);
  });
  PageSources::Critical critical = sources_.critical(ctx, sku);
  parts.wait();
  page.product = std::move(critical.product);
  page.stock = critical.stock;
  std::ranges::sort(page.degraded);  // they came in any order
  return page;
}

}  // namespace holdfast::orders::catalog
