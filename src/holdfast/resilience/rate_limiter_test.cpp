#include "holdfast/resilience/rate_limiter.hpp"

#include <gmock/gmock.h>

#include <map>
#include <thread>

#include "holdfast/base/error.hpp"

namespace holdfast::resilience {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::Pair;

constexpr Instant kNow(1h);

std::vector<RatePolicy> two_tiers() {
  return {{.name = "free", .rate = {.requests = 2, .window = 60s}},
          {.name = "paid", .rate = {.requests = 5, .window = 60s}}};
}

TEST(RateLimiter, ClientsAndPoliciesDoNotShareBuckets) {
  SeededRandom random(1);
  RateLimiter limiter(two_tiers(), {}, random);
  EXPECT_TRUE(limiter.try_acquire(0, "ann", kNow).allowed);
  EXPECT_TRUE(limiter.try_acquire(0, "ann", kNow).allowed);
  EXPECT_FALSE(limiter.try_acquire(0, "ann", kNow).allowed);
  EXPECT_TRUE(limiter.try_acquire(0, "bob", kNow).allowed);
  EXPECT_EQ(limiter.try_acquire(1, "ann", kNow).remaining, 4u);
  EXPECT_EQ(limiter.find_policy("paid"), 1u);
  EXPECT_FALSE(limiter.find_policy("gold"));
}

TEST(RateLimiter, KeepsABusyClientWhileIdleOnesComeAndGo) {
  SeededRandom random(2);
  RateLimiter limiter({{.name = "p", .rate = {.requests = 1, .window = 1s}}}, {.max_keys = 64}, random);
  ASSERT_FALSE(limiter.try_acquire(0, "busy", kNow).retry_after > 0s);
  // Each visitor's bucket is full again a second later, and so gives up its place first.
  Instant now = kNow;
  for (int i = 0; i < 10'000; ++i) {
    now += 1s;
    limiter.try_acquire(0, "visitor" + std::to_string(i), now);
    limiter.try_acquire(0, "busy", now);
    ASSERT_FALSE(limiter.try_acquire(0, "busy", now).allowed) << i;
  }
  EXPECT_EQ(limiter.forgotten(), 0u);
}

TEST(RateLimiter, HoldsABoundedNumberOfClientsAndCountsWhomItForgets) {
  SeededRandom random(2);
  RateLimiter limiter({{.name = "p", .rate = {.requests = 1, .window = 1h}}}, {.max_keys = 100}, random);
  EXPECT_EQ(limiter.max_keys(), 128u);
  for (int i = 0; i < 1000; ++i) limiter.try_acquire(0, std::to_string(i), kNow);
  EXPECT_GE(limiter.forgotten(), 1000u - 128u);
}

TEST(RateLimiter, TellsTheClientInHeaders) {
  const RatePolicy policy{.name = "default", .rate = {.requests = 100, .window = 60s, .burst = 50}};
  EXPECT_THAT(rate_limit_headers(policy, {.allowed = true, .remaining = 49, .full_after = 600ms}),
              ElementsAre(Pair("RateLimit", "\"default\";r=49;t=1"),
                          Pair("RateLimit-Policy", "\"default\";q=100;w=60"), Pair("X-RateLimit-Limit", "50"),
                          Pair("X-RateLimit-Remaining", "49"), Pair("X-RateLimit-Reset", "1")));
  EXPECT_THAT(rate_limit_headers(policy, {.allowed = false, .retry_after = 1200ms, .full_after = 30s}),
              ElementsAre(Pair("RateLimit", "\"default\";r=0;t=30"),
                          Pair("RateLimit-Policy", "\"default\";q=100;w=60"), Pair("X-RateLimit-Limit", "50"),
                          Pair("X-RateLimit-Remaining", "0"), Pair("X-RateLimit-Reset", "30"),
                          Pair("Retry-After", "2")));
}

TEST(RateLimiter, CountsExactlyUnderThreads) {
  SeededRandom random(4);
  RateLimiter limiter({{.name = "p", .rate = {.requests = 1000, .window = 1h}}}, {}, random);
  std::atomic<int> allowed = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 5000; ++i) {
        if (limiter.try_acquire(0, i % 2 == 0 ? "a" : "b", kNow).allowed) ++allowed;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(allowed, 2000);
}

TEST(RateLimiter, CountsInTheWayThePolicySays) {
  SeededRandom random(5);
  const RateOptions rate{.requests = 10, .window = 1s};
  RateLimiter limiter({{.name = "bucket", .rate = rate},
                       {.name = "window", .rate = rate, .algorithm = RateAlgorithm::fixed_window},
                       {.name = "counter", .rate = rate, .algorithm = RateAlgorithm::sliding_counter}},
                      {}, random);
  const auto passed_at = [&](std::size_t policy, Instant at) {
    int passed = 0;
    for (int i = 0; i < 20; ++i) passed += limiter.try_acquire(policy, "ann", at).allowed ? 1 : 0;
    return passed;
  };
  for (std::size_t policy = 0; policy < 3; ++policy) EXPECT_EQ(passed_at(policy, kNow - 1ns), 10) << policy;
  EXPECT_EQ(passed_at(0, kNow), 0);
  EXPECT_EQ(passed_at(1, kNow), 10) << "a new window";
  EXPECT_EQ(passed_at(2, kNow), 0);
  for (std::size_t policy = 0; policy < 3; policy += 2)
    EXPECT_EQ(passed_at(policy, kNow + 500ms), 5) << policy;
  EXPECT_EQ(passed_at(1, kNow + 500ms), 0);
}

TEST(RateLimiter, PoliciesThatCountDifferentlyShareTheStoreFairly) {
  SeededRandom random(6);
  RateLimiter limiter(
      {{.name = "bucket", .rate = {.requests = 1, .window = 1s}},
       {.name = "window", .rate = {.requests = 1, .window = 1s}, .algorithm = RateAlgorithm::fixed_window},
       {.name = "counter",
        .rate = {.requests = 1, .window = 1s},
        .algorithm = RateAlgorithm::sliding_counter}},
      {.max_keys = 64}, random);
  Instant now = kNow;
  for (int i = 0; i < 10'000; ++i) {
    now += 2s;  // visitors of before are idle again, and so give up their places first
    limiter.try_acquire(static_cast<std::size_t>(i % 3), "visitor" + std::to_string(i), now);
    for (std::size_t policy = 0; policy < 3; ++policy) limiter.try_acquire(policy, "busy", now);
    for (std::size_t policy = 0; policy < 3; ++policy)
      ASSERT_FALSE(limiter.try_acquire(policy, "busy", now).allowed) << i;
  }
  EXPECT_EQ(limiter.forgotten(), 0u);
}

TEST(RateLimiter, RefusesPoliciesThatCanNotBeTold) {
  SeededRandom random(1);
  EXPECT_THROW(RateLimiter({}, {}, random), Error);
  EXPECT_THROW(RateLimiter({{.name = "a\"b"}}, {}, random), Error);
  EXPECT_THROW(RateLimiter({{.name = "a"}, {.name = "a"}}, {}, random), Error);
}

}  // namespace
}  // namespace holdfast::resilience
