// A sliding log: remembers the instant of each request in the last `window`, and so is exact. For few and
// costly things (five password resets an hour); eight bytes a request remembered, so not for a limit of each
// client: RateLimiter does not offer it.
//
//   SlidingLog resets({.requests = 5, .window = 1h});
//   const RateDecision decision = resets.try_acquire(ctx.now());
//
// Bound: at most `requests` in a window of any position. Allocates once, when made.
// Thread-safety: one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "holdfast/base/clock.hpp"
#include "holdfast/resilience/token_bucket.hpp"

namespace holdfast::resilience {

class SlidingLog {
 public:
  static constexpr std::uint64_t kMostRequests = std::uint64_t{1} << 20U;  // 8 MiB

  /// Throws Error(invalid_argument) for rates of nothing, more than kMostRequests, and a burst.
  explicit SlidingLog(const RateOptions& options);

  /// Takes `count` if as many more fit into the window that ends now, all or none. 0 only looks. A `now`
  /// before the last one counts as that.
  RateDecision try_acquire(Instant now, std::uint64_t count = 1) noexcept;

  const RateOptions& options() const noexcept { return options_; }

 private:
  Instant nth(std::size_t n) const noexcept;  // the oldest is 0

  RateOptions options_;
  std::vector<Instant> taken_;  // a ring
  std::size_t first_ = 0;
  std::size_t size_ = 0;
};

}  // namespace holdfast::resilience
