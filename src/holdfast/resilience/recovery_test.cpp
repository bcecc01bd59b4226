#include "holdfast/resilience/recovery.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

namespace holdfast::resilience {
namespace {

using namespace std::chrono_literals;

struct RecoveryTest : ::testing::Test {
  /// All is well, with so many good calls a second.
  void usual(double per_second, Duration time) {
    for (const Instant end = now + time; now < end; now += 1s) {
      if (recovery.observes(now)) recovery.observe(now, static_cast<std::uint64_t>(good));
      good += per_second;
    }
    recovery.observe(now, static_cast<std::uint64_t>(good));
  }
  void outage(Duration time) {
    recovery.outage();
    now += time;
    recovery.begin(now);
  }
  /// Of one who asks every millisecond.
  int let_through(Duration time) {
    int count = 0;
    for (const Instant end = now + time; now < end; now += 1ms) count += recovery.take_one(now) == 0s ? 1 : 0;
    return count;
  }

  RecoveryOptions options;
  Recovery recovery{options};
  Instant now{1h};
  double good = 0;
};

TEST_F(RecoveryTest, WhatIsUsualIsTheAverageOfTheLastMinute) {
  usual(80, 5s);
  EXPECT_NEAR(recovery.usual(), 80, 1) << "from the start";
  usual(20, 10min);
  EXPECT_NEAR(recovery.usual(), 20, 1);
  EXPECT_FALSE(recovery.active());
  EXPECT_FALSE(recovery.observes(now + 999ms));
  EXPECT_TRUE(recovery.observes(now + 1s));
}

TEST_F(RecoveryTest, AfterAnOutageItGivesBackAMultipleOfTheUsual) {
  usual(80, 30s);
  outage(10min);
  ASSERT_TRUE(recovery.active());
  EXPECT_NEAR(let_through(1s), 3 * 80, 5);
  now = now + 58s;
  recovery.take_one(now);
  EXPECT_NEAR(recovery.rate(now), 2 * 3 * 80, 10) << "doubled in a minute";
  EXPECT_NEAR(recovery.usual(), 80, 1) << "the outage was not usual";
}

TEST_F(RecoveryTest, WhatWasHardlyAskedGetsTheLeast) {
  outage(1s);
  EXPECT_NEAR(let_through(10s), 20 * 10.6, 5);
}

/// In every span of a second: no more than its rate and the burst.
TEST_F(RecoveryTest, NoSecondHasMoreThanItsRate) {
  usual(100, 60s);
  outage(1min);
  std::vector<Instant> passed;
  for (int i = 0; i < 100'000; ++i, now += 100us * (1 + i % 7)) {
    if (recovery.take_one(now) == 0s) passed.push_back(now);
  }
  for (auto from = passed.begin(); from != passed.end(); ++from) {
    const auto to = std::ranges::upper_bound(from, passed.end(), *from + 1s);
    ASSERT_LE(static_cast<double>(to - from), 1.1 * recovery.rate(*from + 1s) + 1);
  }
}

/// Who is refused is told a time of its own, as in a line; nobody is told one beyond the longest wait.
TEST_F(RecoveryTest, ThoseWhoAreRefusedAreSpread) {
  usual(10, 60s);
  outage(1min);
  std::vector<Duration> waits;
  for (int i = 0; i < 5000; ++i) waits.push_back(recovery.take_one(now));
  std::erase(waits, Duration(0));
  ASSERT_GT(waits.size(), 4900U);
  EXPECT_NEAR(std::chrono::duration<double>(waits[29]).count(), 1, 0.1) << "at 30 a second";
  EXPECT_LE(*std::ranges::max_element(waits), Recovery::kLongestWait);
  for (std::size_t i = 0; i + 60 < waits.size(); i += 60) {
    const auto last = waits[i + 59];
    EXPECT_TRUE(last > waits[i] || last >= Recovery::kLongestWait / 2);
  }
}

TEST_F(RecoveryTest, ItIsOverWhenNobodyWasRefusedForAWhile) {
  usual(10, 60s);
  outage(1min);
  let_through(1s);
  for (int i = 0; i < 59; ++i) EXPECT_EQ(recovery.take_one(now += 1s), 0s);
  EXPECT_TRUE(recovery.active());
  now += 2s;
  EXPECT_EQ(recovery.take_one(now), 0s);
  EXPECT_FALSE(recovery.active());
  const Instant next = now;
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(recovery.take_one(next), 0s);
}

TEST_F(RecoveryTest, ANewOutageEndsItAndItBeginsAnew) {
  usual(80, 60s);
  outage(1min);
  now += 59s;
  recovery.take_one(now);
  outage(10s);
  EXPECT_NEAR(let_through(1s), 3 * 80, 5);
}

TEST_F(RecoveryTest, WithoutAnOutageNothingBegins) {
  recovery.begin(now);
  EXPECT_FALSE(recovery.active());
  Recovery off({.enabled = false});
  off.outage();
  off.begin(now);
  EXPECT_FALSE(off.active());
}

TEST_F(RecoveryTest, ThreadsTogetherGetNoMoreThanOne) {
  outage(1s);
  std::atomic<int> passed = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20'000; ++i) passed += recovery.take_one(now + i * 50us) == 0s ? 1 : 0;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_LE(passed, 23) << "in a second at 20, with a burst of 2";
  EXPECT_GE(passed, 15);
}

}  // namespace
}  // namespace holdfast::resilience
