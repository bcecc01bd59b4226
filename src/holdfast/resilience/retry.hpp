// Whether to try again after a failure, and when: so many tries, spread waits, only errors that may pass,
// only calls that may be made twice, never past the deadline, and never more than the budget allows.
//
//   Retry retry(options, budget, random);                 // one call's
//   for (;;) {
//     try { return call(); } catch (const Error& error) {
//       auto again = retry.next(error, {.now = clock.now(), .deadline = ctx.deadline(), .idempotent = true,
//                                      .retryable = is_retryable(error)});
//       if (!again) throw;
//       sleep_for(ctx, again.delay); again.hold.spend();
//     }
//   }
//
// A pure state machine, told the time. Thread-safety: a value of one call; one thread at a time.
#pragma once

#include <cstdint>
#include <string_view>

#include "holdfast/base/describe.hpp"
#include "holdfast/base/error.hpp"
#include "holdfast/base/random.hpp"
#include "holdfast/base/rules.hpp"
#include "holdfast/resilience/backoff.hpp"
#include "holdfast/resilience/retry_budget.hpp"

namespace holdfast::resilience {

struct RetryOptions {
  bool enabled = true;
  std::uint32_t tries = 3;
  std::chrono::microseconds base = std::chrono::milliseconds(50);
  std::chrono::microseconds cap = std::chrono::seconds(2);
  Jitter jitter = Jitter::full;
  bool idempotent_only = true;
  RetryBudgetOptions budget;

  static constexpr auto rules() {
    return holdfast::rules(
        field<&RetryOptions::enabled>().doc("Whether anything is tried again."),
        field<&RetryOptions::tries>().range(1, 100).doc("Of a call, the first included."),
        field<&RetryOptions::base>()
            .range(1, 3'600'000'000)
            .doc("The first wait at most; doubled each time."),
        field<&RetryOptions::cap>()
            .range(1, 3'600'000'000)
            .doc("No wait is longer, but for what Retry-After asks."),
        field<&RetryOptions::jitter>().doc("How waits are spread, so that callers don't come back together."),
        field<&RetryOptions::idempotent_only>().doc("Whether only calls that say so are tried again."));
  }
  void validate(Violations& faults) const;
};
HOLDFAST_DESCRIBE(RetryOptions, (enabled, tries, base, cap, jitter, idempotent_only, budget))

enum class RetryVerdict : std::uint8_t {
  again,
  not_retryable,   ///< the same call would fail the same way
  not_idempotent,  ///< it may have had its effect
  no_tries_left,
  no_time_left,  ///< the wait would end at the deadline or after it
  budget_exhausted,
};
HOLDFAST_DESCRIBE_ENUM(RetryVerdict, again, not_retryable, not_idempotent, no_tries_left, no_time_left,
                       budget_exhausted)

/// unavailable, deadline_exceeded (of the try: the call's own is seen by no_time_left), and rate_limited
/// where the answer says when to come again.
bool is_retryable(const Error& error) noexcept;

class Retry {
 public:
  struct Moment {
    Instant now{};
    Instant deadline = kNever;
    bool idempotent = false;
    bool retryable = false;  ///< of this error; see is_retryable()
  };
  /// True: wait `delay`, then spend `hold`, then try again.
  struct Decision {
    RetryVerdict verdict = RetryVerdict::not_retryable;
    Duration delay{0};
    RetryBudget::Hold hold;
    explicit operator bool() const noexcept { return verdict == RetryVerdict::again; }
  };

  /// All are borrowed.
  Retry(const RetryOptions& options, RetryBudget& budget, Random& random) noexcept
      : options_(options),
        budget_(budget),
        random_(random),
        backoff_({.base = options.base, .cap = options.cap, .jitter = options.jitter}) {}

  /// A try has failed with `error`. Error::retry_after() overrides the backoff: no try comes earlier, and
  /// the wait is spread behind it.
  Decision next(const Error& error, const Moment& moment) noexcept;

  /// Tries that next() has agreed to, the first included.
  std::uint32_t tries() const noexcept { return tries_; }

 private:
  const RetryOptions& options_;
  RetryBudget& budget_;
  Random& random_;
  Backoff backoff_;
  std::uint32_t tries_ = 1;
};

}  // namespace holdfast::resilience
