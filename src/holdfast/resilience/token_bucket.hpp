// A token bucket: lets `requests` through in each `window` on average, and up to `burst` at once.
//
//   TokenBucket bucket(TokenRate({.requests = 100, .window = 1min, .burst = 20}));
//   const RateDecision decision = bucket.try_acquire(ctx.now());
//   if (!decision.allowed) return refuse(decision.retry_after);
//
// Kept as GCRA (ITU-T I.371, annex A; "virtual scheduling"): the whole state is the instant at which the
// bucket will be full again, one atomic number. In any span t no more than burst + t·requests/window
// pass. Thread-safety: any thread; told the time, which may differ a little between threads.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>
#include <optional>

#include "holdfast/base/clock.hpp"

namespace holdfast::resilience {

struct RateOptions {
  std::uint64_t requests = 100;  ///< a window, on average; at least 1
  Duration window = std::chrono::seconds(60);
  std::optional<std::uint64_t> burst{};  ///< at once, after a rest; at least 1; `requests` unless set
};

struct RateDecision {
  bool allowed = false;
  std::uint64_t remaining = 0;  ///< how many more would pass now
  Duration retry_after{0};      ///< when as many would pass; zero if allowed, kNeverPasses if it never will
  Duration full_after{0};       ///< when the bucket is full again, if nobody takes meanwhile

  static constexpr Duration kNeverPasses = Duration::max();
};

/// The numbers of a bucket, worked out once and shared by all buckets of a kind.
class TokenRate {
 public:
  /// The instant at which a bucket is full again, in nanoseconds. All values up to now mean "full".
  using State = std::atomic<std::int64_t>;
  static constexpr std::int64_t kFull = std::numeric_limits<std::int64_t>::min();

  /// Throws Error(invalid_argument) for rates of nothing, over one a nanosecond, and bursts that take
  /// longer than a year to refill. An interval that is no whole number of nanoseconds is rounded up.
  explicit TokenRate(const RateOptions& options);

  /// Takes `count` tokens if they are there, all or none. 0 only looks.
  RateDecision try_acquire(State& state, Instant now, std::uint64_t count = 1) const noexcept;

  /// Takes one token and says no more than is needed: zero if it was there, else how long it will be.
  Duration take_one(State& state, Instant now) const noexcept {
    const std::int64_t at = now.time_since_epoch().count();
    std::int64_t full_at = state.load(std::memory_order_relaxed);
    std::int64_t owed_then = 0;
    do {
      owed_then = (full_at > at ? full_at - at : 0) + interval_;
      if (owed_then > tolerance_) return Duration(owed_then - tolerance_);
    } while (!state.compare_exchange_weak(full_at, at + owed_then, std::memory_order_relaxed));
    return Duration(0);
  }

  std::uint64_t burst() const noexcept { return burst_; }
  const RateOptions& options() const noexcept { return options_; }

 private:
  RateOptions options_;
  std::uint64_t burst_;
  std::int64_t interval_;   // nanoseconds in which one token comes
  std::int64_t tolerance_;  // burst × interval
};

class TokenBucket {
 public:
  explicit TokenBucket(const TokenRate& rate) : rate_(rate) {}
  explicit TokenBucket(const RateOptions& options) : rate_(options) {}

  RateDecision try_acquire(Instant now, std::uint64_t count = 1) noexcept {
    return rate_.try_acquire(state_, now, count);
  }

 private:
  const TokenRate rate_;
  TokenRate::State state_{TokenRate::kFull};
};

}  // namespace holdfast::resilience
