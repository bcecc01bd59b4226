#include "holdfast/resilience/adaptive_limit.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <queue>
#include <vector>

#include "holdfast/base/error.hpp"
#include "holdfast/base/random.hpp"

namespace holdfast::resilience {
namespace {

using namespace std::chrono_literals;

/// A server of `servers` that each take `service` on average, with a queue before them that has no bound:
/// past `servers` at work, more at work is only more waiting. Its knee can be moved while it runs.
class ServerModel {
 public:
  ServerModel(const AdaptiveLimitOptions& options, std::uint64_t seed) : limit(options), random_(seed) {}

  std::size_t servers = 50;
  Duration service = 10ms;
  double load = 3;  ///< arrivals, as a multiple of what can be served
  AdaptiveLimit limit;

  struct Second {
    double done_share;  ///< of what could have been done
    double limit;       ///< average
    double latency;     ///< average, as a multiple of `service`
  };

  /// Runs a second of the model's time.
  Second run_a_second() {
    const Instant end = now_ + 1s;
    std::uint64_t done = 0;
    double limits = 0;
    double latencies = 0;
    std::uint64_t arrivals = 0;
    while (true) {
      const Instant arrival = last_arrival_ + gap_;
      const Instant completion = at_work_.empty() ? kNever : at_work_.top().ends;
      now_ = std::min(arrival, completion);
      if (now_ >= end) break;
      if (completion <= arrival) {
        const Request ended = at_work_.top().request;
        at_work_.pop();
        limit.record(now_, now_ - ended.began, ended.running);
        ++done;
        latencies += static_cast<double>((now_ - ended.began).count());
        serve();
      } else {
        ++arrivals;
        limits += limit.limit();
        last_arrival_ = now_;
        gap_ = exponential(service.count() / (load * static_cast<double>(servers)));
        if (running() < limit.limit()) queue_.push_back({.began = now_, .running = running() + 1});
        serve();
      }
    }
    now_ = end;
    const double possible = static_cast<double>(servers) * 1e9 / static_cast<double>(service.count());
    return {.done_share = static_cast<double>(done) / possible,
            .limit = limits / static_cast<double>(arrivals),
            .latency = latencies / static_cast<double>(done) / static_cast<double>(service.count())};
  }

 private:
  struct Request {
    Instant began;
    std::uint32_t running;
  };
  struct Work {
    Instant ends;
    Request request;
    bool operator>(const Work& other) const { return ends > other.ends; }
  };

  std::uint32_t running() const { return static_cast<std::uint32_t>(at_work_.size() + queue_.size()); }
  Duration exponential(double mean) {
    return Duration(1 + static_cast<std::int64_t>(-mean * std::log(1 - random_.unit())));
  }
  void serve() {
    while (at_work_.size() < servers && !queue_.empty()) {
      // Half of it certain, half of it chance: neither a metronome nor as wild as an exponential.
      const Duration takes = service / 2 + exponential(static_cast<double>(service.count()) / 2);
      at_work_.push({.ends = now_ + takes, .request = queue_.front()});
      queue_.pop_front();
    }
  }

  SeededRandom random_;
  Instant now_{1h};
  Instant last_arrival_{1h};
  Duration gap_{0};
  std::priority_queue<Work, std::vector<Work>, std::greater<>> at_work_;
  std::deque<Request> queue_;
};

constexpr AdaptiveLimitOptions kOptions{.initial = 20, .min = 10, .max = 1000};

struct Averages {
  double done_share = 0;
  double least_done = 1e9;
  double limit = 0;
  double latency = 0;
};

Averages run(ServerModel& model, int seconds) {
  Averages all;
  for (int i = 0; i < seconds; ++i) {
    const ServerModel::Second second = model.run_a_second();
    all.done_share += second.done_share / seconds;
    all.least_done = std::min(all.least_done, second.done_share);
    all.limit += second.limit / seconds;
    all.latency += second.latency / seconds;
  }
  return all;
}

/// At three times what can be done: nearly all of it is done, nearly as fast as without a queue.
void expect_near_the_knee(const Averages& seen, double knee) {
  EXPECT_GE(seen.limit, 0.9 * knee);
  EXPECT_LE(seen.limit, 1.6 * knee);
  EXPECT_GE(seen.done_share, 0.93);
  EXPECT_GE(seen.least_done, 0.8) << "no second of starvation";
  EXPECT_LE(seen.latency, 1.6);
}

class AdaptiveLimitOverTime : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(AdaptiveLimitOverTime, FindsTheKneeFromBelowAndFromFarAbove) {
  for (const std::uint32_t initial : {10U, 50U, 1000U}) {
    ServerModel model({.initial = initial, .min = 10, .max = 1000}, GetParam());
    run(model, 15);
    expect_near_the_knee(run(model, 30), 50);
    ASSERT_FALSE(HasFailure()) << "from " << initial;
  }
}

TEST_P(AdaptiveLimitOverTime, FollowsALatencyThatIsNotItsDoingUpAndDown) {
  ServerModel model(kOptions, GetParam());
  run(model, 15);
  model.service = 30ms;
  EXPECT_GE(run(model, 5).least_done, 0.6) << "on the way";
  run(model, 5);
  expect_near_the_knee(run(model, 20), 50);
  model.service = 10ms;
  EXPECT_GE(run(model, 5).least_done, 0.6) << "on the way";
  run(model, 5);
  expect_near_the_knee(run(model, 20), 50);
}

TEST_P(AdaptiveLimitOverTime, FollowsACapacityThatIsLostAndComesBack) {
  ServerModel model(kOptions, GetParam());
  run(model, 15);
  model.servers = 20;
  run(model, 10);
  expect_near_the_knee(run(model, 20), 20);
  model.servers = 50;
  run(model, 10);
  expect_near_the_knee(run(model, 20), 50);
}

TEST_P(AdaptiveLimitOverTime, KeepsItsBounds) {
  ServerModel low({.initial = 12, .min = 10, .max = 1000}, GetParam());
  low.servers = 2;
  ServerModel high({.initial = 20, .min = 10, .max = 30}, GetParam());
  for (int second = 0; second < 30; ++second) {
    low.run_a_second();
    high.run_a_second();
    ASSERT_GE(low.limit.limit(), 10U);
    ASSERT_LE(high.limit.limit(), 30U);
  }
  EXPECT_LE(low.limit.limit(), 14U);
  EXPECT_GE(high.limit.limit(), 25U);
}

TEST_P(AdaptiveLimitOverTime, StaysAsItIsWhereNobodyIsHeldBack) {
  ServerModel model({.initial = 200, .min = 10, .max = 1000}, GetParam());
  model.load = 0.5;
  run(model, 20);
  EXPECT_EQ(model.limit.limit(), 200U);
  model.service = 40ms;  // slower, and that is all
  const Averages slower = run(model, 20);
  EXPECT_EQ(model.limit.limit(), 200U);
  EXPECT_GE(slower.done_share, 0.45);
}

INSTANTIATE_TEST_SUITE_P(Seeds, AdaptiveLimitOverTime, ::testing::Values(1, 2, 3, 4, 5, 6, 7, 8));

TEST(AdaptiveLimit, AFewThatTakeForEverDoNotMoveIt) {
  AdaptiveLimit limit(kOptions);
  Instant now(1h);
  for (int i = 0; i < 2000; ++i) {
    now += 1ms;
    limit.record(now, i % 100 == 99 && i > 100 ? Duration(1h) : Duration(10ms), 15);
  }
  EXPECT_GE(limit.limit(), 15U);
  EXPECT_LE(limit.baseline(), 20ms);
}

TEST(AdaptiveLimit, RefusesOptionsThatMeanNothing) {
  EXPECT_THROW(AdaptiveLimit({.min = 0}), Error);
  EXPECT_THROW(AdaptiveLimit({.initial = 5, .min = 10}), Error);
  EXPECT_THROW(AdaptiveLimit({.initial = 500, .max = 100}), Error);
  EXPECT_THROW(AdaptiveLimit({.tolerance = 1}), Error);
}

}  // namespace
}  // namespace holdfast::resilience
