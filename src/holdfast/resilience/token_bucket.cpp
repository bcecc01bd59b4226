#include "holdfast/resilience/token_bucket.hpp"

#include <algorithm>

#include "holdfast/base/error.hpp"

namespace holdfast::resilience {

namespace {

constexpr std::int64_t kLongestRefill = std::chrono::nanoseconds(std::chrono::hours(24 * 366)).count();

void require(bool sound, const char* what) {
  if (!sound) throw Error(ErrorCode::invalid_argument, what).reason("invalid_rate");
}

}  // namespace

TokenRate::TokenRate(const RateOptions& options)
    : options_(options), burst_(options.burst.value_or(options.requests)) {
  require(options.requests > 0 && burst_ > 0,
          "A rate limit needs at least one request and a burst of at least one.");
  require(options.window.count() > 0, "A rate limit needs a window longer than zero.");
  const auto window = static_cast<std::uint64_t>(options.window.count());
  require(options.requests <= window, "A rate limit can't pass more than one request a nanosecond.");
  interval_ = static_cast<std::int64_t>((window + options.requests - 1) / options.requests);
  require(burst_ <= static_cast<std::uint64_t>(kLongestRefill / interval_),
          "A rate limit's burst must not take longer than a year to come back.");
  tolerance_ = static_cast<std::int64_t>(burst_) * interval_;
}

RateDecision TokenRate::try_acquire(State& state, Instant now, std::uint64_t count) const noexcept {
  const std::int64_t at = now.time_since_epoch().count();
  std::int64_t full_at = state.load(std::memory_order_relaxed);
  while (true) {
    const std::int64_t owed = std::max(full_at, at) - at;  // time that the tokens taken so far still take
    if (count > burst_) {
      const std::int64_t left = std::max<std::int64_t>(0, tolerance_ - owed);
      return {.allowed = false,
              .remaining = static_cast<std::uint64_t>(left / interval_),
              .retry_after = RateDecision::kNeverPasses,
              .full_after = Duration(owed)};
    }
    const std::int64_t cost = static_cast<std::int64_t>(count) * interval_;
    const std::int64_t owed_then = owed + cost;
    if (owed_then > tolerance_ && count > 0) {
      // `owed` may exceed the tolerance where another thread's clock reading was ahead of ours.
      const std::int64_t left = std::max<std::int64_t>(0, tolerance_ - owed);
      return {.allowed = false,
              .remaining = static_cast<std::uint64_t>(left / interval_),
              .retry_after = Duration(owed_then - tolerance_),
              .full_after = Duration(owed)};
    }
    // Only this number is shared, nothing is published by it: relaxed suffices.
    if (count == 0 || state.compare_exchange_weak(full_at, at + owed_then, std::memory_order_relaxed)) {
      const std::int64_t left = std::max<std::int64_t>(0, tolerance_ - owed_then);
      return {.allowed = true,
              .remaining = static_cast<std::uint64_t>(left / interval_),
              .retry_after = Duration(0),
              .full_after = Duration(owed_then)};
    }
  }
}

}  // namespace holdfast::resilience
