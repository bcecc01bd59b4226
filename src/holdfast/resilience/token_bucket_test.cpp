#include "holdfast/resilience/token_bucket.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "holdfast/base/error.hpp"
#include "holdfast/base/random.hpp"

namespace holdfast::resilience {
namespace {

using namespace std::chrono_literals;

TEST(TokenBucket, PassesABurstThenOneAnInterval) {
  TokenBucket bucket({.requests = 10, .window = 1s, .burst = 3});
  Instant now(5s);
  EXPECT_EQ(bucket.try_acquire(now).remaining, 2u);
  EXPECT_EQ(bucket.try_acquire(now).remaining, 1u);
  EXPECT_EQ(bucket.try_acquire(now).remaining, 0u);
  const RateDecision refused = bucket.try_acquire(now);
  EXPECT_FALSE(refused.allowed);
  EXPECT_EQ(refused.retry_after, 100ms);
  EXPECT_EQ(refused.full_after, 300ms);
  EXPECT_FALSE(bucket.try_acquire(now + 100ms - 1ns).allowed);
  EXPECT_TRUE(bucket.try_acquire(now + 100ms).allowed);
  EXPECT_FALSE(bucket.try_acquire(now + 100ms).allowed);
}

TEST(TokenBucket, TakesAllOrNothing) {
  TokenBucket bucket({.requests = 10, .window = 1s});
  const Instant now(1s);
  EXPECT_TRUE(bucket.try_acquire(now, 8).allowed);
  const RateDecision refused = bucket.try_acquire(now, 5);
  EXPECT_FALSE(refused.allowed);
  EXPECT_EQ(refused.remaining, 2u);
  EXPECT_EQ(refused.retry_after, 300ms);
  EXPECT_TRUE(bucket.try_acquire(now, 2).allowed);
  EXPECT_EQ(bucket.try_acquire(now, 11).retry_after, RateDecision::kNeverPasses);
}

TEST(TokenBucket, ALookTakesNothing) {
  TokenBucket bucket({.requests = 2, .window = 1s});
  const Instant now(1s);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(bucket.try_acquire(now, 0).remaining, 2u);
}

TEST(TokenBucket, RetryAfterIsNeitherEarlyNorLate) {
  SeededRandom random(11);
  for (int round = 0; round < 200; ++round) {
    const RateOptions options{.requests = 1 + random.below(1000),
                              .window = Duration(1'000'000 + random.below(1'000'000'000)),
                              .burst = 1 + random.below(50)};
    TokenBucket bucket(options);
    Instant now(Duration(static_cast<std::int64_t>(random.below(1'000'000'000))));
    for (int i = 0; i < 200; ++i) {
      now += Duration(random.below(2'000'000));
      const std::uint64_t count = 1 + random.below(*options.burst);
      const RateDecision decision = bucket.try_acquire(now, count);
      if (decision.allowed) continue;
      ASSERT_FALSE(bucket.try_acquire(now + decision.retry_after - 1ns, count).allowed);
      now += decision.retry_after;
      ASSERT_TRUE(bucket.try_acquire(now, count).allowed);
    }
  }
}

/// Whether any span within `grants` (instants, in order) holds more than burst + t·requests/window.
void expect_never_too_many(const std::vector<Instant>& grants, const RateOptions& options) {
  // The span from grant i to grant j holds j - i + 1 of them. With s(k) = k - rate·t(k), the excess of
  // any span is s(j) - s(i) + 1; its maximum needs one pass with the least s so far.
  const double rate = static_cast<double>(options.requests) / static_cast<double>(options.window.count());
  double least = 0;
  for (std::size_t k = 0; k < grants.size(); ++k) {
    const double s = static_cast<double>(k) - rate * static_cast<double>((grants[k] - grants[0]).count());
    least = k == 0 ? s : std::min(least, s);
    ASSERT_LE(s - least + 1, static_cast<double>(*options.burst) + 1e-6) << "at grant " << k;
  }
}

TEST(TokenBucket, NoWindowEverPassesMoreThanBurstAndRate) {
  SeededRandom random(3);
  for (int round = 0; round < 100; ++round) {
    const RateOptions options{.requests = 1 + random.below(5000),
                              .window = Duration(100'000 + random.below(1'000'000'000)),
                              .burst = 1 + random.below(100)};
    TokenBucket bucket(options);
    Instant now(1s);
    std::vector<Instant> grants;
    std::uint64_t asked = 0;
    for (int i = 0; i < 3000; ++i) {
      if (random.below(3) == 0) now += Duration(random.below(1'000'000));
      ++asked;
      if (bucket.try_acquire(now).allowed) grants.push_back(now);
    }
    ASSERT_FALSE(grants.empty());
    ASSERT_LE(grants.size(), asked);
    expect_never_too_many(grants, options);
  }
}

TEST(TokenBucket, NorUnderFourThreads) {
  const RateOptions options{.requests = 1'000'000, .window = 1s, .burst = 64};
  TokenBucket bucket(options);
  ManualClock clock;
  clock.advance(1s);
  constexpr int kThreads = 4;
  std::vector<std::vector<Instant>> per_thread(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50'000; ++i) {
        if (t == 0) clock.advance(200ns);
        const Instant now = clock.now();
        if (bucket.try_acquire(now).allowed) per_thread[static_cast<std::size_t>(t)].push_back(now);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  std::vector<Instant> grants;
  for (const auto& some : per_thread) grants.insert(grants.end(), some.begin(), some.end());
  std::ranges::sort(grants);
  EXPECT_GE(grants.size(), 64u);
  expect_never_too_many(grants, options);
}

TEST(TokenBucket, RefusesRatesThatMeanNothing) {
  EXPECT_THROW(TokenRate({.requests = 0}), Error);
  EXPECT_THROW(TokenRate({.window = 0s}), Error);
  EXPECT_THROW(TokenRate({.burst = 0}), Error);
  EXPECT_THROW(TokenRate({.requests = 2, .window = 1ns}), Error);
  EXPECT_THROW(TokenRate({.requests = 1, .window = 24h, .burst = 1000}), Error);
}

}  // namespace
}  // namespace holdfast::resilience
