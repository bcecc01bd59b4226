#include "holdfast/runtime/runtime.hpp"

#include <gtest/gtest.h>

#include <set>
#include <stdexcept>
#include <thread>

#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/lifecycle.hpp"
#include "holdfast/runtime/loop.hpp"
#include "holdfast/runtime/offload.hpp"
#include "holdfast/runtime/sync.hpp"

namespace holdfast::runtime {
namespace {

using namespace std::chrono_literals;

/// A whole system on one thread in virtual time.
class Simulated {
 public:
  explicit Simulated(std::uint64_t seed = 1, bool shuffle = false)
      : random_(seed),
        runtime({.shuffle_ready = shuffle, .simulated = true, .manual_clock = &clock}, clock, random_) {}

  void run(const std::function<void(const Context&)>& main) { runtime.run(main); }

  ManualClock clock;

 private:
  SeededRandom random_;

 public:
  Runtime runtime;
};

struct Real {
  SystemClock clock;
  SystemRandom random;
  Runtime runtime;
  explicit Real(Runtime::Options options = {.loops = 2}) : runtime(std::move(options), clock, random) {}
};

TEST(Fiber, SleepsInVirtualTimeWithoutWaiting) {
  Simulated system;
  const auto before = std::chrono::steady_clock::now();
  system.run([&](const Context& ctx) { sleep_for(ctx, 24h); });
  EXPECT_EQ(system.clock.now().time_since_epoch(), 24h);
  EXPECT_LT(std::chrono::steady_clock::now() - before, 5s);
}

TEST(Fiber, RunsOthersWhileOneWaits) {
  std::string order;
  Simulated system;
  system.run([&](const Context& ctx) {
    FiberGroup group(ctx);
    group.spawn("slow", [&](const Context& inner) {
      order += 'a';
      sleep_for(inner, 20ms);
      order += 'd';
    });
    group.spawn("quick", [&](const Context& inner) {
      order += 'b';
      sleep_for(inner, 10ms);
      order += 'c';
    });
    group.wait();
    order += 'e';
  });
  EXPECT_EQ(order, "abcde");
}

TEST(Fiber, KeepsItsOwnExceptionWhileItWaitsInsideACatch) {
  // Without saving the exception state, each `throw;` below rethrows the other fiber's exception.
  Simulated system;
  std::string first, second;
  const auto fail_and_wait = [](const Context& ctx, const char* what, Duration wait, std::string& seen) {
    try {
      try {
        throw std::runtime_error(what);
      } catch (const std::runtime_error&) {
        sleep_for(ctx, wait);
        throw;
      }
    } catch (const std::runtime_error& failure) {
      seen = failure.what();
    }
  };
  system.run([&](const Context& ctx) {
    FiberGroup group(ctx);
    group.spawn("first", [&](const Context& inner) { fail_and_wait(inner, "first", 10ms, first); });
    group.spawn("second", [&](const Context& inner) { fail_and_wait(inner, "second", 5ms, second); });
    group.wait();
  });
  EXPECT_EQ(first, "first");
  EXPECT_EQ(second, "second");
}

TEST(Fiber, AWaitEndsAtTheDeadline) {
  Simulated system;
  system.run([&](const Context& ctx) {
    Latch never;
    const Context bounded = ctx.with_timeout(50ms);
    try {
      never.wait(bounded, "nothing");
      FAIL() << "the latch was never opened";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::deadline_exceeded);
    }
    EXPECT_EQ(ctx.now().time_since_epoch(), 50ms);
  });
}

TEST(Fiber, SleepingPastTheDeadlineFailsAtOnce) {
  Simulated system;
  system.run([&](const Context& ctx) {
    EXPECT_THROW(sleep_for(ctx.with_timeout(1s), 2s), Error);
    EXPECT_EQ(ctx.now().time_since_epoch(), 0s);
  });
}

TEST(FiberGroup, TheFirstFailureCancelsTheOthersAndIsRethrown) {
  Simulated system;
  system.run([&](const Context& ctx) {
    bool cancelled = false;
    FiberGroup group(ctx);
    group.spawn("waits", [&](const Context& inner) {
      try {
        sleep_for(inner, 1h);
      } catch (const Error& error) {
        cancelled = error.code() == ErrorCode::cancelled;
        throw;
      }
    });
    group.spawn("fails", [&](const Context& inner) {
      sleep_for(inner, 1ms);
      throw std::runtime_error("broken");
    });
    EXPECT_THROW(group.wait(), std::runtime_error);
    EXPECT_TRUE(cancelled);
    EXPECT_EQ(ctx.now().time_since_epoch(), 1ms);
  });
}

TEST(FiberGroup, LeavesNoFiberBehindWhenItIsDestroyed) {
  Simulated system;
  system.run([&](const Context& ctx) {
    bool ended = false;
    {
      FiberGroup group(ctx);
      group.spawn("waits", [&](const Context& inner) {
        try {
          sleep_for(inner, 1h);
        } catch (const Error&) {
        }
        ended = true;
      });
      yield();
    }
    EXPECT_TRUE(ended);
  });
}

TEST(FiberGroup, ACancelledParentCancelsTheChildren) {
  Simulated system;
  system.run([&](const Context& ctx) {
    CancellationSource source;
    FiberGroup group(ctx.with_cancellation(source.token()));
    ErrorCode seen{};
    group.spawn("waits", [&](const Context& inner) {
      try {
        sleep_for(inner, 1h);
      } catch (const Error& error) {
        seen = error.code();
      }
    });
    yield();
    source.cancel();
    group.wait();
    EXPECT_EQ(seen, ErrorCode::cancelled);
  });
}

TEST(Fiber, StacksAreReused) {
  Simulated system;
  system.run([&](const Context& ctx) {
    for (int i = 0; i < 1000; ++i) {
      FiberGroup group(ctx);
      group.spawn("short", [](const Context&) {});
      group.wait();
    }
    EXPECT_LE(system.runtime.statistics().stacks_pooled, 2U);
  });
}

TEST(Simulated, TimeDoesNotPassOverWhatWasPosted) {
  Simulated system;
  system.run([&](const Context& ctx) {
    Instant started = kNever;
    system.runtime.spawn_on(0, "posted", [&] { started = system.clock.now(); });
    const Instant begun = ctx.now();
    sleep_for(ctx, 20min);
    EXPECT_EQ(started, begun);
  });
}

TEST(Fiber, MoreThanTheLimitAreRefused) {
  ManualClock clock;
  SeededRandom random(1);
  Runtime runtime({.max_fibers_per_loop = 3, .simulated = true, .manual_clock = &clock}, clock, random);
  runtime.run([&](const Context& ctx) {
    FiberGroup group(ctx);
    group.spawn("a", [](const Context&) {});
    group.spawn("b", [](const Context&) {});
    EXPECT_THROW(group.spawn("c", [](const Context&) {}), Error);
    group.wait();
    group.spawn("d", [](const Context&) {});  // room again
    group.wait();
  });
}

TEST(NoWaitScope, RefusesAWaitAndNamesBoth) {
  Simulated system;
  system.run([&](const Context& ctx) {
    const NoWaitScope scope("the transaction \"place order\"");
    try {
      sleep_for(ctx, 1ms);
      FAIL() << "waited inside a transaction";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::internal);
      EXPECT_NE(error.cause().find("place order"), std::string::npos);
      EXPECT_NE(error.cause().find("sleep"), std::string::npos);
    }
  });
}

std::string run_shuffled(std::uint64_t seed) {
  std::string order;
  Simulated system(seed, true);
  system.run([&](const Context& ctx) {
    FiberGroup group(ctx);
    for (char name = 'a'; name <= 'h'; ++name) {
      group.spawn("letter", [&order, name](const Context&) { order += name; });
    }
    group.wait();
  });
  return order;
}

TEST(Simulation, TheSeedDecidesTheOrder) {
  std::set<std::string> orders;
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    EXPECT_EQ(run_shuffled(seed), run_shuffled(seed));
    orders.insert(run_shuffled(seed));
  }
  EXPECT_GT(orders.size(), 5U);
}

TEST(Signal, NothingBetweenReadingAndWaitingIsMissed) {
  Simulated system;
  system.run([&](const Context& ctx) {
    Signal signal;
    const auto seen = signal.version();
    signal.notify();
    EXPECT_EQ(signal.wait_past(ctx.with_timeout(1ms), seen, "test"), Woken::by_event);
    EXPECT_EQ(signal.wait_past(ctx.with_timeout(1ms), signal.version(), "test"), Woken::by_deadline);
  });
}

TEST(Semaphore, GrantsInOrderAndBoundsItsWaitingRoom) {
  Simulated system;
  system.run([&](const Context& ctx) {
    Semaphore semaphore(1, 2);
    std::string order;
    FiberGroup group(ctx);
    semaphore.acquire(ctx, "test");
    for (const char name : {'a', 'b'}) {
      group.spawn("waiter", [&, name](const Context& inner) {
        const Permit permit(semaphore, inner, "test");
        order += name;
        sleep_for(inner, 1ms);
      });
    }
    yield();
    EXPECT_THROW(semaphore.acquire(ctx, "test"), Error);
    semaphore.release();
    group.wait();
    EXPECT_EQ(order, "ab");
    EXPECT_EQ(semaphore.available(), 1U);
  });
}

TEST(Semaphore, ATimedOutWaiterTakesNoPermit) {
  Simulated system;
  system.run([&](const Context& ctx) {
    Semaphore semaphore(1, 2);
    semaphore.acquire(ctx, "test");
    EXPECT_THROW(semaphore.acquire(ctx.with_timeout(1ms), "test"), Error);
    semaphore.release();
    EXPECT_EQ(semaphore.available(), 1U);
  });
}

TEST(Offload, RunsElsewhereAndBringsTheExceptionBack) {
  Real real;
  real.runtime.run([&](const Context& ctx) {
    OffloadPool pool(real.runtime, {.name = "test"});
    std::thread::id ran_on;
    pool.run(ctx, [&] { ran_on = std::this_thread::get_id(); });
    EXPECT_NE(ran_on, std::this_thread::get_id());
    EXPECT_THROW(pool.run(ctx, [] { throw std::runtime_error("broken"); }), std::runtime_error);
  });
}

TEST(Offload, ADeadlineTakesWorkOutOfTheQueueButNotFromUnderARunningThread) {
  Real real;
  real.runtime.run([&](const Context& ctx) {
    OffloadPool pool(real.runtime, {.name = "test", .threads = 1, .max_queue = 1});
    Latch running;
    std::atomic<bool> go{false};
    bool second_ran = false;
    bool first_finished = false;
    CancellationSource gone;
    FiberGroup group(ctx);
    group.spawn("first", [&](const Context& inner) {
      pool.run(inner.with_cancellation(gone.token()), [&] {
        running.open();
        while (!go.load()) std::this_thread::yield();
        first_finished = true;
      });
      EXPECT_TRUE(first_finished);  // cancelled meanwhile, it was waited for all the same
    });
    running.wait(ctx, "first");
    gone.cancel();
    EXPECT_THROW(pool.run(ctx.with_timeout(5ms), [&] { second_ran = true; }), Error);
    EXPECT_FALSE(first_finished);
    go = true;
    group.wait();
    EXPECT_FALSE(second_ran);
  });
}

TEST(Offload, WorksInSimulationToo) {
  Simulated system;
  system.run([&](const Context& ctx) {
    OffloadPool pool(system.runtime, {.name = "test"});
    int ran = 0;
    pool.run(ctx, [&] { ++ran; });
    EXPECT_EQ(ran, 1);
  });
}

TEST(Runtime, FibersOfTwoLoopsWakeEachOtherManyTimes) {
  Real real;
  real.runtime.run([&](const Context& ctx) {
    Semaphore ping(0, 4);
    Semaphore pong(0, 4);
    Latch done;
    constexpr int kRounds = 20'000;
    real.runtime.spawn_on(1, "pong", [&] {
      for (int i = 0; i < kRounds; ++i) {
        ping.acquire(ctx, "ping");
        pong.release();
      }
      done.open();
    });
    for (int i = 0; i < kRounds; ++i) {
      ping.release();
      pong.acquire(ctx, "pong");
    }
    done.wait(ctx, "done");
  });
}

TEST(Runtime, LetsCancelledBackgroundFibersEndBeforeItDoes) {
  Real real;
  std::atomic<int> ended{0};
  CancellationSource stop;
  real.runtime.run([&](const Context& ctx) {
    for (const std::size_t loop : {0U, 1U}) {
      Latch running;
      real.runtime.spawn_on(loop, "background", [&, background = ctx.with_cancellation(stop.token())] {
        running.open();
        try {
          sleep_for(background, 1h);
        } catch (const Error&) {
          ++ended;
        }
      });
      running.wait(ctx, "background");
    }
    yield();
    stop.cancel();
  });
  EXPECT_EQ(ended, 2);
}

TEST(Fiber, ADeadlineInTheTurnOfItsWakeUpResumesItOnce) {
  Simulated system;
  system.run([&](const Context& ctx) {
    Latch latch;
    Timer opener([&] { latch.open(); });
    opener.arm(ctx.now() + 5ms);
    int resumed = 0;
    FiberGroup group(ctx);
    group.spawn("waiter", [&](const Context& inner) {
      latch.wait(inner.with_timeout(5ms), "latch");
      ++resumed;
      sleep_for(inner, 1ms);
      ++resumed;
    });
    group.wait();
    EXPECT_EQ(resumed, 2);
    EXPECT_EQ(ctx.now().time_since_epoch(), 6ms);
  });
}

TEST(Runtime, ReportsALoopThatStalls) {
  std::atomic<int> reports{0};
  Real real({.loops = 1, .stall_limit = 300ms, .on_stall = [&](const std::string& where) {
               if (where.find("main") != std::string::npos) ++reports;
             }});
  real.runtime.run([&](const Context&) {
    const Instant until = real.clock.now() + 20s;
    while (reports == 0 && real.clock.now() < until) {
    }
  });
  EXPECT_EQ(reports, 1);
  EXPECT_EQ(real.runtime.statistics().stalls, 1U);
}

TEST(Runtime, ShowsWhatWaitsWhere) {
  Simulated system;
  system.run([&](const Context& ctx) {
    FiberGroup group(ctx);
    group.spawn("sleeper", [](const Context& inner) { sleep_for(inner, 5s); });
    sleep_for(ctx, 1s);
    bool found = false;
    for (const auto& fiber : system.runtime.fibers()) {
      if (std::string_view(fiber.name) != "sleeper") continue;
      found = true;
      EXPECT_STREQ(fiber.waiting_at, "sleep");
      EXPECT_EQ(fiber.age, 1s);
    }
    EXPECT_TRUE(found);
    group.wait();
  });
}

TEST(Lifecycle, StopsInReverseOrderAndPassesOverAPartThatHangs) {
  Simulated system;
  std::string order;
  std::string report;
  system.run([&](const Context& ctx) {
    Lifecycle parts([&](const std::string& line) { report += line; });
    parts.start(
        "database", [&] { order += "D"; }, [&](const Context&) { order += "d"; });
    parts.start(
        "hanging", [&] { order += "H"; },
        [&](const Context& inner) {
          Latch never;
          never.wait(inner, "never");
        });
    parts.start(
        "http", [&] { order += "S"; }, [&](const Context&) { order += "s"; });
    EXPECT_FALSE(parts.stop(ctx, 5s));
  });
  EXPECT_EQ(order, "DHSsd");
  EXPECT_NE(report.find("hanging"), std::string::npos);
}

TEST(Timer, ManyTimersFireInOrderAndDisarmedOnesDoNot) {
  Simulated system;
  system.run([&](const Context& ctx) {
    std::vector<int> fired;
    std::vector<std::unique_ptr<Timer>> timers;
    SeededRandom random(7);
    for (int i = 0; i < 500; ++i)
      timers.push_back(std::make_unique<Timer>([&fired, i] { fired.push_back(i); }));
    std::vector<Instant> due(500);
    for (std::size_t i = 0; i < 500; ++i) {
      timers[i]->arm(ctx.now() + 1h);
      due[i] = ctx.now() + std::chrono::milliseconds(random.below(1000));
      timers[i]->arm(due[i]);
    }
    for (std::size_t i = 0; i < 500; i += 3) timers[i]->disarm();
    sleep_for(ctx, 2s);
    EXPECT_EQ(fired.size(), 500U - 167U);
    for (std::size_t i = 1; i < fired.size(); ++i) {
      EXPECT_LE(due[static_cast<std::size_t>(fired[i - 1])], due[static_cast<std::size_t>(fired[i])]);
    }
  });
}

}  // namespace
}  // namespace holdfast::runtime
