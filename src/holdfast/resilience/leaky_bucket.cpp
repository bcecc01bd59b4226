#include "holdfast/resilience/leaky_bucket.hpp"

#include <algorithm>

#include "holdfast/base/error.hpp"

namespace holdfast::resilience {
namespace {

constexpr std::int64_t kLongestQueue = std::chrono::nanoseconds(std::chrono::hours(24 * 366)).count();

}  // namespace

LeakyBucket::LeakyBucket(const LeakyOptions& options) : options_(options), interval_(0), longest_(0) {
  const auto window = static_cast<std::uint64_t>(std::max<std::int64_t>(0, options.window.count()));
  if (options.requests == 0 || options.requests > window) {
    throw Error(ErrorCode::invalid_argument,
                "A leaky bucket needs at least one request a window, and at most one a nanosecond.")
        .reason("invalid_rate");
  }
  interval_ = static_cast<std::int64_t>((window + options.requests - 1) / options.requests);
  if (options.max_waiting > static_cast<std::uint64_t>(kLongestQueue / interval_)) {
    throw Error(ErrorCode::invalid_argument, "A leaky bucket's last in line must not wait for over a year.")
        .reason("invalid_rate");
  }
  longest_ = static_cast<std::int64_t>(options.max_waiting) * interval_;
}

LeakyDecision LeakyBucket::try_join(Instant now, Instant deadline) noexcept {
  const std::int64_t at = now.time_since_epoch().count();
  std::int64_t next = next_turn_.load(std::memory_order_relaxed);
  while (true) {
    const std::int64_t turn = std::max(next, at);
    const std::int64_t wait = turn - at;
    LeakyDecision decision;
    decision.full_after = Duration(std::max<std::int64_t>(0, wait));
    if (wait > longest_ || now + Duration(wait) > deadline) {
      decision.remaining =
          wait > longest_ ? 0 : static_cast<std::uint64_t>((longest_ - wait) / interval_) + 1;
      decision.retry_after = wait > longest_ ? Duration(wait - longest_) : RateDecision::kNeverPasses;
      return decision;
    }
    // Only this number is shared, nothing is published by it: relaxed suffices.
    if (next_turn_.compare_exchange_weak(next, turn + interval_, std::memory_order_relaxed)) {
      const std::int64_t wait_then = wait + interval_;
      decision.allowed = true;
      decision.go_after = Duration(wait);
      decision.full_after = Duration(wait_then);
      decision.remaining =
          wait_then > longest_ ? 0 : static_cast<std::uint64_t>((longest_ - wait_then) / interval_) + 1;
      return decision;
    }
  }
}

}  // namespace holdfast::resilience
