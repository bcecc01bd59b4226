// How long to wait before trying again: min(cap, base·2^n), spread by jitter so that those who failed
// together do not come back together. (M. Brooker, "Exponential Backoff And Jitter", AWS, 2015.)
//
//   Backoff backoff({.base = 100ms, .cap = 30s});
//   while (!attempt()) sleep_for(ctx, backoff.next(random));
//
// Thread-safety: a value; one thread at a time.
#pragma once

#include <cstdint>

#include "holdfast/base/clock.hpp"
#include "holdfast/base/describe.hpp"
#include "holdfast/base/random.hpp"

namespace holdfast::resilience {

enum class Jitter : std::uint8_t {
  full,          ///< 0 … d: the least contention, the default
  equal,         ///< d/2 … d: never at once
  decorrelated,  ///< base … 3 × the wait before
  none,          ///< d; for those who are alone
};
HOLDFAST_DESCRIBE_ENUM(Jitter, full, equal, decorrelated, none)

struct BackoffOptions {
  Duration base = std::chrono::milliseconds(100);  ///< d of the first wait; at least 1 ns
  Duration cap = std::chrono::seconds(30);         ///< no wait is longer
  Jitter jitter = Jitter::full;
};

class Backoff {
 public:
  explicit Backoff(const BackoffOptions& options = {}) noexcept : options_(options) {}

  /// The wait before the next attempt.
  Duration next(Random& random) noexcept;

  /// Waits given so far.
  std::uint32_t attempts() const noexcept { return attempts_; }

  /// It worked: begin anew.
  void reset() noexcept {
    attempts_ = 0;
    previous_ = Duration(0);
  }

 private:
  BackoffOptions options_;
  std::uint32_t attempts_ = 0;
  Duration previous_{0};
};

/// min(cap, base·2^attempt) without jitter; whatever `attempt` is, it does not overflow.
Duration backoff_ceiling(const BackoffOptions& options, std::uint32_t attempt) noexcept;

/// The wait after failure number `attempt` (from 0), for those who keep the number elsewhere (in a row, a
/// message). For Jitter::decorrelated, `previous` is the wait before.
Duration backoff_delay(const BackoffOptions& options, std::uint32_t attempt, Random& random,
                       Duration previous = Duration(0)) noexcept;

}  // namespace holdfast::resilience
