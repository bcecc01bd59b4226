#include "holdfast/resilience/retry.hpp"

#include <gmock/gmock.h>

#include <deque>
#include <vector>

#include "holdfast/base/error.hpp"

namespace holdfast::resilience {
namespace {

using namespace std::chrono_literals;

constexpr Instant kStart(1h);

const Error kUnavailable(ErrorCode::unavailable, "It is down.");

class RetryTest : public ::testing::Test {
 protected:
  Retry::Moment moment(bool idempotent = true) const {
    return {.now = kStart, .deadline = kNever, .idempotent = idempotent, .retryable = true};
  }
  SeededRandom random{7};
  RetryOptions options;
  RetryBudget budget{{}, kStart};
};

TEST_F(RetryTest, TriesSoManyTimesAndWaitsLongerEachTime) {
  options.jitter = Jitter::none;
  options.tries = 4;
  Retry retry(options, budget, random);
  for (const Duration wait : {50ms, 100ms, 200ms}) {
    auto decision = retry.next(kUnavailable, moment());
    ASSERT_TRUE(decision);
    EXPECT_EQ(decision.delay, wait);
  }
  EXPECT_EQ(retry.next(kUnavailable, moment()).verdict, RetryVerdict::no_tries_left);
}

TEST_F(RetryTest, IsForIdempotentCallsUnlessTold) {
  EXPECT_EQ(Retry(options, budget, random).next(kUnavailable, moment(false)).verdict,
            RetryVerdict::not_idempotent);
  options.idempotent_only = false;
  EXPECT_TRUE(Retry(options, budget, random).next(kUnavailable, moment(false)));
}

TEST_F(RetryTest, OnlyWhatMayPass) {
  EXPECT_TRUE(is_retryable(kUnavailable));
  EXPECT_TRUE(is_retryable(Error(ErrorCode::deadline_exceeded, "Slow.")));
  EXPECT_TRUE(is_retryable(Error(ErrorCode::rate_limited, "Too many.").retry_after(1s)));
  EXPECT_FALSE(is_retryable(Error(ErrorCode::rate_limited, "Too many.")));
  for (const ErrorCode code :
       {ErrorCode::invalid_argument, ErrorCode::not_found, ErrorCode::conflict, ErrorCode::cancelled,
        ErrorCode::internal, ErrorCode::unimplemented, ErrorCode::permission_denied}) {
    EXPECT_FALSE(is_retryable(Error(code, "No."))) << to_string(code);
  }
  Retry::Moment never = moment();
  never.retryable = false;
  EXPECT_EQ(Retry(options, budget, random).next(kUnavailable, never).verdict, RetryVerdict::not_retryable);
}

TEST_F(RetryTest, NeverComesBeforeWhatRetryAfterSays) {
  for (int i = 0; i < 15; ++i) {
    Retry retry(options, budget, random);
    const auto decision = retry.next(Error(ErrorCode::unavailable, "Later.").retry_after(3s), moment());
    ASSERT_TRUE(decision);
    EXPECT_GE(decision.delay, 3s);
    EXPECT_LE(decision.delay, 3s + 50ms);
  }
}

TEST_F(RetryTest, NoWaitThatCanNotBeFollowedByATry) {
  options.jitter = Jitter::none;
  Retry::Moment soon_over = moment();
  soon_over.deadline = kStart + 50ms;
  EXPECT_EQ(Retry(options, budget, random).next(kUnavailable, soon_over).verdict, RetryVerdict::no_time_left);
  EXPECT_EQ(budget.held(), 0u);
  soon_over.deadline = kStart + 51ms;
  EXPECT_TRUE(Retry(options, budget, random).next(kUnavailable, soon_over));
  const Error for_ever = Error(ErrorCode::unavailable, "Never.").retry_after(Duration::max());
  EXPECT_EQ(Retry(options, budget, random).next(for_ever, soon_over).verdict, RetryVerdict::no_time_left);
}

TEST_F(RetryTest, TheBudgetIsChargedWhenItIsDecidedAndHeldThroughTheWait) {
  RetryBudget small({.share = 0, .reserve = 2, .per_second = 0}, kStart);
  Retry retry(options, small, random);
  auto first = retry.next(kUnavailable, moment());
  auto second = Retry(options, small, random).next(kUnavailable, moment());
  ASSERT_TRUE(first);
  ASSERT_TRUE(second);
  EXPECT_EQ(small.held(), 2u);
  EXPECT_EQ(Retry(options, small, random).next(kUnavailable, moment()).verdict,
            RetryVerdict::budget_exhausted);
  first.hold.spend();
  EXPECT_EQ(Retry(options, small, random).next(kUnavailable, moment()).verdict,
            RetryVerdict::budget_exhausted);
  { const auto given_back = std::move(second); }
  EXPECT_EQ(small.held(), 0u);
  EXPECT_DOUBLE_EQ(small.available(), 1);
}

TEST(RetryBudget, CallsAddTheirShareUpToTheReserve) {
  RetryBudget budget({.share = 0.25, .reserve = 2, .per_second = 0}, kStart);
  budget.try_take(kStart).spend();
  budget.try_take(kStart).spend();
  for (int i = 0; i < 4; ++i) {
    EXPECT_FALSE(budget.try_take(kStart)) << i;
    budget.call();
  }
  EXPECT_TRUE(budget.try_take(kStart));
  for (int i = 0; i < 100; ++i) budget.call();
  EXPECT_DOUBLE_EQ(budget.available(), 2);
}

TEST(RetryBudget, TimeAddsAFewForThoseWhoCallSeldom) {
  RetryBudget budget({.share = 0, .reserve = 3, .per_second = 2}, kStart);
  for (int i = 0; i < 3; ++i) budget.try_take(kStart).spend();
  EXPECT_FALSE(budget.try_take(kStart + 499ms));
  EXPECT_TRUE(budget.try_take(kStart + 500ms));
  for (int i = 0; i < 3; ++i)
    EXPECT_TRUE([&] {
      auto hold = budget.try_take(kStart + 1h);
      hold.spend();
      return true;
    }());
  EXPECT_FALSE(budget.try_take(kStart + 1h)) << "not more than the reserve is saved up";
}

TEST(RetryBudget, WhatIsHeldTakesItsPlaceInTheReserve) {
  RetryBudget budget({.share = 1, .reserve = 3, .per_second = 1}, kStart);
  std::deque<RetryBudget::Hold> holds;
  for (int i = 0; i < 3; ++i) holds.push_back(budget.try_take(kStart));
  for (int i = 0; i < 100; ++i) budget.call();
  EXPECT_FALSE(budget.try_take(kStart + 1h));
  holds.front().spend();
  holds.pop_front();
  for (int i = 0; i < 100; ++i) budget.call();
  EXPECT_DOUBLE_EQ(budget.available(), 1);
}

// Nothing works, but for moments; everybody tries as often as they may, waits are long and of all lengths.
// Then in every span of time: attempts <= (1 + share)·calls + reserve + per_second·length.
TEST(RetryBudget, BoundsAttemptsInEverySpanOfTimeUnderTotalFailure) {
  for (const double per_second : {0.0, 4.0}) {
    SeededRandom random(11);
    const RetryBudgetOptions limits{.share = 0.2, .reserve = 5, .per_second = per_second};
    RetryBudget budget(limits, kStart);
    const RetryOptions options{.tries = 50, .base = 400ms, .cap = 2s, .jitter = Jitter::full};
    struct Waiting {
      Retry retry;
      Retry::Decision decision;
      int due;
    };
    constexpr int kMilliseconds = 20'000;
    std::vector<int> calls(kMilliseconds), attempts(kMilliseconds);
    std::deque<Waiting> waiting;
    const auto failed = [&](Retry retry, int at) {
      auto decision =
          retry.next(kUnavailable,
                     {.now = kStart + std::chrono::milliseconds(at), .idempotent = true, .retryable = true});
      if (!decision) return;
      const int due = at + 1 + static_cast<int>(decision.delay / 1ms);
      waiting.push_back({std::move(retry), std::move(decision), due});
    };
    for (int at = 0; at < kMilliseconds; ++at) {
      const bool busy = at / 2'000 % 2 == 0;  // bursts, and times in which nobody calls
      const int now_calling = busy ? static_cast<int>(random.below(3)) : 0;
      for (int i = 0; i < now_calling; ++i) {
        budget.call();
        ++calls[static_cast<std::size_t>(at)];
        ++attempts[static_cast<std::size_t>(at)];
        if (at / 300 % 3 != 1) failed(Retry(options, budget, random), at);
      }
      for (std::size_t n = waiting.size(); n > 0; --n) {
        Waiting one{std::move(waiting.front())};
        waiting.pop_front();
        if (one.due > at) {
          waiting.push_back(std::move(one));
          continue;
        }
        one.decision.hold.spend();
        ++attempts[static_cast<std::size_t>(at)];
        failed(one.retry, at);
      }
    }
    int retries = 0;
    for (int from = 0; from < kMilliseconds; from += 7) {
      double allowed = limits.reserve;
      int made = 0;
      for (std::size_t at = static_cast<std::size_t>(from); at < calls.size(); ++at) {
        allowed += (1 + limits.share) * calls[at] + per_second * 0.001;
        made += attempts[at];
        ASSERT_LE(made, allowed + 1e-6) << "from " << from << " ms to " << at << " ms";
      }
      if (from == 0) {
        for (const int count : calls) made -= count;
        retries = made;
      }
    }
    EXPECT_GT(retries, 100) << "what is allowed is used";
  }
}

}  // namespace
}  // namespace holdfast::resilience
