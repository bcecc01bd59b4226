#include "holdfast/resilience/circuit_breaker.hpp"

#include <gmock/gmock.h>

#include <list>
#include <thread>
#include <vector>

#include "holdfast/base/error.hpp"

namespace holdfast::resilience {
namespace {

using namespace std::chrono_literals;

constexpr Instant kStart(1h);

BreakerOptions by_calls() {
  return {.window = BreakerWindow::calls,
          .window_calls = 10,
          .minimum_calls = 4,
          .failure_rate = 0.5,
          .slow_call = 1s,
          .slow_call_rate = 0.75,
          .open_for = 10s,
          .open_at_most = 40s,
          .open_jitter = Jitter::none,
          .probes = 2,
          .half_open_at_most = 5s};
}

BreakerOptions by_time() {
  BreakerOptions options = by_calls();
  options.window = BreakerWindow::time;
  options.window_time = 8s;
  return options;
}

class Breaker : public ::testing::TestWithParam<BreakerWindow> {
 protected:
  void succeed(int times = 1) {
    for (int i = 0; i < times; ++i) breaker.try_enter(now).success(now);
  }
  void fail(int times = 1) {
    for (int i = 0; i < times; ++i) breaker.try_enter(now).failure(now);
  }
  void call_slowly() {
    auto permit = breaker.try_enter(now);
    now += 1s;
    permit.success(now);
  }
  bool refused() { return !breaker.try_enter(now); }

  SeededRandom random{1};
  Instant now = kStart;
  std::vector<BreakerTransition> told;
  CircuitBreaker breaker{GetParam() == BreakerWindow::calls ? by_calls() : by_time(), random, now,
                         [this](const BreakerTransition& t) { told.push_back(t); }};
};
INSTANTIATE_TEST_SUITE_P(Windows, Breaker, ::testing::Values(BreakerWindow::calls, BreakerWindow::time),
                         [](const auto& one) { return std::string(enum_name(one.param)); });

TEST_P(Breaker, OpensFromTheFailureRateOnButNotBelowTheMinimumOfCalls) {
  fail(3);
  EXPECT_EQ(breaker.state(), BreakerState::closed);
  fail();
  EXPECT_EQ(breaker.state(), BreakerState::open);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].reason, BreakerReason::failure_rate);
  EXPECT_EQ(told[0].open_for, 10s);
  EXPECT_DOUBLE_EQ(told[0].failure_rate, 1);
}

TEST_P(Breaker, StaysClosedBelowTheRate) {
  for (int i = 0; i < 100; ++i) {
    succeed(3);
    fail(1);
    ASSERT_EQ(breaker.state(), BreakerState::closed) << i;
  }
}

TEST_P(Breaker, OpensForSlowCallsThoughTheySucceed) {
  succeed(1);
  for (int i = 0; i < 3; ++i) call_slowly();
  EXPECT_EQ(breaker.state(), BreakerState::open);
  EXPECT_EQ(told.at(0).reason, BreakerReason::slow_call_rate);
}

TEST_P(Breaker, DroppedPermitsCountAsNeither) {
  for (int i = 0; i < 100; ++i) (void)breaker.try_enter(now);
  EXPECT_EQ(breaker.view(now).calls, 0u);
  fail(3);
  EXPECT_EQ(breaker.state(), BreakerState::closed);
}

TEST_P(Breaker, RefusesUntilItsTimeIsOverAndSaysWhenToComeAgain) {
  fail(4);
  now += 4s;
  const auto permit = breaker.try_enter(now);
  EXPECT_FALSE(permit);
  EXPECT_EQ(permit.retry_after(), 6s);
  EXPECT_EQ(permit.refused_by(), BreakerState::open);
  EXPECT_EQ(breaker.refuses_for(now), 6s);
  now += 6s;
  EXPECT_TRUE(breaker.try_enter(now));
  EXPECT_EQ(breaker.state(), BreakerState::half_open);
}

TEST_P(Breaker, ClosesAfterAsManyGoodProbesAsItLetsOut) {
  fail(4);
  now += 10s;
  auto first = breaker.try_enter(now);
  auto second = breaker.try_enter(now);
  EXPECT_TRUE(first.probe());
  EXPECT_TRUE(refused());
  first.success(now);
  EXPECT_TRUE(refused()) << "one good probe and one still out are as many as it lets out";
  second.success(now);
  EXPECT_EQ(breaker.state(), BreakerState::closed);
  EXPECT_EQ(breaker.view(now).calls, 0u) << "what was before is forgotten";
}

TEST_P(Breaker, OneBadProbeOpensItAgainForLonger) {
  fail(4);
  for (const Duration wait : {20s, 40s, 40s}) {
    now += told.back().open_for;
    succeed(1);
    breaker.try_enter(now).failure(now);
    EXPECT_EQ(told.back().reason, BreakerReason::probe_failed);
    EXPECT_EQ(told.back().open_for, wait);
  }
}

TEST_P(Breaker, ASlowProbeIsABadOne) {
  fail(4);
  now += 10s;
  call_slowly();
  EXPECT_EQ(told.back().reason, BreakerReason::probe_slow);
}

TEST_P(Breaker, StaysOpenForLongerAlsoWhereItFailsRightAfterClosing) {
  fail(4);
  now += 10s;
  succeed(2);
  now += 1s;
  fail(4);
  EXPECT_EQ(told.back().open_for, 20s);
  now += 20s;
  succeed(2);
  now += 30s;
  fail(4);
  EXPECT_EQ(told.back().open_for, 10s) << "it had been well for long enough";
}

TEST_P(Breaker, AProbeThatNeverComesBackHasFailed) {
  fail(4);
  now += 10s;
  auto lost = breaker.try_enter(now);
  now += 5s;
  EXPECT_TRUE(refused());
  EXPECT_EQ(told.back().reason, BreakerReason::probe_lost);
  now += told.back().open_for;
  auto next = breaker.try_enter(now);
  EXPECT_TRUE(next);
  lost.failure(now);  // of a time gone by
  EXPECT_EQ(breaker.state(), BreakerState::half_open);
  EXPECT_EQ(breaker.view(now).probes_out, 1u);
}

TEST_P(Breaker, LateVerdictsFromBeforeItOpenedSayNothing) {
  auto late = breaker.try_enter(now);
  auto later = breaker.try_enter(now);
  fail(4);
  now += 10s;
  succeed(2);
  late.failure(now);
  later.success(now);
  EXPECT_EQ(breaker.view(now).calls, 0u);
}

TEST_P(Breaker, ByHand) {
  breaker.force_open(now);
  now += 24h;
  const auto permit = breaker.try_enter(now);
  EXPECT_FALSE(permit);
  EXPECT_EQ(permit.refused_by(), BreakerState::forced_open);
  breaker.force_closed(now);
  fail(100);
  EXPECT_EQ(breaker.state(), BreakerState::forced_closed);
  breaker.reset(now);
  EXPECT_EQ(breaker.state(), BreakerState::closed);
  fail(4);
  EXPECT_EQ(breaker.state(), BreakerState::open);
}

TEST(BreakerOfCalls, ForgetsWhatIsMoreThanAWindowOfCallsAgo) {
  SeededRandom random(1);
  CircuitBreaker breaker(by_calls(), random, kStart);
  const auto call = [&](bool good) {
    auto permit = breaker.try_enter(kStart);
    good ? permit.success(kStart) : permit.failure(kStart);
  };
  for (int i = 0; i < 6; ++i) call(true);
  for (int i = 0; i < 4; ++i) call(false);
  EXPECT_EQ(breaker.view(kStart).failures, 4u);
  for (int i = 0; i < 6; ++i) call(true);
  EXPECT_EQ(breaker.view(kStart).failures, 4u);
  for (int i = 0; i < 3; ++i) call(true);
  EXPECT_EQ(breaker.view(kStart).failures, 1u);
  EXPECT_EQ(breaker.view(kStart).calls, 10u);
}

TEST(BreakerOfTime, ForgetsWhatIsMoreThanAWindowAgo) {
  SeededRandom random(1);
  CircuitBreaker breaker(by_time(), random, kStart);
  for (int i = 0; i < 3; ++i) breaker.try_enter(kStart).failure(kStart);
  EXPECT_EQ(breaker.view(kStart + 7s).calls, 3u);
  EXPECT_EQ(breaker.view(kStart + 10s).calls, 0u);
  Instant now = kStart + 10s;
  for (int i = 0; i < 50; ++i) {  // never four calls in a window
    breaker.try_enter(now).failure(now);
    now += 4s;
    ASSERT_EQ(breaker.state(), BreakerState::closed) << i;
  }
}

TEST(BreakerOfTime, CountsTheCallsOfAllThreads) {
  SeededRandom random(1);
  CircuitBreaker breaker(by_time(), random, kStart);
  std::vector<std::thread> threads;
  for (int i = 0; i < 12; ++i) {  // more than there are stripes
    threads.emplace_back([&] {
      for (int n = 0; n < 1000; ++n) breaker.try_enter(kStart).success(kStart);
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(breaker.view(kStart).calls, 12'000u);
}

TEST(BreakerOptions, AreChecked) {
  SeededRandom random(1);
  EXPECT_THROW(CircuitBreaker({.failure_rate = 0}, random, kStart), Error);
  EXPECT_THROW(CircuitBreaker({.probes = 0}, random, kStart), Error);
  EXPECT_THROW(CircuitBreaker({.open_for = 2min, .open_at_most = 1min}, random, kStart), Error);
  EXPECT_THROW(
      CircuitBreaker({.window = BreakerWindow::calls, .window_calls = 5, .minimum_calls = 6}, random, kStart),
      Error);
}

// All that can happen in a few steps, tried out: every sequence of these up to a depth, each from the
// beginning, with the promises checked after every step and the way back to service at every end.
enum class Step { enter, succeed_oldest, fail_oldest, drop_oldest, drop_newest, wait_open, wait_half_open };
constexpr int kSteps = 7;

class Course {
 public:
  explicit Course(BreakerWindow window)
      : options_(options(window)),
        breaker_(options_, random_, now_, [this](const BreakerTransition& transition) {
          if (transition.to == BreakerState::half_open) probes_ = 0;
          ++generation_;
        }) {}

  /// False where the step makes no sense here.
  bool take(Step step) {
    switch (step) {
      case Step::enter: enter(); return true;
      case Step::succeed_oldest: return judge(0, [this](auto& permit) { permit.success(now_); });
      case Step::fail_oldest: return judge(0, [this](auto& permit) { permit.failure(now_); });
      case Step::drop_oldest:
        return judge(
            0, [](auto& permit) { permit.drop(); }, true);
      case Step::drop_newest:
        return out_.size() > 1 && judge(
                                      out_.size() - 1, [](auto& permit) { permit.drop(); }, true);
      case Step::wait_open: now_ += options_.open_for; return true;
      case Step::wait_half_open: now_ += options_.half_open_at_most; return true;
    }
    return false;
  }

  /// Whether it lets somebody in after a while, whatever becomes of those who are out.
  bool comes_back(bool drop_all) {
    if (drop_all) out_.clear();
    for (int i = 0; i < 3; ++i) {
      if (auto permit = breaker_.try_enter(now_)) return true;
      now_ += options_.open_at_most + options_.half_open_at_most;
    }
    return false;
  }

  const std::string& broken() const { return broken_; }

 private:
  struct Out {
    CircuitBreaker::Permit permit;
    int generation;
  };

  static BreakerOptions options(BreakerWindow window) {
    return {.window = window,
            .window_time = 100s,
            .window_calls = 2,
            .minimum_calls = 1,
            .failure_rate = 0.5,
            .slow_call = 1h,
            .open_for = 10s,
            .open_at_most = 20s,
            .open_jitter = Jitter::none,
            .probes = 2,
            .half_open_at_most = 3s};
  }

  void require(bool holds, const char* what) {
    if (!holds && broken_.empty()) broken_ = what;
  }

  void enter() {
    auto permit = breaker_.try_enter(now_);
    if (!permit) {
      require(permit.retry_after() > Duration(0), "a refusal says when to come again");
      require(breaker_.state() != BreakerState::closed, "closed, it refuses nobody");
      return;
    }
    if (permit.probe()) require(++probes_ <= 2, "never more probes than permitted");
    out_.push_back({std::move(permit), generation_});
  }

  template <class Judge>
  bool judge(std::size_t index, Judge&& verdict, bool frees = false) {
    if (index >= out_.size()) return false;
    const auto chosen = std::next(out_.begin(), static_cast<std::ptrdiff_t>(index));
    const bool current = chosen->generation == generation_;
    const bool probe = chosen->permit.probe();
    const BreakerView before = breaker_.view(now_);
    if (current && probe && frees) --probes_;
    verdict(chosen->permit);
    out_.erase(chosen);
    const BreakerView after = breaker_.view(now_);
    if (!current) {
      require(before.state == after.state && before.calls == after.calls &&
                  before.failures == after.failures && before.probes_out == after.probes_out,
              "an old permit's verdict changes nothing");
    } else if (probe && after.state == BreakerState::half_open) {
      require(after.probes_out + 1 == before.probes_out, "a verdict or a drop brings a probe back");
    }
    return true;
  }

  SeededRandom random_{1};
  Instant now_ = kStart;
  int generation_ = 0;
  int probes_ = 0;  // given in this half-open period and not dropped
  const BreakerOptions options_;
  CircuitBreaker breaker_;
  std::list<Out> out_;
  std::string broken_;
};

std::string spelled(const std::vector<Step>& steps) {
  static constexpr const char* kNames[] = {"enter",       "succeed oldest", "fail oldest",   "drop oldest",
                                           "drop newest", "wait open",      "wait half-open"};
  std::string text;
  for (const Step step : steps)
    text += std::string(text.empty() ? "" : ", ") + kNames[static_cast<int>(step)];
  return text;
}

class AllInterleavings : public ::testing::TestWithParam<BreakerWindow> {
 protected:
  /// Empty, or what went wrong.
  std::string run(const std::vector<Step>& steps, bool& possible) {
    for (const bool drop_all : {false, true}) {
      Course course(GetParam());
      for (const Step step : steps) {
        possible = course.take(step);
        if (!possible) return {};
        if (!course.broken().empty()) return course.broken();
      }
      if (!course.comes_back(drop_all)) return drop_all ? "stuck, with none out" : "stuck, with probes lost";
    }
    ++tried;
    return {};
  }

  void explore(std::vector<Step>& steps, std::size_t depth) {
    for (int i = 0; i < kSteps && !HasFailure(); ++i) {
      steps.push_back(static_cast<Step>(i));
      bool possible = true;
      const std::string wrong = run(steps, possible);
      EXPECT_EQ(wrong, "") << "after: " << spelled(steps);
      if (possible && steps.size() < depth) explore(steps, depth);
      steps.pop_back();
    }
  }

  int tried = 0;
};
INSTANTIATE_TEST_SUITE_P(Windows, AllInterleavings,
                         ::testing::Values(BreakerWindow::calls, BreakerWindow::time),
                         [](const auto& one) { return std::string(enum_name(one.param)); });

TEST_P(AllInterleavings, FromClosed) {
  std::vector<Step> steps;
  explore(steps, 8);
  EXPECT_GT(tried, 100'000);
}

TEST_P(AllInterleavings, FromHalfOpen) {
  std::vector<Step> steps{Step::enter, Step::fail_oldest, Step::wait_open};
  explore(steps, 3 + 8);
  EXPECT_GT(tried, 100'000);
}

TEST(BreakerThreads, NeverMoreProbesThanPermittedHoweverManyAsk) {
  SeededRandom random(1);
  BreakerOptions options = by_calls();
  options.probes = 3;
  CircuitBreaker breaker(options, random, kStart);
  Instant now = kStart;
  for (int round = 0; round < 200; ++round) {
    for (int i = 0; i < 4; ++i) breaker.try_enter(now).failure(now);
    ASSERT_EQ(breaker.state(), BreakerState::open);
    now = breaker.view(now).probes_at;
    std::atomic<int> out{0};
    std::atomic<int> most{0};
    std::atomic<int> kept{0};
    const auto ask = [&, at = now](int seed) {
      SeededRandom dice(static_cast<std::uint64_t>(round * 10 + seed));
      while (breaker.state() != BreakerState::closed) {
        auto permit = breaker.try_enter(at);
        if (!permit || !permit.probe()) continue;
        const int here = ++out;
        for (int seen = most.load(); seen < here && !most.compare_exchange_weak(seen, here);) {
        }
        const bool good = dice.below(2) == 0;
        if (good) ++kept;
        --out;  // before its place is free
        good ? permit.success(at) : permit.drop();
      }
    };
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) threads.emplace_back(ask, i);
    for (auto& thread : threads) thread.join();
    ASSERT_LE(most.load(), 3);
    ASSERT_EQ(kept.load(), 3) << "as many good ones as close it, and not one more";
    now += 1h;
  }
}

}  // namespace
}  // namespace holdfast::resilience
