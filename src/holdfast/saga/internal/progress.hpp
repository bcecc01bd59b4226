// Where a saga is, and where each outcome takes it. Pure functions of what they are given: the engine
// asks them inside the transaction that records the answer.
#pragma once

#include <optional>
#include <string>

#include "holdfast/base/random.hpp"
#include "holdfast/saga/definition.hpp"
#include "holdfast/saga/records.hpp"

namespace holdfast::saga::internal {

/// The due time of what waits for a person, or for an event without a deadline: 9999-12-31.
inline constexpr WallTime kFarFuture{std::chrono::microseconds(253'402'214'400'000'000)};

struct Progress {
  Status status = Status::running;
  int step = 0;                          ///< index of the one it is at; the number of steps at the end
  int attempts = 0;                      ///< of it, or of its compensation, that failed in a row
  bool may_have_happened = false;        ///< an attempt of the step ended so that nobody knows
  int starts = 0;                        ///< times it was begun since the process died in it
  bool revocable = true;                 ///< a cancel is accepted
  std::optional<WallTime> due_at{};      ///< none: it has ended
  std::optional<WallTime> wait_until{};  ///< the deadline of the wait it is in
  std::string reason{};                  ///< set from the moment compensation begins
  std::string detail{};
  std::string error{};  ///< of the last failed attempt

  bool undoing() const noexcept { return !reason.empty(); }
  bool ended() const noexcept { return !due_at; }
  /// Something is to be done now.
  bool due(WallTime now) const noexcept { return due_at && *due_at <= now && status != Status::parked; }
};

enum class Ended : std::uint8_t {
  done,
  failed_for_good,  ///< an Error that trying again won't change
  refused,          ///< a Failure: it says that it has not happened
  failed,           ///< may pass
  unknown,          ///< OutcomeUnknown
};

struct Outcome {
  Ended how = Ended::done;
  bool local = false;  ///< what failed was undone with its transaction
  std::string reason{};
  std::string detail{};  ///< for whoever reads the saga's reason
  std::string error{};   ///< all that is known, for operators
  std::optional<Duration> retry_after{};
};

/// What the exception at hand means; call it inside a catch.
Outcome outcome_of_exception(bool local);

/// The first step of `plan`, at `now`.
Progress beginning(const detail::Plan& plan, WallTime now);

/// What follows from the outcome of the act, the wait or the compensation that `at` stands at.
Progress after(const detail::Plan& plan, const Progress& at, const Outcome& outcome, WallTime now,
               Random& random);

/// At the step after the one that `at` stands at, which this saga goes past.
Progress past(const detail::Plan& plan, const Progress& at, WallTime now);

/// A cancel was accepted: compensation begins, unless it has begun already. What has just completed is
/// compensated like the rest.
Progress cancelled(const detail::Plan& plan, const Progress& at, const std::string& why, WallTime now);

/// For a person: `at` with an explanation.
Progress parked(const Progress& at, std::string error);

/// The name of the step it is at; empty at the end.
const std::string& step_name(const detail::Plan& plan, const Progress& at) noexcept;

}  // namespace holdfast::saga::internal
