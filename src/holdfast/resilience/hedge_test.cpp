#include "holdfast/resilience/hedge.hpp"

#include <gmock/gmock.h>

#include "holdfast/base/error.hpp"
#include "holdfast/base/random.hpp"
#include "holdfast/resilience/pipeline.hpp"
#include "holdfast/runtime/runtime.hpp"

namespace holdfast::resilience {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

struct HedgeTest : ::testing::Test {
  void run(const std::function<void(const Context&)>& body) {
    runtime::Runtime runtime({.simulated = true, .manual_clock = &clock}, clock, random);
    runtime.run(body);
  }
  ManualClock clock;
  SeededRandom random{1};
  observe::Metrics metrics;
  int calls = 0;
  int cancelled = 0;

  int answer_after(const Context& own, Duration first, Duration second) {
    const int which = calls++;
    try {
      runtime::sleep_for(own, which == 0 ? first : second);
    } catch (const Error& error) {
      if (error.code() == ErrorCode::cancelled) ++cancelled;
      throw;
    }
    return which;
  }
};

TEST_F(HedgeTest, TheSecondTryWinsAndTheFirstIsCancelled) {
  run([&](const Context& ctx) {
    Hedge hedge("h", {.delay = 20ms}, metrics);
    const Instant begun = ctx.now();
    EXPECT_EQ(hedge.call<int>(ctx, [&](const Context& own) { return answer_after(own, 1s, 5ms); }), 1);
    EXPECT_EQ(ctx.now() - begun, 25ms);
  });
  EXPECT_EQ(cancelled, 1);
  EXPECT_THAT(metrics.expose(), HasSubstr("holdfast_hedge_total{hedge=\"h\",what=\"won\"} 1\n"));
}

TEST_F(HedgeTest, AQuickAnswerAndAQuickFailureAreNotTriedAgain) {
  run([&](const Context& ctx) {
    Hedge hedge("h", {.delay = 20ms}, metrics);
    EXPECT_EQ(hedge.call<int>(ctx, [&](const Context& own) { return answer_after(own, 10ms, 0ms); }), 0);
    EXPECT_THROW(hedge.call<int>(ctx,
                                 [&](const Context&) -> int {
                                   ++calls;
                                   throw Error(ErrorCode::unavailable, "down");
                                 }),
                 Error);
  });
  EXPECT_EQ(calls, 2);
}

TEST_F(HedgeTest, AFailureAfterTheDelayWaitsForTheOtherTry) {
  run([&](const Context& ctx) {
    Hedge hedge("h", {.delay = 20ms}, metrics);
    EXPECT_EQ(hedge.call<int>(ctx,
                              [&](const Context& own) {
                                const int which = calls++;
                                runtime::sleep_for(own, which == 0 ? 25ms : 50ms);
                                if (which == 0) throw Error(ErrorCode::unavailable, "down");
                                return which;
                              }),
              1);
  });
}

TEST_F(HedgeTest, TheCallersDeadlineEndsBoth) {
  run([&](const Context& ctx) {
    Hedge hedge("h", {.delay = 20ms}, metrics);
    const Instant begun = ctx.now();
    EXPECT_THROW(hedge.call<int>(ctx.with_timeout(50ms),
                                 [&](const Context& own) {
                                   try {
                                     runtime::sleep_for(own, 40ms);
                                     runtime::sleep_for(own, 40ms);
                                   } catch (const Error&) {
                                     ++cancelled;
                                     throw;
                                   }
                                   return 1;
                                 }),
                 Error);
    EXPECT_LE(ctx.now() - begun, 50ms);
  });
  EXPECT_EQ(cancelled, 2);
}

TEST_F(HedgeTest, WhenAllIsSlowOnlyTheBudgetIsHedged) {
  run([&](const Context& ctx) {
    Hedge hedge("h", {.delay = 1ms, .budget = 0.1, .most_saved = 5}, metrics);
    for (int i = 0; i < 1000; ++i) {
      (void)hedge.call<int>(ctx, [&](const Context& own) {
        ++calls;
        runtime::sleep_for(own, 10ms);
        return 0;
      });
    }
  });
  EXPECT_LE(calls, 1000 + 100 + 5);
  EXPECT_GE(calls, 1000 + 90);
}

TEST_F(HedgeTest, WithoutAStackForASecondTryTheFirstGoesOn) {
  runtime::Runtime runtime({.max_fibers_per_loop = 2, .simulated = true, .manual_clock = &clock}, clock,
                           random);
  runtime.run([&](const Context& ctx) {
    Hedge hedge("h", {.delay = 20ms}, metrics);
    EXPECT_EQ(hedge.call<int>(ctx, [&](const Context& own) { return answer_after(own, 50ms, 0ms); }), 0);
  });
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(cancelled, 0);
  EXPECT_THAT(metrics.expose(), HasSubstr("what=\"hedged\"} 0\n"));
}

TEST(HedgePolicy, FindsThePercentileOut) {
  HedgePolicy policy({.percentile = 0.95});
  EXPECT_FALSE(policy.begin()) << "too early to tell";
  for (int i = 1; i <= 1000; ++i) policy.record(std::chrono::milliseconds(i % 100 + 1));
  ASSERT_TRUE(policy.begin());
  EXPECT_GE(*policy.begin(), 93ms);
  EXPECT_LE(*policy.begin(), 98ms);
  EXPECT_THROW(HedgePolicy({.percentile = 1}), Error);
  EXPECT_THROW(HedgePolicy({.budget = 0}), Error);
}

/// How the two are composed: a hedge goes around a pipeline.
TEST_F(HedgeTest, AroundAPipelineEachTryHasItsOwnPlaceAndVerdict) {
  run([&](const Context& ctx) {
    observe::Log log({.level = observe::LogLevel::off}, clock);
    const auto through = [&](const char* name, std::uint32_t places) {
      PipelineOptions options;
      options.bulkhead = {.concurrent = places, .waiting = 0};
      Pipeline prices(name, options, {clock, random, metrics, log.logger("prices")});
      Hedge hedge(name, {.delay = 20ms}, metrics);
      calls = 0;
      const int won = hedge.call<int>(ctx, [&](const Context& own) {
        return prices.call(own, [&](const Context& each) { return answer_after(each, 100ms, 5ms); },
                           {.idempotent = true});
      });
      EXPECT_EQ(prices.view().counters.failed, 0U) << "a try that lost says nothing of the dependency";
      EXPECT_EQ(prices.view().counters.succeeded, 1U);
      return won;
    };
    EXPECT_EQ(through("roomy", 2), 1);
    EXPECT_EQ(calls, 2);
    EXPECT_EQ(through("full", 1), 0) << "the second try finds no place, and the first goes on";
    EXPECT_EQ(calls, 1);
  });
}

}  // namespace
}  // namespace holdfast::resilience
