// How many may be at work at a time, found out instead of configured: grows while more at work means more
// done, shrinks when it only means that each takes longer. (After Netflix' Gradient2 and failsafe-go's
// correlation; by Little's law, latency that grows as concurrency does means throughput that does not.)
//
//   AdaptiveLimit limit({.initial = 50, .min = 10, .max = 1000});
//   if (running >= limit.limit()) return refuse();
//   ...                                             // when done: limit.record(now, latency, running)
//
// The latency without a queue is not measured by starving traffic for a moment (Envoy's minRTT windows
// refuse in bursts): it is a long average that only windows without saturation may raise.
// No allocation; one thread at a time.
#pragma once

#include <cstdint>

#include "holdfast/base/clock.hpp"

namespace holdfast::resilience {

struct AdaptiveLimitOptions {
  std::uint32_t initial = 50;
  std::uint32_t min = 10;    ///< never fewer; at least 1
  std::uint32_t max = 1000;  ///< never more
  /// Samples are looked at in windows at least so long, with at least so many samples.
  Duration window = std::chrono::milliseconds(100);
  std::uint32_t window_samples = 20;
  /// How much longer than without a queue it may take before the limit shrinks; over 1. Lower keeps
  /// latency down, higher bears more noise.
  double tolerance = 1.3;
};

class AdaptiveLimit {
 public:
  /// Throws Error(invalid_argument) unless 1 <= min <= initial <= max and tolerance > 1.
  explicit AdaptiveLimit(const AdaptiveLimitOptions& options);

  std::uint32_t limit() const noexcept { return static_cast<std::uint32_t>(limit_); }

  /// One that took `latency` has ended; when it began, `running` were at work (itself included). Leave those
  /// out that say nothing about the load: failed at once, or waiting for something else on purpose.
  void record(Instant now, Duration latency, std::uint32_t running) noexcept;

  /// What one takes without a queue, as far as is known; 0 before the first window.
  Duration baseline() const noexcept { return Duration(static_cast<std::int64_t>(baseline_)); }

  /// d ln latency / d ln concurrency of late: 0 where more at work costs nothing, 1 where it gains nothing.
  /// Negative where that can't be told, because concurrency has hardly varied.
  double elasticity() const noexcept;

 private:
  void close_window() noexcept;
  void learn(double running, double latency) noexcept;
  void adjust(double running, double latency, double elasticity) noexcept;

  AdaptiveLimitOptions options_;
  double limit_;
  double baseline_ = 0;  // nanoseconds

  Instant window_began_{};
  std::uint32_t samples_ = 0;
  double latency_sum_ = 0;
  double running_sum_ = 0;

  // Sums of a regression of ln latency on ln running that forgets.
  double weight_ = 0, x_ = 0, y_ = 0, xx_ = 0, xy_ = 0;
};

}  // namespace holdfast::resilience
