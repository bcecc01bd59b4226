#include "cli/dead_letter_filter.hpp"

#include <gtest/gtest.h>

#include "holdfast/base/error.hpp"

namespace holdfast::cli {
namespace {

TEST(DeadLetterFilter, TakesEveryKey) {
  const auto filter = parse_dead_letter_filter({"group=receipts", "topic=orders", "type=order.placed",
                                                "key=ord_1=2", "error=Timed out", "from=2026-01-01T00:00:00Z",
                                                "before=2026-01-02T00:00:00Z"});
  EXPECT_EQ(filter.group, "receipts");
  EXPECT_EQ(filter.topic, "orders");
  EXPECT_EQ(filter.type, "order.placed");
  EXPECT_EQ(filter.key, "ord_1=2");
  EXPECT_EQ(filter.error_contains, "Timed out");
  EXPECT_EQ(*filter.dead_before - *filter.dead_from, std::chrono::hours(24));
  EXPECT_FALSE(parse_dead_letter_filter({}).group);
}

TEST(DeadLetterFilter, RefusesTheRest) {
  for (const char* bad : {"group", "group=", "colour=red", "from=yesterday"}) {
    EXPECT_THROW(parse_dead_letter_filter({bad}), Error) << bad;
  }
  EXPECT_THROW(parse_dead_letter_filter({"group=a", "group=b"}), Error);
}

}  // namespace
}  // namespace holdfast::cli
