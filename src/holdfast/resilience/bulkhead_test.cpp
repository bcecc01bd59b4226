#include "holdfast/resilience/bulkhead.hpp"

#include <gmock/gmock.h>

#include <atomic>
#include <thread>
#include <vector>

#include "holdfast/base/error.hpp"
#include "holdfast/base/random.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/runtime.hpp"

namespace holdfast::resilience {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

class BulkheadTest : public ::testing::Test {
 protected:
  void simulate(const std::function<void(const Context&)>& main) {
    runtime::Runtime runtime({.simulated = true, .manual_clock = &clock}, clock, random);
    runtime.run(main);
  }
  ManualClock clock;
  SeededRandom random{3};
};

TEST_F(BulkheadTest, LetsSoManyInAndNoMore) {
  Bulkhead bulkhead({.concurrent = 2, .waiting = 0});
  auto first = bulkhead.try_enter();
  {
    auto second = bulkhead.try_enter();
    EXPECT_TRUE(second);
    EXPECT_EQ(bulkhead.running(), 2u);
    EXPECT_EQ(bulkhead.try_enter().refusal(), BulkheadRefusal::full);
  }
  EXPECT_TRUE(bulkhead.try_enter());
  EXPECT_THROW(Bulkhead({.concurrent = 0}), Error);
}

TEST_F(BulkheadTest, ThoseInLineGoInAsTheyCame) {
  simulate([&](const Context& ctx) {
    Bulkhead bulkhead({.concurrent = 1, .waiting = 3, .longest_wait = 1s});
    std::vector<int> order;
    runtime::FiberGroup group(ctx);
    for (int i = 0; i < 5; ++i) {
      group.spawn("call", [&, i](const Context& own) {
        const auto place = bulkhead.enter(own);
        if (!place) {
          EXPECT_EQ(place.refusal(), BulkheadRefusal::full);
          EXPECT_EQ(i, 4) << "the line had room for three";
          return;
        }
        order.push_back(i);
        runtime::sleep_for(own, 10ms);
      });
    }
    group.wait();
    EXPECT_THAT(order, ElementsAre(0, 1, 2, 3));
    EXPECT_EQ(bulkhead.running(), 0u);
    EXPECT_EQ(bulkhead.waiting(), 0u);
  });
}

TEST_F(BulkheadTest, NobodyWaitsLongerThanTheyMay) {
  simulate([&](const Context& ctx) {
    Bulkhead bulkhead({.concurrent = 1, .waiting = 3, .longest_wait = 50ms});
    const auto place = bulkhead.try_enter();
    const Instant began = clock.now();
    EXPECT_EQ(bulkhead.enter(ctx).refusal(), BulkheadRefusal::waited_out);
    EXPECT_EQ(clock.now() - began, 50ms);
    EXPECT_EQ(bulkhead.waiting(), 0u);
    EXPECT_THROW((void)bulkhead.enter(ctx.with_timeout(20ms)), Error);
    EXPECT_EQ(bulkhead.waiting(), 0u);
  });
}

TEST_F(BulkheadTest, WhoIsCancelledLeavesTheLine) {
  simulate([&](const Context& ctx) {
    Bulkhead bulkhead({.concurrent = 1, .waiting = 3, .longest_wait = 10s});
    const auto place = bulkhead.try_enter();
    runtime::FiberGroup group(ctx);
    ErrorCode code = ErrorCode::internal;
    group.spawn("call", [&](const Context& own) {
      try {
        (void)bulkhead.enter(own);
      } catch (const Error& error) {
        code = error.code();
      }
    });
    runtime::sleep_for(ctx, 1ms);
    EXPECT_EQ(bulkhead.waiting(), 1u);
    group.cancel();
    group.wait();
    EXPECT_EQ(code, ErrorCode::cancelled);
    EXPECT_EQ(bulkhead.waiting(), 0u);
  });
}

TEST(BulkheadThreads, KeepItsBoundAndLoseNoPlace) {
  constexpr std::uint32_t kConcurrent = 3;
  constexpr int kRounds = 2'500;  // who may pass the line does so seldom
  SystemClock clock;
  SeededRandom random(5);
  runtime::Runtime runtime({.loops = 3}, clock, random);
  Bulkhead bulkhead({.concurrent = kConcurrent, .waiting = 8, .longest_wait = 200us});
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  std::atomic<int> passed{0};
  std::atomic<int> refused{0};
  std::atomic<int> open{3};
  const auto work = [&] {
    const Context ctx = runtime.context();
    runtime::FiberGroup group(ctx);
    for (int i = 0; i < 8; ++i) {
      group.spawn("call", [&](const Context& own) {
        for (int n = 0; n < kRounds; ++n) {
          const auto place = bulkhead.enter(own);
          if (!place) {
            ++refused;
            runtime::yield();
            continue;
          }
          const int here = ++inside;
          for (int seen = most.load(); seen < here && !most.compare_exchange_weak(seen, here);) {
          }
          if (n % 3 != 0) runtime::yield();
          ++passed;
          --inside;
        }
      });
    }
    group.wait();
    --open;
  };
  runtime.run([&](const Context& ctx) {
    runtime.spawn_on(1, "calls", work);
    runtime.spawn_on(2, "calls", work);
    work();
    while (open != 0) runtime::sleep_for(ctx, 1ms);
  });
  EXPECT_LE(most.load(), static_cast<int>(kConcurrent));
  EXPECT_EQ(passed + refused, 3 * 8 * kRounds);
  EXPECT_GT(passed.load(), 0);
  EXPECT_EQ(bulkhead.running(), 0u);
  EXPECT_EQ(bulkhead.waiting(), 0u);
}

}  // namespace
}  // namespace holdfast::resilience
