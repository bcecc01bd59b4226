// Time as an input. Everything in Holdfast that needs to know the time is given a Clock; nothing but
// this room and `runtime/` asks the operating system. A test, or a simulation of the whole system,
// passes a ManualClock and decides what time it is.
//
//   Instant: monotonic; for deadlines, timeouts, latencies. Never goes back, means nothing elsewhere.
//   WallTime: UTC; for what people and other machines read. May jump.
//
// Thread-safety: a Clock may be asked from any thread.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace holdfast {

using Duration = std::chrono::nanoseconds;

/// Tag of the monotonic time line: keeps an Instant from being mixed up with any std clock's.
struct MonotonicTimeline {
  using duration = Duration;
  using rep = Duration::rep;
  using period = Duration::period;
  using time_point = std::chrono::time_point<MonotonicTimeline, Duration>;
  static constexpr bool is_steady = true;
};

using Instant = MonotonicTimeline::time_point;
using WallTime = std::chrono::sys_time<std::chrono::microseconds>;

/// "Never": later than any instant a Clock returns.
inline constexpr Instant kNever = Instant::max();

class Clock {
 public:
  virtual ~Clock() = default;
  virtual Instant now() const noexcept = 0;
  virtual WallTime wall_now() const noexcept = 0;
  /// Never later than now(), and at most some milliseconds earlier (a tick of the system's): for what is
  /// asked often and need not be exact. Cheap.
  virtual Instant coarse_now() const noexcept { return now(); }
};

/// The machine's clocks (CLOCK_MONOTONIC, CLOCK_REALTIME). About 40 ns a reading.
class SystemClock final : public Clock {
 public:
  Instant now() const noexcept override;
  WallTime wall_now() const noexcept override;
  Instant coarse_now() const noexcept override;  ///< CLOCK_MONOTONIC_COARSE
};

/// A clock that stands still until it is told to move. Starts at instant 0, 2026-01-01T00:00:00Z.
class ManualClock final : public Clock {
 public:
  Instant now() const noexcept override;
  WallTime wall_now() const noexcept override;

  /// Moves both time lines forward by `by` (not negative).
  void advance(Duration by) noexcept;

 private:
  std::atomic<std::int64_t> elapsed_nanoseconds_{0};
};

}  // namespace holdfast
