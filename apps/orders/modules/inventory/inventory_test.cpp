#include "orders/modules/inventory/inventory.hpp"

#include <gmock/gmock.h>

#include "orders/testing/domain.hpp"

namespace holdfast::orders::inventory {
namespace {

using testing::Domain;
using testing::error_of;
using testing::with_domain;

std::int64_t quantity(Domain& d, std::string_view sku) {
  return d.read([&](sql::Snapshot& db) { return level(db, sku).value().quantity; });
}

void open_sku(Domain& d, std::string_view sku, std::int64_t pieces) {
  d.write([&](sql::Transaction& tx) { return open(d.ctx, tx, sku, pieces); });
}

std::vector<Imbalance> check(Domain& d) {
  return d.read([](sql::Snapshot& db) { return imbalances(db); });
}

TEST(Inventory, OpensASkuOnce) {
  with_domain([](Domain& d) {
    open_sku(d, "A", 10);
    EXPECT_FALSE(d.write([&](sql::Transaction& tx) { return open(d.ctx, tx, "A", 99); }));
    EXPECT_EQ(quantity(d, "A"), 10);
    EXPECT_TRUE(check(d).empty());
  });
}

TEST(Inventory, DeductsDownToZeroAndNoFurther) {
  with_domain([](Domain& d) {
    open_sku(d, "A", 10);
    d.write([&](sql::Transaction& tx) {
      EXPECT_TRUE(deduct(d.ctx, tx, "A", 4, "ord_1"));
      EXPECT_FALSE(deduct(d.ctx, tx, "A", 7, "ord_2"));
      EXPECT_TRUE(deduct(d.ctx, tx, "A", 6, "ord_3"));
      EXPECT_FALSE(deduct(d.ctx, tx, "A", 1, "ord_4"));
      EXPECT_FALSE(deduct(d.ctx, tx, "NONE", 1, "ord_5"));
    });
    EXPECT_EQ(quantity(d, "A"), 0);
    EXPECT_TRUE(check(d).empty());
  });
}

TEST(Inventory, KeepsALedgerOfWhyEachLevelIsWhatItIs) {
  with_domain([](Domain& d) {
    open_sku(d, "A", 10);
    d.write([&](sql::Transaction& tx) {
      ASSERT_TRUE(deduct(d.ctx, tx, "A", 4, "ord_1"));
      give_back(d.ctx, tx, "A", 4, "ord_1");
      adjust(d.ctx, tx, "A", {.delta = -2, .reason = MovementReason::damaged, .reference = "shelf 3"});
    });
    const auto ledger = d.read([](sql::Snapshot& db) { return movements(db, "A", 0, 10); });
    ASSERT_EQ(ledger.size(), 4U);
    EXPECT_EQ(ledger[0].reason, MovementReason::damaged);
    EXPECT_EQ(ledger[0].delta, -2);
    EXPECT_EQ(ledger[0].reference, "shelf 3");
    EXPECT_EQ(ledger[1].reason, MovementReason::cancelled);
    EXPECT_EQ(ledger[2].delta, -4);
    EXPECT_EQ(ledger[3].reason, MovementReason::opening);
    EXPECT_EQ(quantity(d, "A"), 8);
  });
}

TEST(Inventory, SeesALevelThatItsMovementsDoNotExplain) {
  with_domain([](Domain& d) {
    open_sku(d, "A", 10);
    open_sku(d, "B", 5);
    d.write(
        [](sql::Transaction& tx) { tx.execute("update stock_levels set quantity = 11 where sku = 'A'"); });
    const auto found = check(d);
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].sku, "A");
    EXPECT_EQ(found[0].level, 11);
    EXPECT_EQ(found[0].movements, 10);
  });
}

TEST(Inventory, RefusesAdjustmentsBelowNoneAboveTheLimitAndOfUnknownSkus) {
  with_domain([](Domain& d) {
    open_sku(d, "A", 10);
    const auto reason_of = [&](std::string_view sku, std::int64_t delta) {
      return std::string(
          error_of([&] {
            d.write([&](sql::Transaction& tx) { return adjust(d.ctx, tx, sku, {.delta = delta}); });
          }).reason());
    };
    EXPECT_EQ(reason_of("A", -11), "insufficient_stock");
    EXPECT_EQ(reason_of("A", kMaxLevel), "stock_limit");
    EXPECT_EQ(reason_of("NONE", 1), "unknown_sku");
    EXPECT_EQ(quantity(d, "A"), 10);
    EXPECT_TRUE(check(d).empty());
  });
}

TEST(Inventory, AnAdjustmentCantPoseAsASale) {
  Violations faults;
  Adjustment{.delta = 0, .reason = MovementReason::sold}.validate(faults);
  ASSERT_EQ(faults.count(), 2U);
  EXPECT_EQ(faults.kept()[0].code, "zero_delta");
  EXPECT_EQ(faults.kept()[1].code, "reserved_reason");
}

}  // namespace
}  // namespace holdfast::orders::inventory
