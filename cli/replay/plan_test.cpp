#include "cli/replay/plan.hpp"

#include <gtest/gtest.h>

namespace holdfast::cli {
namespace {

class Planning : public testing::Test {
 protected:
  Planning() {
    for (std::size_t i = 0; i < kFields; ++i) positions_.set(static_cast<Field>(i), i);
  }
  void line(std::string_view invoice, std::string_view sku, std::string_view quantity,
            std::string_view customer = "7", std::string_view date = "2011-01-01 10:00:00",
            std::string_view price = "1.00") {
    const std::vector<std::string_view> fields{sku, "NAME", price, invoice, quantity, date, customer};
    builder_.add(MappedRecord{++line_, fields, positions_});
  }
  std::uint64_t rejected(std::string_view reason) const {
    const auto found = rejects_.by_reason().find(reason);
    return found == rejects_.by_reason().end() ? 0 : found->second;
  }
  std::string lines_of(const ReplayPlan& plan, const PlannedOrder& order) const {
    std::string text;
    for (const PlannedLine& l : order.lines)
      text += plan.skus[l.sku] + "x" + std::to_string(l.quantity) + " ";
    return text;
  }
  FieldPositions positions_;
  std::uint64_t line_ = 1;
  Rejects rejects_;
  PlanBuilder builder_{rejects_};
};

TEST_F(Planning, OrdersAreSortedByTimeAndTheirLinesBySku) {
  line("2", "Z1", "1", "7", "2011-01-02 10:00:00");
  line("1", "B2", "1");
  line("2", "A1", "2", "7", "2011-01-02 10:00:00");
  line("1", "b2", "3", "7.0");
  const ReplayPlan plan = builder_.finish();
  ASSERT_EQ(plan.orders.size(), 2u);
  EXPECT_EQ(plan.orders[0].invoice, "1");
  EXPECT_EQ(plan.orders[0].customer, "7");
  EXPECT_EQ(lines_of(plan, plan.orders[0]), "B2x4 ");
  EXPECT_EQ(lines_of(plan, plan.orders[1]), "A1x2 Z1x1 ");
  EXPECT_EQ(plan.products.size(), 3u);
  EXPECT_EQ(plan.needed, (std::vector<std::int64_t>{1, 4, 2}));  // Z1, B2, A1: as they appear
  EXPECT_EQ(plan.records, 4u);
}

TEST_F(Planning, CustomersWithoutAnIdAreGuests) {
  line("1", "A1", "1", "");
  const ReplayPlan plan = builder_.finish();
  EXPECT_EQ(plan.orders.at(0).customer, "guest-1");
}

TEST_F(Planning, RejectsLinesWithTheirReasons) {
  line("1", "A1", "-5");
  line("1", "A1", "0");
  line("1", "A1", "1", "7", "2011-01-01 10:00:00", "0.00");
  line("1", "A1", "1", "7", "2011-01-01 10:00:00", "-2.00");
  line("1", "A1", "1", "7", "2011-01-01 10:00:00", "x");
  line("1", "A1", "one");
  line("1", "A1", "1", "7", "yesterday");
  line("", "A1", "1");
  line("1", "A1", "2000000");
  line("C1", "A1", "1");
  EXPECT_EQ(builder_.finish().orders.size(), 0u);
  for (const char* reason :
       {"write_off", "zero_quantity", "zero_price", "negative_price", "bad_price", "bad_quantity", "bad_date",
        "bad_invoice", "quantity_too_large", "sold_in_cancellation"}) {
    EXPECT_EQ(rejected(reason), 1u) << reason;
  }
}

TEST_F(Planning, AnInvoiceHasOneCustomer) {
  line("1", "A1", "1", "7");
  line("1", "A2", "1", "8");
  const ReplayPlan plan = builder_.finish();
  EXPECT_EQ(lines_of(plan, plan.orders.at(0)), "A1x1 ");
  EXPECT_EQ(rejected("customer_differs"), 1u);
}

TEST_F(Planning, ACancellationOfAllLinesMatchesTheLatestOrderBeforeIt) {
  line("1", "A1", "2", "7", "2011-01-01 10:00:00");
  line("2", "A1", "2", "7", "2011-01-02 10:00:00");
  line("3", "A1", "2", "7", "2011-01-04 10:00:00");
  line("C9", "A1", "-2", "7", "2011-01-03 10:00:00");
  const ReplayPlan plan = builder_.finish();
  ASSERT_EQ(plan.cancellations.size(), 1u);
  EXPECT_EQ(plan.orders[plan.cancellations[0].order].invoice, "2");
}

TEST_F(Planning, AnOrderIsCancelledOnce) {
  line("1", "A1", "2", "7", "2011-01-01 10:00:00");
  line("C8", "A1", "-2", "7", "2011-01-02 10:00:00");
  line("C9", "A1", "-2", "7", "2011-01-03 10:00:00");
  EXPECT_EQ(builder_.finish().cancellations.size(), 1u);
  EXPECT_EQ(rejected("unmatched_cancellation"), 1u);
}

TEST_F(Planning, PartsOfAnOrderAreNotCancelled) {
  line("1", "A1", "2", "7", "2011-01-01 10:00:00");
  line("1", "A2", "1", "7", "2011-01-01 10:00:00");
  line("C8", "A1", "-1", "7", "2011-01-02 10:00:00");
  line("C9", "A1", "-2", "7", "2011-01-02 10:00:00");
  EXPECT_TRUE(builder_.finish().cancellations.empty());
  EXPECT_EQ(rejected("partial_cancellation"), 2u);
}

TEST_F(Planning, CancellationsOfOthersGoodsOrTimesDoNotMatch) {
  line("1", "A1", "2", "7", "2011-01-02 10:00:00");
  line("C1", "A1", "-2", "8", "2011-01-03 10:00:00");  // another customer
  line("C2", "A1", "-2", "", "2011-01-03 10:00:00");   // nobody
  line("C3", "A1", "-2", "7", "2011-01-01 10:00:00");  // before the order
  line("C4", "A1", "-3", "7", "2011-01-03 10:00:00");  // more than was ordered
  line("C5", "A9", "-1", "7", "2011-01-03 10:00:00");  // not ordered
  EXPECT_TRUE(builder_.finish().cancellations.empty());
  EXPECT_EQ(rejected("unmatched_cancellation"), 5u);
}

TEST_F(Planning, ALimitKeepsWhatWasMatchedBefore) {
  line("1", "A1", "2", "7", "2011-01-01 10:00:00");
  line("2", "A1", "2", "7", "2011-01-02 10:00:00");
  line("C1", "A1", "-2", "7", "2011-01-03 10:00:00");  // cancels 2, also where 2 is not sent
  ReplayPlan plan = builder_.finish();
  plan.keep_first(1);
  EXPECT_EQ(plan.orders.size(), 1u);
  EXPECT_TRUE(plan.cancellations.empty());
  EXPECT_EQ(plan.needed.at(0), 4);
}

}  // namespace
}  // namespace holdfast::cli
