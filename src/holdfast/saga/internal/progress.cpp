#include "holdfast/saga/internal/progress.hpp"

#include <algorithm>
#include <exception>
#include <utility>

#include "holdfast/base/utf8.hpp"

namespace holdfast::saga::internal {
namespace {

using detail::Plan;
using detail::PlannedStep;
using detail::StepKind;

constexpr std::size_t kMaxErrorBytes = 1000;

const PlannedStep& step_at(const Plan& plan, int step) { return plan.steps[static_cast<std::size_t>(step)]; }

std::string shortened(std::string text) {
  text.resize(utf8_prefix(text, kMaxErrorBytes).size());
  return text;
}

bool may_pass(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::unavailable:
    case ErrorCode::rate_limited:
    case ErrorCode::deadline_exceeded:
    case ErrorCode::cancelled:
    case ErrorCode::internal: return true;
    default: return false;
  }
}

bool pivot_before(const Plan& plan, int step) {
  for (int i = 0; i < step; ++i) {
    if (step_at(plan, i).options.pivot) return true;
  }
  return false;
}

WallTime later(WallTime now, Duration by) { return now + std::chrono::ceil<std::chrono::microseconds>(by); }

WallTime next_attempt(const RetryOptions& retry, int failed, const Outcome& outcome, WallTime now,
                      Random& random) {
  const auto number = static_cast<std::uint32_t>(failed - 1);
  Duration wait = resilience::backoff_delay(retry.backoff, number, random,
                                            resilience::backoff_ceiling(retry.backoff, number));
  if (outcome.retry_after) wait = std::max(wait, *outcome.retry_after);
  return later(now, wait);
}

/// Forward, at `step`.
Progress arrive(const Plan& plan, const Progress& from, int step, WallTime now) {
  Progress next;
  next.step = step;
  next.due_at =
      from.due_at && *from.due_at <= now ? *from.due_at : now;  // unchanged: its index stays as it is
  if (step == static_cast<int>(plan.steps.size())) {
    next.status = Status::completed;
    next.due_at.reset();
    next.revocable = false;
    return next;
  }
  const PlannedStep& planned = step_at(plan, step);
  next.revocable = !planned.options.pivot && !pivot_before(plan, step);
  if (planned.kind == StepKind::wait) {
    next.status = Status::waiting;
    if (planned.deadline) next.wait_until = later(now, *planned.deadline);
    next.due_at = next.wait_until.value_or(kFarFuture);
  }
  return next;
}

/// Backward: the first step from `step` down that has something to undo.
Progress undo_from(const Plan& plan, const Progress& from, int step, WallTime now) {
  Progress next;
  next.reason = from.reason;
  next.detail = from.detail;
  next.revocable = false;
  while (step >= 0 && !step_at(plan, step).has_undo()) --step;
  next.step = step;
  if (step < 0) {
    next.step = static_cast<int>(plan.steps.size());
    next.status = Status::compensated;
    return next;
  }
  next.status = Status::compensating;
  next.due_at = from.due_at && *from.due_at <= now ? *from.due_at : now;
  return next;
}

Progress begin_undoing(const Plan& plan, Progress from, bool own_too, std::string reason, std::string detail,
                       WallTime now) {
  from.reason = reason.empty() ? "failed" : std::move(reason);
  from.detail = std::move(detail);
  return undo_from(plan, from, own_too ? from.step : from.step - 1, now);
}

Progress after_undo(const Plan& plan, const Progress& at, const Outcome& outcome, WallTime now,
                    Random& random) {
  if (outcome.how == Ended::done) return undo_from(plan, at, at.step - 1, now);
  Progress next = at;
  next.error = outcome.error;
  next.starts = 0;
  ++next.attempts;
  const RetryOptions& retry = step_at(plan, at.step).options.compensation_retry;
  const bool hopeless = outcome.how == Ended::refused || outcome.how == Ended::failed_for_good;
  if (hopeless || next.attempts >= retry.attempts) return parked(next, outcome.error);
  next.due_at = next_attempt(retry, next.attempts, outcome, now, random);
  return next;
}

}  // namespace

Outcome outcome_of_exception(bool local) {
  Outcome outcome{.how = Ended::failed, .local = local};
  try {
    throw;
  } catch (const Failure& failure) {
    outcome.how = Ended::refused;
    outcome.reason = failure.reason();
    outcome.detail = failure.detail();
    outcome.error = failure.what();
  } catch (const OutcomeUnknown& unknown) {
    outcome.how = Ended::unknown;
    outcome.reason = unknown.reason();
    outcome.detail = unknown.detail();
    outcome.error = unknown.what();
    outcome.retry_after = unknown.retry_after();
  } catch (const Error& error) {
    outcome.how = may_pass(error.code()) ? Ended::failed : Ended::failed_for_good;
    outcome.reason = error.reason();
    outcome.detail = error.detail();
    outcome.error = error.what();
    outcome.retry_after = error.retry_after();
  } catch (const std::exception& error) {
    outcome.reason = "internal";
    outcome.detail = "The step failed for a reason of this service's own.";
    outcome.error = error.what();
  } catch (...) {
    outcome.reason = "internal";
    outcome.detail = "The step failed for a reason of this service's own.";
    outcome.error = "an exception that is no std::exception";
  }
  outcome.error = shortened(std::move(outcome.error));
  outcome.detail = shortened(std::move(outcome.detail));
  return outcome;
}

Progress beginning(const Plan& plan, WallTime now) {
  Progress from;
  from.due_at = now;
  const bool given = plan.steps.front().kind == StepKind::given;
  return arrive(plan, from, given ? 1 : 0, now);
}

Progress after(const Plan& plan, const Progress& at, const Outcome& outcome, WallTime now, Random& random) {
  if (at.undoing()) return after_undo(plan, at, outcome, now, random);
  if (outcome.how == Ended::done) return arrive(plan, at, at.step + 1, now);
  Progress next = at;
  next.error = outcome.error;
  next.starts = 0;
  ++next.attempts;
  const PlannedStep& planned = step_at(plan, at.step);
  const bool passes = outcome.how == Ended::failed || outcome.how == Ended::unknown;
  if (passes && !outcome.local) next.may_have_happened = true;
  if (outcome.how == Ended::refused) next.may_have_happened = false;
  if (passes && next.attempts < planned.options.retry.attempts) {
    next.due_at = next_attempt(planned.options.retry, next.attempts, outcome, now, random);
    return next;
  }
  const bool no_way_back = pivot_before(plan, at.step) || (planned.options.pivot && next.may_have_happened);
  if (no_way_back) return parked(next, outcome.error);
  return begin_undoing(plan, next, next.may_have_happened, outcome.reason, outcome.detail, now);
}

Progress past(const Plan& plan, const Progress& at, WallTime now) {
  return arrive(plan, at, at.step + 1, now);
}

Progress cancelled(const Plan& plan, const Progress& at, const std::string& why, WallTime now) {
  if (at.undoing()) return at;
  return begin_undoing(plan, at, at.may_have_happened, "cancelled", why, now);
}

Progress parked(const Progress& at, std::string error) {
  Progress next = at;
  next.status = Status::parked;
  next.error = std::move(error);
  next.due_at = kFarFuture;
  return next;
}

const std::string& step_name(const Plan& plan, const Progress& at) noexcept {
  static const std::string kNone;
  if (at.step < 0 || at.step >= static_cast<int>(plan.steps.size())) return kNone;
  return step_at(plan, at.step).name;
}

}  // namespace holdfast::saga::internal
