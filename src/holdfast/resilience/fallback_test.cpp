#include "holdfast/resilience/fallback.hpp"

#include <gmock/gmock.h>

#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/runtime.hpp"

namespace holdfast::resilience {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

struct FallbackTest : ::testing::Test {
  ManualClock clock;
  observe::Metrics metrics;
  Context ctx{clock};
  LastGood<int> rates{"rates", {.max_keys = 2, .max_staleness = 1min}, clock, metrics};

  static int fails(const Context&) { throw Error(ErrorCode::unavailable, "down"); }
};

TEST_F(FallbackTest, GivesTheLastGoodValueAndSaysHowOldItIs) {
  EXPECT_EQ(rates.get(ctx, "EUR", [](const Context&) { return 7; }).stale_since, std::nullopt);
  const WallTime good_at = clock.wall_now();
  clock.advance(40s);
  const Fallen<int> fallen = rates.get(ctx, "EUR", fails);
  EXPECT_EQ(fallen.value, 7);
  EXPECT_EQ(fallen.stale_since, good_at);
  EXPECT_EQ(fallen.age, 40s);
  clock.advance(20s);
  EXPECT_EQ(rates.get(ctx, "EUR", fails).age, 60s);
  clock.advance(1ns);
  EXPECT_THROW(rates.get(ctx, "EUR", fails), Error) << "too old is as good as none";
  EXPECT_EQ(rates.get(ctx, "EUR", [](const Context&) { return 8; }).value, 8);
  EXPECT_EQ(rates.get(ctx, "EUR", fails).value, 8);
  EXPECT_THAT(metrics.expose(),
              HasSubstr("holdfast_fallback_total{fallback=\"rates\",outcome=\"stale\"} 3\n"));
}

TEST_F(FallbackTest, FailsWhereNothingIsKnown) { EXPECT_THROW(rates.get(ctx, "EUR", fails), Error); }

TEST_F(FallbackTest, ARefusalIsAnAnswerAndIsPassedOn) {
  rates.put("EUR", 7);
  for (const ErrorCode code : {ErrorCode::permission_denied, ErrorCode::conflict, ErrorCode::cancelled,
                               ErrorCode::invalid_argument}) {
    EXPECT_THROW(rates.get(ctx, "EUR", [&](const Context&) -> int { throw Error(code, "no"); }), Error);
  }
  EXPECT_TRUE(rates.find("EUR"));
  EXPECT_THROW(
      rates.get(ctx, "EUR", [](const Context&) -> int { throw Error(ErrorCode::not_found, "gone"); }), Error);
  EXPECT_FALSE(rates.find("EUR")) << "what is gone must not come back as the last good value";
}

TEST_F(FallbackTest, KeepsTheMostRecentlyUsed) {
  rates.put("EUR", 1);
  rates.put("USD", 2);
  EXPECT_TRUE(rates.find("EUR"));
  rates.put("GBP", 3);
  EXPECT_FALSE(rates.find("USD"));
  EXPECT_TRUE(rates.find("EUR"));
  EXPECT_TRUE(rates.find("GBP"));
}

TEST_F(FallbackTest, TheCallGetsItsPatienceAndTheCallersEndIsTheCallers) {
  SeededRandom random(1);
  runtime::Runtime runtime({.simulated = true, .manual_clock = &clock}, clock, random);
  LastGood<int> hasty("hasty", {.patience = 100ms}, clock, metrics);
  runtime.run([&](const Context& own) {
    const auto slow = [](const Context& inner) {
      runtime::sleep_for(inner, 1s);
      return 2;
    };
    hasty.put("k", 1);
    EXPECT_EQ(hasty.get(own, "k", slow).value, 1) << "100 ms are over, the caller's time is not";
    const Context ended = own.with_timeout(0s);
    EXPECT_THROW(hasty.get(ended, "k", slow), Error);
  });
}

}  // namespace
}  // namespace holdfast::resilience
