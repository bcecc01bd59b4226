// A sliding counter: the count of this window plus the part of the last one's that still overlaps, as if
// its requests had come evenly. A fixed window without the doubling at its boundary. (The approximation
// that Cloudflare described in "How we built rate limiting capable of scaling to millions of domains".)
//
//   SlidingCounter limit({.requests = 100, .window = 1min});
//   const RateDecision decision = limit.try_acquire(ctx.now());
//
// Bound: in a span s of any position, up to one window long, at most requests × (1 + s/window) pass; what a
// token bucket with a burst of `requests` promises. The whole state is one atomic number.
// Thread-safety: any thread; told the time, which may differ a little between threads.
#pragma once

#include <atomic>
#include <cstdint>

#include "holdfast/base/clock.hpp"
#include "holdfast/resilience/token_bucket.hpp"

namespace holdfast::resilience {

/// The numbers of a sliding counter, shared by all counters of a kind.
class SlidingCounterRate {
 public:
  /// From the top: 24 bits of the window's number, 20 of the last window's count, 20 of this one's.
  using State = std::atomic<std::int64_t>;
  static constexpr std::int64_t kFull = 0;
  static constexpr std::uint64_t kMostRequests = (std::uint64_t{1} << 20U) - 1;

  /// Throws Error(invalid_argument) for rates of nothing, more than kMostRequests, windows under a second
  /// or over a year, and a burst, which a window has none of.
  explicit SlidingCounterRate(const RateOptions& options);

  /// Takes `count` if there is room for them, all or none. 0 only looks.
  RateDecision try_acquire(State& state, Instant now, std::uint64_t count = 1) const noexcept;

  /// When everything may be taken again, in nanoseconds.
  std::int64_t full_at(std::int64_t state, Instant now) const noexcept;

  const RateOptions& options() const noexcept { return options_; }

 private:
  struct Counted {
    std::int64_t window;  // number; the present one, or a later one that another thread has seen
    std::uint64_t last;
    std::uint64_t taken;
  };
  Counted read(std::int64_t state, std::int64_t present) const noexcept;
  Duration retry_after(const Counted& counted, std::int64_t left, std::uint64_t count) const noexcept;

  RateOptions options_;
};

class SlidingCounter {
 public:
  explicit SlidingCounter(const RateOptions& options) : rate_(options) {}

  RateDecision try_acquire(Instant now, std::uint64_t count = 1) noexcept {
    return rate_.try_acquire(state_, now, count);
  }

 private:
  const SlidingCounterRate rate_;
  SlidingCounterRate::State state_{SlidingCounterRate::kFull};
};

}  // namespace holdfast::resilience
