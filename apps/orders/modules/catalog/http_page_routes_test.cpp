// The product's page through the whole system, and its parts made late by the settings that drills use.
#include <gtest/gtest.h>

#include "orders/testing/running_system.hpp"

namespace holdfast::orders {
namespace {

using orders::testing::Answer;
using orders::testing::RunningSystem;
using orders::testing::with_system;

constexpr const char* kReview = R"({"stars":4,"author":"Ada","text":"Holds tea."})";

TEST(ProductPageRoutes, ReviewsAreAddedOnceAndShown) {
  with_system([](RunningSystem& system) {
    system.add_product("MUG", 850, 7);
    const Answer added = system.post("/v1/products/MUG/reviews", kReview, {{"Idempotency-Key", "r1"}});
    EXPECT_EQ(added.status, 201) << added.body;
    const Answer again = system.post("/v1/products/MUG/reviews", kReview, {{"Idempotency-Key", "r1"}});
    EXPECT_EQ(again.body, added.body);
    EXPECT_EQ(system.count("reviews"), 1);
    EXPECT_EQ(
        system.post("/v1/products/MUG/reviews", R"({"stars":6,"author":"Ada"})", {{"Idempotency-Key", "r2"}})
            .status,
        400);
    EXPECT_EQ(system.post("/v1/products/NONE/reviews", kReview, {{"Idempotency-Key", "r3"}}).status, 404);

    system.key.clear();  // everybody may look
    EXPECT_EQ(system.post("/v1/products/MUG/reviews", kReview, {{"Idempotency-Key", "r4"}}).status, 401);
    const Answer page = system.get("/v1/products/MUG/page");
    EXPECT_EQ(page.status, 200);
    EXPECT_EQ(page.json().root().find("stock")->as_int64(), 7);
    EXPECT_EQ(page.json().root().find("reviews")->find("count")->as_int64(), 1);
    EXPECT_TRUE(page.json().root().find("degraded")->items().empty());
    EXPECT_EQ(system.get("/v1/products/NONE/page").status, 404);
  });
}

TEST(ProductPageRoutes, APageWithoutAPartIsStillAPage) {
  with_system(
      [](RunningSystem& system) {
        system.add_product("MUG", 850, 7);
        const Answer page = system.get("/v1/products/MUG/page");
        EXPECT_EQ(page.status, 200);
        EXPECT_EQ(page.json().root().find("reviews"), nullptr);
        ASSERT_EQ(page.json().root().find("degraded")->items().size(), 1U);
        EXPECT_EQ(page.json().root().find("degraded")->items()[0].as_string(), "reviews");
        EXPECT_NE(system.get("/metrics")
                      .body.find(R"(holdfast_page_parts_total{outcome="left_out",part="reviews"} 1)"),
                  std::string::npos);
      },
      [](Settings& settings) {
        settings.catalog.page.reviews_budget = std::chrono::milliseconds(5);
        settings.catalog.page.reviews_delay = std::chrono::seconds(5);
      });
}

}  // namespace
}  // namespace holdfast::orders
