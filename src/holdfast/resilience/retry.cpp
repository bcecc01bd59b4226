#include "holdfast/resilience/retry.hpp"

#include <algorithm>

#include "holdfast/base/violations.hpp"

namespace holdfast::resilience {

namespace {

constexpr Duration kLongestAsked = std::chrono::hours(24);  // no call waits for so long; keeps sums in range

}  // namespace

void RetryOptions::validate(Violations& faults) const {
  if (cap < base) faults.add_at("/cap", "out_of_range", "can't be shorter than base");
}

bool is_retryable(const Error& error) noexcept {
  switch (error.code()) {
    case ErrorCode::unavailable:
    case ErrorCode::deadline_exceeded: return true;
    case ErrorCode::rate_limited: return error.retry_after().has_value();
    default: return false;
  }
}

Retry::Decision Retry::next(const Error& error, const Moment& moment) noexcept {
  Decision decision;
  const auto no = [&](RetryVerdict why) -> Decision&& {
    decision.verdict = why;
    return std::move(decision);
  };
  if (!moment.retryable) return no(RetryVerdict::not_retryable);
  if (!moment.idempotent && options_.idempotent_only) return no(RetryVerdict::not_idempotent);
  if (!options_.enabled || tries_ >= options_.tries) return no(RetryVerdict::no_tries_left);
  // Those who were told the same time should not come at the same instant: the backoff goes on top of it.
  decision.delay =
      backoff_.next(random_) + std::min<Duration>(kLongestAsked, error.retry_after().value_or(Duration(0)));
  if (moment.deadline != kNever && decision.delay >= moment.deadline - moment.now) {
    return no(RetryVerdict::no_time_left);
  }
  RetryBudget::Hold hold = budget_.try_take(moment.now);
  if (!hold) return no(RetryVerdict::budget_exhausted);
  ++tries_;
  return {.verdict = RetryVerdict::again, .delay = decision.delay, .hold = std::move(hold)};
}

}  // namespace holdfast::resilience
