// The schema's history, held to what lets two releases run side by side while one replaces the other.
#include "orders/migrations.hpp"

#include <gtest/gtest.h>

namespace holdfast::orders {
namespace {

// Steps up to here are older than the first release.
constexpr std::int64_t kBeforeTheFirstRelease = 30;

TEST(SchemaHistory, EachStepSaysWhetherItExpandsOrContracts) {
  for (const sql::Migration& step : migrations()) {
    const bool expands = step.name.starts_with(sql::kExpands);
    const bool contracts = step.name.starts_with("contract: ");
    if (step.version > kBeforeTheFirstRelease) {
      EXPECT_TRUE(expands || contracts) << step.version << " (" << step.name
                                        << "): begin its name with \"expand: \" where it only adds, so that "
                                        << "the release before goes on with it; with \"contract: \" where no "
                                           "release that runs needs what it takes";
    }
    if (!expands) continue;
    EXPECT_EQ(sql::more_than_adds(step.up_sql), "") << step.version;
    EXPECT_EQ(sql::more_than_adds(step.postgres_up_sql), "") << step.version;
  }
}

}  // namespace
}  // namespace holdfast::orders
