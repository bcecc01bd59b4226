// What an overloaded service gives up first: exports before browsing before checkout. Two answers. How
// many of the places a priority may take: the rest is kept free for those above. Who may still wait: where
// the oldest in line was never younger than a target for an interval (CoDel, RFC 8289), background work
// waits no more, and an interval later normal work neither; the critical always may. Each interval without
// such a line takes one step back, so under lasting overload the last step comes and goes.
//
//   if (running < shedder.places(priority, limit)) start();
//   else if (shedder.may_wait(priority)) wait();
//
// Used by Admission. No allocation; a pure state machine, one thread at a time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "holdfast/base/clock.hpp"
#include "holdfast/runtime/context.hpp"

namespace holdfast::resilience {

inline constexpr std::size_t kPriorities = 3;
constexpr std::size_t index_of(Priority priority) noexcept { return static_cast<std::size_t>(priority); }

struct SheddingOptions {
  double normal_share = 1;      ///< of the places, for work that is not critical; over 0, at most 1
  double background_share = 1;  ///< of the places, for background work; at most normal_share
  /// A line whose oldest has waited for longer than this all through an interval is too slow. Lines are left
  /// to their bounds unless it is set.
  std::optional<Duration> queue_target{};
  Duration interval = std::chrono::milliseconds(100);
};

class Shedder {
 public:
  /// How long the oldest of each priority has waited; 0 where nobody waits.
  using Ages = std::array<Duration, kPriorities>;

  /// Throws Error(invalid_argument) for shares out of order and an interval or target that is not positive.
  explicit Shedder(const SheddingOptions& options);

  /// How many may be at work for one of `priority` to join them, of `limit` places. At least 1.
  std::uint32_t places(Priority priority, std::uint32_t limit) const noexcept;

  /// To be told the lines before each change of them.
  void observe(Instant now, const Ages& oldest) noexcept;

  bool may_wait(Priority priority) const noexcept { return index_of(priority) + level_ < kPriorities; }

  /// 0: all may wait; 1: background may not; 2: only critical may.
  std::uint32_t level() const noexcept { return level_; }

 private:
  SheddingOptions options_;
  std::uint32_t level_ = 0;
  Instant interval_ends_ = Instant::min();
  Duration least_age_ = Duration::max();  // of the oldest, in this interval
};

}  // namespace holdfast::resilience
