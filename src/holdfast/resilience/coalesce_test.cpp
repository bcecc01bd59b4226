#include "holdfast/resilience/coalesce.hpp"

#include <gmock/gmock.h>

#include <atomic>
#include <functional>

#include "holdfast/base/error.hpp"
#include "holdfast/base/random.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/runtime/sync.hpp"

namespace holdfast::resilience {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

struct CoalesceTest : ::testing::Test {
  void run(const std::function<void(const Context&)>& body) {
    runtime::Runtime runtime({.simulated = true, .manual_clock = &clock}, clock, random);
    runtime.run(body);
  }
  ErrorCode failure_of(const std::function<void()>& body) {
    try {
      body();
    } catch (const Error& error) {
      return error.code();
    }
    ADD_FAILURE() << "should have thrown";
    return ErrorCode::internal;
  }
  ManualClock clock;
  SeededRandom random{1};
  observe::Metrics metrics;
};

TEST_F(CoalesceTest, SharesOneCallPerKey) {
  int calls = 0;
  int right = 0;
  run([&](const Context& ctx) {
    Coalescer<std::string> coalescer("c", {}, metrics);
    runtime::FiberGroup group(ctx);
    for (int i = 0; i < 50; ++i) {
      const std::string key = i % 2 == 0 ? "a" : "b";
      group.spawn("asker", [&, key](const Context& own) {
        const auto value = coalescer.get(own, key, [&](const Context& inner) {
          ++calls;
          runtime::sleep_for(inner, 100ms);
          return key + "!";
        });
        right += *value == key + "!" ? 1 : 0;
      });
    }
    group.wait();
    EXPECT_EQ(calls, 2);
    coalescer.get(ctx, "a", [&](const Context&) { return std::to_string(++calls); });
    EXPECT_EQ(calls, 3) << "what has landed is not kept";
  });
  EXPECT_EQ(right, 50);
  EXPECT_THAT(metrics.expose(),
              HasSubstr("holdfast_coalesce_total{coalescer=\"c\",outcome=\"shared\"} 48\n"));
}

TEST_F(CoalesceTest, AFailureGoesToAll) {
  int calls = 0;
  int failed = 0;
  run([&](const Context& ctx) {
    Coalescer<int> coalescer("c", {}, metrics);
    runtime::FiberGroup group(ctx);
    for (int i = 0; i < 10; ++i) {
      group.spawn("asker", [&](const Context& own) {
        const ErrorCode code = failure_of([&] {
          coalescer.get(own, "k", [&](const Context& inner) -> int {
            ++calls;
            runtime::sleep_for(inner, 10ms);
            throw Error(ErrorCode::unavailable, "down");
          });
        });
        failed += code == ErrorCode::unavailable ? 1 : 0;
      });
    }
    group.wait();
  });
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(failed, 10);
}

TEST_F(CoalesceTest, EachWaiterKeepsItsOwnDeadline) {
  run([&](const Context& ctx) {
    Coalescer<int> coalescer("c", {}, metrics);
    runtime::FiberGroup group(ctx);
    const auto slow = [](const Context& inner) {
      runtime::sleep_for(inner, 1s);
      return 5;
    };
    group.spawn("leader", [&](const Context& own) { EXPECT_EQ(*coalescer.get(own, "k", slow), 5); });
    group.spawn("hasty", [&](const Context& own) {
      const Instant begun = own.now();
      EXPECT_EQ(failure_of([&] { coalescer.get(own.with_timeout(50ms), "k", slow); }),
                ErrorCode::deadline_exceeded);
      EXPECT_EQ(own.now() - begun, 50ms);
    });
    group.wait();
  });
}

TEST_F(CoalesceTest, ALeaderThatGivesUpHandsOverInsteadOfFailingEverybody) {
  std::vector<std::string> led;
  run([&](const Context& ctx) {
    Coalescer<std::string> coalescer("c", {}, metrics);
    const auto asker = [&](const Context& own, const std::string& name) {
      return coalescer.get(own, "k", [&](const Context& inner) {
        led.push_back(name);
        runtime::sleep_for(inner, 100ms);
        return name;
      });
    };
    runtime::FiberGroup group(ctx);
    group.spawn("first", [&](const Context& own) {
      EXPECT_EQ(failure_of([&] { asker(own.with_timeout(150ms).with_timeout(30ms), "first"); }),
                ErrorCode::deadline_exceeded);
    });
    group.spawn("second", [&](const Context& own) {
      runtime::sleep_for(own, 1ms);
      EXPECT_EQ(*asker(own, "second"), "second");
    });
    group.spawn("third", [&](const Context& own) {
      runtime::sleep_for(own, 2ms);
      EXPECT_EQ(*asker(own, "third"), "second");
    });
    group.wait();
  });
  EXPECT_THAT(led, ::testing::ElementsAre("first", "second"));
}

TEST_F(CoalesceTest, IsBoundedInKeysAndWaiters) {
  run([&](const Context& ctx) {
    Coalescer<int> coalescer("c", {.max_keys = 1, .max_waiting = 1}, metrics);
    const auto slow = [](const Context& inner) {
      runtime::sleep_for(inner, 1s);
      return 5;
    };
    runtime::FiberGroup group(ctx);
    for (int i = 0; i < 2; ++i)
      group.spawn("asker", [&](const Context& own) { EXPECT_EQ(*coalescer.get(own, "k", slow), 5); });
    runtime::sleep_for(ctx, 1ms);
    EXPECT_EQ(failure_of([&] { coalescer.get(ctx, "k", slow); }), ErrorCode::unavailable);
    EXPECT_EQ(*coalescer.get(ctx, "other", [](const Context&) { return 6; }), 6) << "runs unshared";
    group.wait();
  });
}

TEST_F(CoalesceTest, WorksAcrossLoopsWithAskersThatComeAndGo) {
  SystemClock real;
  runtime::Runtime runtime({.loops = 2}, real, random);
  constexpr int kFibers = 400;
  std::atomic<int> at_once = 0;
  std::atomic<int> answered = 0;
  std::atomic<int> gave_up = 0;
  std::atomic<int> done = 0;
  runtime.run([&](const Context& ctx) {
    Coalescer<int> coalescer("c", {}, metrics);
    runtime::Latch all_done;
    for (int i = 0; i < kFibers; ++i) {
      runtime.spawn_on(static_cast<std::size_t>(i % 2), "asker", [&, i] {
        try {
          const Context own = i % 3 == 0 ? ctx.with_timeout(std::chrono::microseconds(i * 5)) : ctx;
          const auto value = coalescer.get(own, "k", [&](const Context& inner) {
            EXPECT_EQ(++at_once, 1);
            runtime::Latch never;
            try {
              never.wait(inner.with_timeout(200us), "test");
            } catch (const Error&) {
            }
            --at_once;
            inner.check("test");
            return 5;
          });
          EXPECT_EQ(*value, 5);
          ++answered;
        } catch (const Error& error) {
          EXPECT_EQ(error.code(), ErrorCode::deadline_exceeded);
          EXPECT_EQ(i % 3, 0) << "only who had a deadline may miss it";
          ++gave_up;
        }
        if (++done == kFibers) all_done.open();
      });
    }
    all_done.wait(ctx, "test");
  });
  EXPECT_EQ(answered + gave_up, kFibers);
  EXPECT_GE(answered, kFibers * 2 / 3);
}

}  // namespace
}  // namespace holdfast::resilience
