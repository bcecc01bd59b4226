#include "holdfast/resilience/bulkhead.hpp"

#include <gmock/gmock.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "holdfast/base/error.hpp"
#include "holdfast/base/random.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/runtime/sync.hpp"

namespace holdfast::resilience {

/// Stops a bulkhead's line: nobody joins it, leaves it or is let in.
class BulkheadLine {
 public:
  explicit BulkheadLine(Bulkhead& bulkhead) : stopped_(bulkhead.mutex_) {}
  void go_on() { stopped_.unlock(); }

 private:
  std::unique_lock<std::mutex> stopped_;
};

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

/// A holder leaves while one waits in line and a newcomer asks again and again: the place is the one's in
/// line, whatever of leaving, being let in and asking falls together; and whoever asks in the moment in which
/// nobody is there any more gets it, instead of waiting for somebody to leave.
class BulkheadRace {
 public:
  void run() {
    runtime_.run([&](const Context&) {
      runtime_.spawn_on(1, "in line", [this] { in_line(); });
      runtime_.spawn_on(2, "newcomer", [this] { newcomer(); });
      for (int round = 1; round <= kRounds && !lost; ++round) hold(round);
      tell(over_, true);
      await([&] { return ended_ == 2; });
    });
  }

  static constexpr int kRounds = 1'000;
  std::atomic<int> rounds = 0;
  std::atomic<int> overtaken = 0;
  std::atomic<bool> lost = false;
  Bulkhead bulkhead{{.concurrent = 1, .waiting = 1, .longest_wait = 10s}};

 private:
  // Each role has a loop, and so a thread, of its own, which sleeps while the role waits for the others.
  void await(const std::function<bool()>& holds) {
    for (;;) {
      const std::uint64_t seen = changed_.version();
      if (holds()) return;
      changed_.wait_past(runtime_.context(), seen, "test");
    }
  }
  template <class T, class To>
  void tell(std::atomic<T>& what, To to) {
    what = to;
    changed_.notify();
  }

  void hold(int round) {
    {
      const auto place = bulkhead.enter(runtime_.context());
      if (!place) tell(lost, true);
      in_turn_ = false;
      tell(in_line_, round);
      while (bulkhead.waiting() == 0 && !lost) runtime::yield();
      tell(newcomer_, round);
      await([&] { return asking_ == round || lost; });
    }
    await([&] { return (in_line_done_ == round && newcomer_done_ == round) || lost; });
    ++rounds;
  }

  void in_line() {
    for (int round = 1; !over_; ++round) {
      await([&] { return in_line_ == round || over_; });
      if (over_) break;
      if (const auto place = bulkhead.enter(runtime_.context())) {
        in_turn_ = true;
      } else {
        tell(lost, true);
      }
      tell(in_line_done_, round);
    }
    ++ended_;
    changed_.notify();
  }

  void newcomer() {
    for (int round = 1; !over_; ++round) {
      await([&] { return newcomer_ == round || over_; });
      if (over_) break;
      tell(asking_, round);
      for (bool inside = false; !inside && !lost;) {
        // By the two ways in turn: the one that may join the line, and the one that is at the door most
        // often.
        const auto place = round % 2 == 0 ? bulkhead.enter(runtime_.context()) : bulkhead.try_enter();
        inside = static_cast<bool>(place);
        if (inside && !in_turn_) ++overtaken;
        if (place.refusal() == BulkheadRefusal::waited_out) tell(lost, true);
      }
      tell(newcomer_done_, round);
    }
    ++ended_;
    changed_.notify();
  }

  SystemClock clock_;
  SeededRandom random_{7};
  runtime::Runtime runtime_{{.loops = 3}, clock_, random_};
  std::atomic<int> in_line_ = 0, newcomer_ = 0, asking_ = 0, in_line_done_ = 0, newcomer_done_ = 0,
                   ended_ = 0;
  std::atomic<bool> in_turn_ = false, over_ = false;
  runtime::Signal changed_;
};

TEST(BulkheadThreads, APlaceThatIsGivenUpBelongsToTheLineAtOnce) {
  SystemClock clock;
  SeededRandom random(5);
  runtime::Runtime runtime({.loops = 2}, clock, random);
  Bulkhead bulkhead({.concurrent = 1, .waiting = 4, .longest_wait = 30s});
  runtime.run([&](const Context& ctx) {
    std::optional<Bulkhead::Place> held(bulkhead.try_enter());
    bool let_in = false;
    runtime::FiberGroup group(ctx);
    group.spawn("in line", [&](const Context& own) { let_in = static_cast<bool>(bulkhead.enter(own)); });
    while (bulkhead.waiting() == 0) runtime::yield();
    BulkheadLine line(bulkhead);
    std::thread leaver([&] { held.reset(); });
    while (bulkhead.running() != 0) std::this_thread::yield();
    // The place has been given up, and the one in line not been let in yet.
    std::optional<Bulkhead::Place> newcomer(bulkhead.try_enter());
    EXPECT_FALSE(*newcomer);
    line.go_on();
    leaver.join();
    newcomer.reset();
    EXPECT_EQ(bulkhead.running(), 1U) << "it is inside, though it has not run yet";
    group.wait();
    EXPECT_TRUE(let_in);
  });
}

TEST(BulkheadThreads, ANewcomerOvertakesNobodyAndNoFreedPlaceIsLost) {
  BulkheadRace race;
  race.run();
  EXPECT_FALSE(race.lost) << "a place was free, and one in line was not let in";
  EXPECT_EQ(race.overtaken, 0);
  EXPECT_EQ(race.rounds, BulkheadRace::kRounds);
  EXPECT_EQ(race.bulkhead.running(), 0U);
  EXPECT_EQ(race.bulkhead.waiting(), 0U);
}

}  // namespace
}  // namespace holdfast::resilience
