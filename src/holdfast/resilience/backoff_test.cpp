#include "holdfast/resilience/backoff.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace holdfast::resilience {
namespace {

using namespace std::chrono_literals;

TEST(Backoff, DoublesUpToTheCap) {
  const BackoffOptions options{.base = 100ms, .cap = 1s};
  EXPECT_EQ(backoff_ceiling(options, 0), 100ms);
  EXPECT_EQ(backoff_ceiling(options, 3), 800ms);
  EXPECT_EQ(backoff_ceiling(options, 4), 1s);
}

TEST(Backoff, NoNumberOfAttemptsOverflows) {
  for (const Duration cap : {Duration(1s), Duration::max()}) {
    for (const Duration base : {Duration(1), Duration(7ms), Duration(1h)}) {
      Duration before(0);
      for (const std::uint32_t attempt : {0u, 1u, 10u, 40u, 61u, 62u, 63u, 64u, 1000u, ~0u}) {
        const Duration now = backoff_ceiling({.base = base, .cap = cap}, attempt);
        EXPECT_GE(now, before);
        EXPECT_LE(now, cap);
        before = now;
      }
      EXPECT_EQ(before, cap);
    }
  }
}

TEST(Backoff, EachJitterFillsItsRangeAndNoMore) {
  SeededRandom random(5);
  const auto extremes = [&](Jitter jitter, Duration previous) {
    Duration least = Duration::max(), most(0);
    for (int i = 0; i < 10'000; ++i) {
      const Duration wait = backoff_delay({.base = 100ms, .cap = 10s, .jitter = jitter}, 3, random, previous);
      least = std::min(least, wait);
      most = std::max(most, wait);
    }
    return std::pair(least, most);
  };
  const auto near = [](Duration value, Duration wanted) {
    return value >= wanted - 5ms && value <= wanted + 5ms;
  };
  auto [least, most] = extremes(Jitter::full, 0s);
  EXPECT_TRUE(near(least, 0ms) && near(most, 800ms) && most <= 800ms);
  std::tie(least, most) = extremes(Jitter::equal, 0s);
  EXPECT_TRUE(near(least, 400ms) && least >= 400ms && near(most, 800ms) && most <= 800ms);
  std::tie(least, most) = extremes(Jitter::decorrelated, 500ms);
  EXPECT_TRUE(near(least, 100ms) && least >= 100ms && near(most, 1500ms) && most <= 1500ms);
  std::tie(least, most) = extremes(Jitter::none, 0s);
  EXPECT_TRUE(least == 800ms && most == 800ms);
}

TEST(Backoff, DecorrelatedStaysUnderTheCapForEver) {
  SeededRandom random(6);
  Backoff backoff({.base = 10ms, .cap = 2s, .jitter = Jitter::decorrelated});
  for (int i = 0; i < 1000; ++i) {
    const Duration wait = backoff.next(random);
    ASSERT_GE(wait, 10ms);
    ASSERT_LE(wait, 2s);
  }
  EXPECT_EQ(backoff.attempts(), 1000u);
}

TEST(Backoff, BeginsAnewAfterASuccess) {
  SeededRandom random(7);
  Backoff backoff({.base = 1ms, .cap = 1h, .jitter = Jitter::none});
  backoff.next(random);
  EXPECT_EQ(backoff.next(random), 2ms);
  backoff.reset();
  EXPECT_EQ(backoff.next(random), 1ms);
}

}  // namespace
}  // namespace holdfast::resilience
