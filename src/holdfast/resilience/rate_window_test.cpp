// The limiters that look at windows, each against a model of brute force and against the bound it states.
#include <gtest/gtest.h>

#include <map>
#include <thread>
#include <type_traits>
#include <vector>

#include "holdfast/base/error.hpp"
#include "holdfast/base/random.hpp"
#include "holdfast/resilience/fixed_window.hpp"
#include "holdfast/resilience/leaky_bucket.hpp"
#include "holdfast/resilience/sliding_counter.hpp"
#include "holdfast/resilience/sliding_log.hpp"
#include "holdfast/resilience/testing/rate_windows.hpp"

namespace holdfast::resilience {
namespace {

using namespace std::chrono_literals;
using testing::most_in_any_span;

/// Traffic that finds weak places: long pauses, bursts, and arrivals right at a window's edges.
class Traffic {
 public:
  Traffic(std::uint64_t seed, Duration window) : random_(seed), window_(window) {}

  Instant next() {
    switch (random_.below(12)) {
      case 0: now_ += Duration(random_.below(static_cast<std::uint64_t>(window_.count()) * 3)); break;
      case 1: now_ += window_ - (now_.time_since_epoch() % window_); break;                // the next edge
      case 2: now_ += window_ - (now_.time_since_epoch() % window_) - Duration(1); break;  // just before it
      case 3: now_ += Duration(random_.below(static_cast<std::uint64_t>(window_.count()) / 20)); break;
      default: break;  // a burst
    }
    return now_;
  }
  std::uint64_t below(std::uint64_t bound) { return random_.below(bound); }
  void wait(Duration by) { now_ += by; }
  Instant now() const { return now_; }

 private:
  SeededRandom random_;
  Duration window_;
  Instant now_{1h};
};

RateOptions some_rate(SeededRandom& random) {
  return {.requests = 1 + random.below(40), .window = 1s + Duration(random.below(10'000'000'000))};
}

/// What it would say at a later time, leaving those alone that must not be told it yet.
template <typename Limiter>
RateDecision look_ahead(Limiter& limiter, Instant at, std::uint64_t count) {
  if constexpr (std::is_copy_constructible_v<Limiter>) {
    return Limiter(limiter).try_acquire(at, count);
  } else {
    return limiter.try_acquire(at, count);
  }
}

/// What every limiter must do: agree with `model`, tell retry_after exactly. Returns the grants.
template <typename Limiter, typename Model>
std::vector<Instant> expect_as_modelled(const RateOptions& options, std::uint64_t seed, Model model) {
  Limiter limiter(options);
  Traffic traffic(seed, options.window);
  std::vector<Instant> grants;
  for (int i = 0; i < 2000; ++i) {
    const Instant now = traffic.next();
    const std::uint64_t count = traffic.below(5) == 0 ? traffic.below(options.requests + 2)
                                                      : 1;  // 0 looks; one too many never passes
    const std::uint64_t room = model(grants, now);
    const RateDecision decision = limiter.try_acquire(now, count);
    EXPECT_EQ(decision.allowed, count <= room) << "request " << i << " of " << count;
    EXPECT_EQ(decision.remaining, decision.allowed ? room - count : room) << i;
    if (decision.allowed) grants.insert(grants.end(), count, now);
    if (!decision.allowed && count <= options.requests) {
      EXPECT_FALSE(look_ahead(limiter, now + decision.retry_after - 1ns, count).allowed) << "not late, " << i;
      if (traffic.below(2) == 0) {
        traffic.wait(decision.retry_after);
        EXPECT_TRUE(limiter.try_acquire(traffic.now(), count).allowed) << "not early, " << i;
        grants.insert(grants.end(), count, traffic.now());
      }
    } else if (!decision.allowed) {
      EXPECT_EQ(decision.retry_after, RateDecision::kNeverPasses);
    }
    const Instant full_at = traffic.now() + limiter.try_acquire(traffic.now(), 0).full_after;
    EXPECT_EQ(look_ahead(limiter, full_at, 0).remaining, options.requests) << "full when it said, " << i;
    if (::testing::Test::HasFailure()) break;
  }
  EXPECT_GT(grants.size(), options.requests * 3);
  return grants;
}

std::uint64_t taken_in(const std::vector<Instant>& grants, std::int64_t window, const RateOptions& options) {
  std::uint64_t taken = 0;
  for (auto grant = grants.rbegin(); grant != grants.rend(); ++grant) {
    const std::int64_t its = grant->time_since_epoch() / options.window;
    if (its == window) ++taken;
    if (its < window) break;
  }
  return taken;
}

TEST(FixedWindow, IsAsModelledAndDoublesAtMostAroundAnEdge) {
  SeededRandom random(1);
  for (std::uint64_t round = 0; round < 60; ++round) {
    const RateOptions options = some_rate(random);
    const auto grants =
        expect_as_modelled<FixedWindow>(options, round, [&](const std::vector<Instant>& passed, Instant now) {
          return options.requests - taken_in(passed, now.time_since_epoch() / options.window, options);
        });
    ASSERT_LE(most_in_any_span(grants, options.window), 2 * options.requests);
    ASSERT_FALSE(HasFailure()) << "round " << round;
  }
}

TEST(FixedWindow, DoesDoubleAroundAnEdge) {  // the bound is met: nobody should believe in less
  FixedWindow window({.requests = 10, .window = 1s});
  int passed = 0;
  for (int i = 0; i < 20; ++i) passed += window.try_acquire(Instant(2s) - 1ns).allowed ? 1 : 0;
  for (int i = 0; i < 20; ++i) passed += window.try_acquire(Instant(2s)).allowed ? 1 : 0;
  EXPECT_EQ(passed, 20);
}

TEST(SlidingLog, IsAsModelledAndExact) {
  SeededRandom random(2);
  for (std::uint64_t round = 0; round < 60; ++round) {
    const RateOptions options = some_rate(random);
    const auto grants =
        expect_as_modelled<SlidingLog>(options, round, [&](const std::vector<Instant>& passed, Instant now) {
          std::uint64_t room = options.requests;
          for (auto grant = passed.rbegin(); grant != passed.rend() && now - *grant < options.window; ++grant)
            --room;
          return room;
        });
    ASSERT_LE(most_in_any_span(grants, options.window), options.requests);
    ASSERT_FALSE(HasFailure()) << "round " << round;
  }
}

TEST(SlidingCounter, IsAsModelledAndNeverPassesMoreThanABucketOfThatBurst) {
  SeededRandom random(3);
  for (std::uint64_t round = 0; round < 60; ++round) {
    const RateOptions options = some_rate(random);
    const auto grants = expect_as_modelled<SlidingCounter>(
        options, round, [&](const std::vector<Instant>& passed, Instant now) {
          const std::int64_t window = now.time_since_epoch() / options.window;
          const auto left =
              static_cast<long double>((options.window - now.time_since_epoch() % options.window).count());
          const long double used = static_cast<long double>(taken_in(passed, window, options)) +
                                   static_cast<long double>(taken_in(passed, window - 1, options)) * left /
                                       static_cast<long double>(options.window.count());
          const long double room = static_cast<long double>(options.requests) - used;
          return static_cast<std::uint64_t>(std::max<long double>(0, room + 1e-12L));
        });
    for (const int part : {1, 2, 5, 10, 100}) {
      const double most = static_cast<double>(options.requests) * (1 + 1.0 / part);
      ASSERT_LE(static_cast<double>(most_in_any_span(grants, options.window / part)), most + 1e-9);
    }
    ASSERT_FALSE(HasFailure()) << "round " << round;
  }
}

TEST(LeakyBucket, LetsThemGoEvenlyInOrderAndKeepsItsQueue) {
  SeededRandom random(4);
  for (std::uint64_t round = 0; round < 60; ++round) {
    const LeakyOptions options{.requests = 1 + random.below(50),
                               .window = 1s + Duration(random.below(5'000'000'000)),
                               .max_waiting = random.below(30)};
    LeakyBucket bucket(options);
    Traffic traffic(round, options.window);
    std::vector<Instant> goes;
    for (int i = 0; i < 2000; ++i) {
      const Instant now = traffic.next();
      std::uint64_t waiting = 0;
      for (auto go = goes.rbegin(); go != goes.rend() && *go > now; ++go) ++waiting;
      const Instant deadline = traffic.below(4) == 0 ? now + Duration(random.below(1'000'000'000)) : kNever;
      const LeakyDecision decision = bucket.try_join(now, deadline);
      if (decision.allowed) {
        const Instant go = now + decision.go_after;
        ASSERT_LE(go, deadline);
        ASSERT_LE(waiting, options.max_waiting);
        ASSERT_TRUE(goes.empty() || go >= goes.back()) << "in order";
        goes.push_back(go);
      } else if (decision.retry_after == RateDecision::kNeverPasses) {
        ASSERT_GT(now + decision.full_after, deadline);
      } else {
        ASSERT_GE(waiting, options.max_waiting);
        ASSERT_FALSE(bucket.try_join(now + decision.retry_after - 1ns).allowed) << "not late";
        if (traffic.below(2) == 0) {
          traffic.wait(decision.retry_after);
          const LeakyDecision then = bucket.try_join(traffic.now());
          ASSERT_TRUE(then.allowed) << "not early";
          goes.push_back(traffic.now() + then.go_after);
        }
      }
    }
    ASSERT_LE(most_in_any_span(goes, options.window), options.requests);
    ASSERT_GT(goes.size(), options.requests);
  }
}

template <typename Limiter>
std::size_t passed_under_threads(Limiter& limiter, Instant now) {
  std::atomic<std::size_t> passed = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 5000; ++i) {
        if (limiter.try_acquire(now + Duration(t), 1).allowed) ++passed;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  return passed;
}

TEST(FixedWindow, CountsExactlyUnderThreads) {
  FixedWindow limiter({.requests = 1000, .window = 1h});
  EXPECT_EQ(passed_under_threads(limiter, Instant(10h)), 1000u);
}

TEST(SlidingCounter, CountsExactlyUnderThreads) {
  SlidingCounter limiter({.requests = 1000, .window = 1h});
  EXPECT_EQ(passed_under_threads(limiter, Instant(10h)), 1000u);
}

TEST(SlidingCounter, AThreadWhoseClockIsBehindStaysInTheWindowThatAnotherHasBegun) {
  SlidingCounter limiter({.requests = 10, .window = 1s});
  EXPECT_TRUE(limiter.try_acquire(Instant(5s), 10).allowed);
  EXPECT_FALSE(limiter.try_acquire(Instant(5s) - 1ns).allowed);
  EXPECT_FALSE(limiter.try_acquire(Instant(5s)).allowed);
}

TEST(RateWindows, RefuseRatesThatMeanNothing) {
  EXPECT_THROW(FixedWindow({.requests = 0}), Error);
  EXPECT_THROW(FixedWindow({.requests = 1, .window = 1us}), Error);
  EXPECT_THROW(FixedWindow({.requests = 1, .burst = 2}), Error);
  EXPECT_THROW(SlidingCounter({.requests = 1 << 20}), Error);
  EXPECT_THROW(SlidingCounter({.requests = 1, .window = 1ms}), Error);
  EXPECT_THROW(SlidingLog({.requests = 0}), Error);
  EXPECT_THROW(SlidingLog({.requests = (1 << 20) + 1}), Error);
  EXPECT_THROW(SlidingLog({.requests = 1, .burst = 1}), Error);
  EXPECT_THROW(LeakyBucket({.requests = 0}), Error);
  EXPECT_THROW(LeakyBucket({.requests = 2, .window = 1ns}), Error);
  EXPECT_THROW(LeakyBucket({.requests = 1, .window = 24h, .max_waiting = 1000}), Error);
}

}  // namespace
}  // namespace holdfast::resilience
