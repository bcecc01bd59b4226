// A fixed window: counts requests from one multiple of `window` to the next, and starts again from zero.
// The cheapest limit, and what a quota ("1000 a day") means. Its weakness is stated, not hidden: around
// a boundary twice `requests` may pass in no time at all. Prefer token_bucket.hpp where that matters.
//
//   FixedWindow quota({.requests = 1000, .window = 24h});
//   const RateDecision decision = quota.try_acquire(ctx.now());
//
// Bound: at most 2 × requests in a window of any position; at most `requests` in each aligned one.
// The whole state is one atomic number. Thread-safety: any thread; told the time, which may differ a little.
#pragma once

#include <atomic>
#include <cstdint>

#include "holdfast/base/clock.hpp"
#include "holdfast/resilience/token_bucket.hpp"

namespace holdfast::resilience {

/// The numbers of a fixed window, shared by all counters of a kind.
class FixedWindowRate {
 public:
  /// The number of the window in the upper half, what was taken of it in the lower.
  using State = std::atomic<std::int64_t>;
  static constexpr std::int64_t kFull = 0;
  static constexpr std::uint64_t kMostRequests = (std::uint64_t{1} << 32U) - 1;

  /// Throws Error(invalid_argument) for rates of nothing, more than kMostRequests, windows under a
  /// millisecond, and a burst, which a window has none of.
  explicit FixedWindowRate(const RateOptions& options);

  /// Takes `count` if as many are left in this window, all or none. 0 only looks.
  RateDecision try_acquire(State& state, Instant now, std::uint64_t count = 1) const noexcept;

  /// When everything may be taken again, in nanoseconds.
  std::int64_t full_at(std::int64_t state, Instant now) const noexcept;

  const RateOptions& options() const noexcept { return options_; }

 private:
  struct Counted {
    std::int64_t window;  // number; the present one, or a later one that another thread has seen
    std::uint64_t taken;
  };
  Counted read(std::int64_t state, std::int64_t present) const noexcept;

  RateOptions options_;
};

class FixedWindow {
 public:
  explicit FixedWindow(const RateOptions& options) : rate_(options) {}

  RateDecision try_acquire(Instant now, std::uint64_t count = 1) noexcept {
    return rate_.try_acquire(state_, now, count);
  }

 private:
  const FixedWindowRate rate_;
  FixedWindowRate::State state_{FixedWindowRate::kFull};
};

}  // namespace holdfast::resilience
