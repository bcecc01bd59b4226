#include "holdfast/base/clock.hpp"

#include <ctime>

namespace holdfast {

namespace {

Duration read(clockid_t id) noexcept {
  timespec t{};
  ::clock_gettime(id, &t);
  return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
}

constexpr WallTime kManualEpoch{std::chrono::sys_days(std::chrono::year(2026) / 1 / 1)};

}  // namespace

Instant SystemClock::now() const noexcept { return Instant(read(CLOCK_MONOTONIC)); }

Instant SystemClock::coarse_now() const noexcept { return Instant(read(CLOCK_MONOTONIC_COARSE)); }

WallTime SystemClock::wall_now() const noexcept {
  return WallTime(std::chrono::duration_cast<std::chrono::microseconds>(read(CLOCK_REALTIME)));
}

Instant ManualClock::now() const noexcept {
  return Instant(Duration(elapsed_nanoseconds_.load(std::memory_order_acquire)));
}

WallTime ManualClock::wall_now() const noexcept {
  return kManualEpoch + std::chrono::duration_cast<std::chrono::microseconds>(now().time_since_epoch());
}

void ManualClock::advance(Duration by) noexcept {
  elapsed_nanoseconds_.fetch_add(by.count(), std::memory_order_acq_rel);
}

}  // namespace holdfast
