#include "orders/modules/catalog/product_page.hpp"

#include <gtest/gtest.h>

#include "holdfast/cache/memory_cache.hpp"
#include "holdfast/runtime/sync.hpp"
#include "orders/testing/domain.hpp"

namespace holdfast::orders::catalog {
namespace {

using namespace std::chrono_literals;
using orders::testing::Domain;
using orders::testing::error_of;
using orders::testing::product;
using orders::testing::with_domain;

/// Pages whose optional parts take as long as a test says, or fail.
struct Shelf {
  explicit Shelf(Domain& domain, PageSettings given = {}) : d(domain), settings(given) {
    orders::testing::stock_shelf(d, {product("MUG", 850, 7), product("TEA", 300, 9), product("OLD", 100, 1)});
    PageSources sources = sources_of(d.db);
    sources.reviews = [this, real = sources.reviews](const Context& ctx, const std::string& sku) {
      ++asked;
      if (slow) never.wait(ctx, "a slow source");
      if (broken) throw Error(ErrorCode::unavailable, "The reviews are away.");
      return real(ctx, sku);
    };
    pages.emplace(std::move(sources), settings, ProductPages::Parts{cache, false, d.clock, random, metrics},
                  observe::Logger());
  }
  void review(std::int64_t stars) {
    d.write([&](sql::Transaction& tx) { add_review(d.ctx, tx, ids, "MUG", {stars, "Ada", "Holds tea."}); });
  }
  std::uint64_t parts(const char* part, const char* outcome) {
    return metrics.counter("holdfast_page_parts_total", "", {{"part", part}, {"outcome", outcome}}).value();
  }

  Domain& d;
  PageSettings settings;
  observe::Metrics metrics;
  SeededRandom random{1};
  cache::MemoryCache cache{{}, d.clock, random, metrics};
  IdGenerator ids{d.clock, random};
  bool slow = false;
  runtime::Latch never;
  bool broken = false;
  int asked = 0;
  std::optional<ProductPages> pages;
};

TEST(ProductPage, ShowsAllThereIs) {
  with_domain([](Domain& d) {
    Shelf shelf(d);
    shelf.review(5);
    shelf.review(2);
    d.write([](sql::Transaction& tx) { count_together(tx, {"MUG", "TEA"}); });
    const ProductPage page = shelf.pages->get(d.ctx, "MUG");
    EXPECT_EQ(page.product.name, "The MUG");
    EXPECT_EQ(page.stock, 7);
    ASSERT_TRUE(page.reviews);
    EXPECT_EQ(page.reviews->count, 2);
    EXPECT_EQ(page.reviews->average_stars, 3.5);
    EXPECT_EQ(page.reviews->latest.at(0).stars, 2);
    ASSERT_TRUE(page.bought_together);
    ASSERT_EQ(page.bought_together->size(), 1U);
    EXPECT_EQ(page.bought_together->at(0).sku, "TEA");
    EXPECT_TRUE(page.degraded.empty());
    EXPECT_EQ(shelf.parts("reviews", "fresh"), 1U);
    EXPECT_EQ(shelf.parts("boughtTogether", "fresh"), 1U);
  });
}

TEST(ProductPage, APartThatIsLateIsLeftOutWithinItsBudget) {
  with_domain([](Domain& d) {
    Shelf shelf(d);
    shelf.slow = true;
    const Instant before = d.clock.now();
    const ProductPage page = shelf.pages->get(d.ctx, "MUG");
    EXPECT_EQ(d.clock.now() - before, Duration(50ms));
    EXPECT_FALSE(page.reviews);
    EXPECT_TRUE(page.bought_together);
    EXPECT_EQ(page.degraded, std::vector<std::string>{"reviews"});
    EXPECT_TRUE(page.stale.empty());
    EXPECT_EQ(shelf.parts("reviews", "left_out"), 1U);
  });
}

TEST(ProductPage, BothBudgetsRunAtTheSameTime) {
  with_domain([](Domain& d) {
    PageSettings settings;
    settings.reviews_delay = settings.bought_together_delay = 1s;
    Shelf shelf(d, settings);
    const Instant before = d.clock.now();
    const ProductPage page = shelf.pages->get(d.ctx, "MUG");
    EXPECT_EQ(d.clock.now() - before, Duration(50ms));
    EXPECT_EQ(page.degraded, (std::vector<std::string>{"boughtTogether", "reviews"}));
  });
}

TEST(ProductPage, APartThatFailsIsShownAsItWasWithItsAgeUntilThatIsTooOld) {
  with_domain([](Domain& d) {
    PageSettings settings;
    settings.max_staleness = 60s;
    Shelf shelf(d, settings);
    shelf.review(4);
    const WallTime good = d.clock.wall_now();
    shelf.pages->get(d.ctx, "MUG");
    shelf.review(1);
    shelf.broken = true;
    d.clock.advance(42s);
    const ProductPage page = shelf.pages->get(d.ctx, "MUG");
    ASSERT_TRUE(page.reviews);
    EXPECT_EQ(page.reviews->count, 1);
    EXPECT_EQ(page.degraded, std::vector<std::string>{"reviews"});
    ASSERT_EQ(page.stale.size(), 1U);
    EXPECT_EQ(page.stale[0].part, "reviews");
    EXPECT_EQ(page.stale[0].since, good);
    EXPECT_EQ(page.stale[0].age_seconds, 42);
    EXPECT_EQ(shelf.parts("reviews", "stale"), 1U);
    d.clock.advance(19s);
    EXPECT_FALSE(shelf.pages->get(d.ctx, "MUG").reviews);
    shelf.broken = false;
    EXPECT_EQ(shelf.pages->get(d.ctx, "MUG").reviews.value().count, 2);
  });
}

TEST(ProductPage, WithoutItsCriticalPartThereIsNoPage) {
  with_domain([](Domain& d) {
    Shelf shelf(d);
    shelf.slow = true;
    const Instant before = d.clock.now();
    EXPECT_EQ(error_of([&] { shelf.pages->get(d.ctx, "NONE"); }).reason(), "unknown_sku");
    EXPECT_EQ(d.clock.now(), before);  // nobody waits for the parts of a page there is not
    EXPECT_EQ(shelf.parts("reviews", "left_out"), 0U);
  });
}

TEST(ProductPage, WhatIsBoughtTogetherIsNotLookedUpEachTime) {
  with_domain([](Domain& d) {
    Shelf shelf(d);
    EXPECT_TRUE(shelf.pages->get(d.ctx, "MUG").bought_together.value().empty());
    d.write([](sql::Transaction& tx) { count_together(tx, {"MUG", "TEA"}); });
    EXPECT_TRUE(shelf.pages->get(d.ctx, "MUG").bought_together.value().empty());
    d.clock.advance(30s);
    const ProductPage page = shelf.pages->get(d.ctx, "MUG");
    EXPECT_EQ(page.bought_together.value().size(), 1U);
    EXPECT_TRUE(page.degraded.empty());
  });
}

TEST(BoughtTogether, CountsEachPairOfAnOrderOnceAndShowsWhatCanBeOrdered) {
  with_domain([](Domain& d) {
    Shelf shelf(d);
    d.write([&](sql::Transaction& tx) {
      count_together(tx, {"TEA", "MUG", "TEA"});
      count_together(tx, {"MUG", "OLD"});
      count_together(tx, {"OLD", "MUG"});
      count_together(tx, {"MUG"});
    });
    const auto companions = [&](const char* sku) {
      std::string text;
      for (const Companion& each : d.read([&](sql::Snapshot& db) { return bought_together(db, sku, 5); })) {
        text += each.sku + ":" + std::to_string(each.orders) + " ";
      }
      return text;
    };
    EXPECT_EQ(companions("MUG"), "OLD:2 TEA:1 ");
    EXPECT_EQ(companions("TEA"), "MUG:1 ");
    d.write([&](sql::Transaction& tx) { archive(d.ctx, tx, "OLD"); });
    EXPECT_EQ(companions("MUG"), "TEA:1 ");
  });
}

TEST(BoughtTogether, CountsConfirmedOrdersByTheirEventsOfAnyShape) {
  with_domain([](Domain& d) {
    Shelf shelf(d);
    const auto handler = std::get<messaging::TransactionalHandler>(bought_together_handler());
    const auto tell = [&](std::string_view type, std::string status) {
      messaging::Message message;
      message.type = type;
      message.payload = R"({"status":")" + status +
                        R"(","unknown":1,"items":[{"sku":"MUG","quantity":2},{"sku":"TEA","name":"x"}]})";
      d.write([&](sql::Transaction& tx) { handler.handle(d.ctx, tx, message); });
    };
    tell(ordering::kPlacedEvent, "confirmed");
    tell(ordering::kPlacedEvent, "pending");
    tell(ordering::kConfirmedEvent, "confirmed");
    tell(ordering::kCancelledEvent, "cancelled");
    EXPECT_EQ(d.read([&](sql::Snapshot& db) { return bought_together(db, "MUG", 5); }).at(0).orders, 2);
    EXPECT_EQ(bought_together_subscription().topics, std::vector<std::string>{std::string(ordering::kTopic)});
  });
}

TEST(BoughtTogether, ALargeOrderCostsNoMoreThanItsFirstTenSkus) {
  with_domain([](Domain& d) {
    std::vector<std::string> skus;
    for (int i = 0; i < 500; ++i) skus.push_back("S" + std::to_string(i));
    d.write([&](sql::Transaction& tx) { count_together(tx, skus); });
    EXPECT_EQ(
        d.read([](sql::Snapshot& db) { return db.query_value("select count(*) from bought_together"); }), 45);
  });
}

TEST(Reviews, AreListedNewestFirstByCursor) {
  with_domain([](Domain& d) {
    Shelf shelf(d);
    for (std::int64_t stars = 1; stars <= 5; ++stars) shelf.review(stars);
    std::string seen;
    std::string cursor;
    do {
      const auto page = d.read([&](sql::Snapshot& db) { return reviews(db, "MUG", cursor, 2); });
      for (const Review& each : page.items) seen += std::to_string(each.stars);
      cursor = page.next_cursor.value_or("");
    } while (!cursor.empty());
    EXPECT_EQ(seen, "54321");
    EXPECT_EQ(
        error_of([&] { d.read([&](sql::Snapshot& db) { return reviews(db, "NONE", "", 2); }); }).reason(),
        "unknown_sku");
  });
}

}  // namespace
}  // namespace holdfast::orders::catalog
