// A leaky bucket, as a queue: lets one through each window/requests, evenly, and says to the others when
// their turn is. For callers that may wait and a callee that can't take bursts (a carrier that takes two
// requests a second). Where callers must not wait, use token_bucket.hpp.
//
//   LeakyBucket carrier({.requests = 2, .window = 1s, .max_waiting = 20});
//   const LeakyDecision turn = carrier.try_join(ctx.now(), ctx.deadline());
//   if (!turn.allowed) return refuse(turn.retry_after);
//   runtime::sleep_for(ctx, turn.go_after);   // whoever gives up here leaves its turn unused
//
// Bound: at most `requests` go in a window of any position. Thread-safety: any thread; one atomic number.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>

#include "holdfast/base/clock.hpp"
#include "holdfast/resilience/token_bucket.hpp"

namespace holdfast::resilience {

struct LeakyOptions {
  std::uint64_t requests = 10;  ///< a window, evenly; at least 1
  Duration window = std::chrono::seconds(1);
  std::uint64_t max_waiting = 100;  ///< turns given ahead; 0: nobody waits
};

/// `allowed`: has a turn, in `go_after`. `remaining`: places left in the queue. `retry_after`: when there
/// is one, if there is none. `full_after`: when nobody waits any more.
struct LeakyDecision : RateDecision {
  Duration go_after{0};
};

class LeakyBucket {
 public:
  /// Throws Error(invalid_argument) for rates of nothing, over one a nanosecond, and queues of over a year.
  /// An interval that is no whole number of nanoseconds is rounded up.
  explicit LeakyBucket(const LeakyOptions& options);

  /// Takes the next turn, unless the queue is full or the turn would come after `deadline` (then
  /// retry_after is kNeverPasses: by this deadline there will be none).
  LeakyDecision try_join(Instant now, Instant deadline = kNever) noexcept;

  const LeakyOptions& options() const noexcept { return options_; }

 private:
  LeakyOptions options_;
  std::int64_t interval_;  // nanoseconds from one turn to the next
  std::int64_t longest_;   // wait of the last in a full queue
  std::atomic<std::int64_t> next_turn_{std::numeric_limits<std::int64_t>::min()};
};

}  // namespace holdfast::resilience
