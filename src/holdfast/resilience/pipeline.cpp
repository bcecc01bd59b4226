#include "holdfast/resilience/pipeline.hpp"

#include <algorithm>
#include <limits>

#include "holdfast/base/violations.hpp"
#include "holdfast/runtime/fiber.hpp"

namespace holdfast::resilience {

namespace {

constexpr std::size_t kRefusals = 7;
constexpr Duration kBusyRetryAfter = std::chrono::milliseconds(100);  // places of a bulkhead come free soon

PipelineOptions checked(const PipelineOptions& options) {
  Violations faults;
  options.timeout.validate(faults);
  options.retry.validate(faults);
  options.breaker.validate(faults);
  faults.throw_if_any();
  return options;
}

BulkheadOptions places(BulkheadOptions options) {
  // Without a limit it still counts what is in flight.
  if (!options.enabled) options.concurrent = std::numeric_limits<std::uint32_t>::max() / 2;
  return options;
}

RefusedBy refused_by(BreakerState state) noexcept {
  switch (state) {
    case BreakerState::forced_open: return RefusedBy::breaker_forced_open;
    case BreakerState::half_open: return RefusedBy::breaker_half_open;
    default: return RefusedBy::breaker_open;
  }
}

bool may_wait() noexcept { return runtime::on_fiber() && runtime::NoWaitScope::current() == nullptr; }

std::string_view policy_of(RefusedBy by) noexcept {
  switch (by) {
    case RefusedBy::bulkhead_full:
    case RefusedBy::bulkhead_wait_over: return "bulkhead";
    case RefusedBy::rate_limit_reached: return "limit";
    case RefusedBy::recovering: return "recovery";
    default: return "breaker";
  }
}

}  // namespace

void TimeoutOptions::validate(Violations& faults) const {
  if (attempt > total) faults.add_at("/attempt", "out_of_range", "can't be longer than total");
}

Verdict verdict_of(const Error& error) noexcept {
  switch (error.code()) {
    case ErrorCode::unavailable:
    case ErrorCode::deadline_exceeded:
    case ErrorCode::internal: return Verdict::failure;
    case ErrorCode::cancelled: return Verdict::neither;
    default: return Verdict::success;
  }
}

Pipeline::Pipeline(std::string name, const PipelineOptions& options, const PipelineParts& parts,
                   PipelineJudgements judgements)
    : name_(std::move(name)),
      options_(checked(options)),
      clock_(parts.clock),
      random_(parts.random),
      logger_(parts.logger),
      judgements_(std::move(judgements)),
      total_(options.timeout.total),
      attempt_(options.timeout.attempt),
      breaker_(options.breaker, parts.random, parts.clock.now(),
               [this](const BreakerTransition& transition) { tell(transition); }),
      budget_(options.retry.budget, parts.clock.now()),
      bulkhead_(places(options.bulkhead), name_.c_str()),
      recovery_(options.recovery) {
  if (options.limit.enabled) {
    limit_.emplace(RateOptions{
        .requests = options.limit.requests, .window = options.limit.window, .burst = options.limit.burst});
  }
  if (!options.breaker.enabled) breaker_.force_closed(clock_.now());
  add_metrics(parts.metrics);
}

Pipeline::~Pipeline() = default;

bool Pipeline::begin(Course& course) noexcept {
  if (breaker_.state() != BreakerState::closed) [[unlikely]] {
    const Duration left = breaker_.refuses_for(clock_.coarse_now());
    if (left > Duration(0)) {
      refuse(course, refused_by(breaker_.state()), left);
      count(kRefusedCalls);
      return false;
    }
  }
  course.now = clock_.now();
  if (recovery_.observes(course.now)) [[unlikely]]
    recovery_.observe(course.now, counted(kSucceeded) + counted(kAnswered));
  course.deadline = std::min(course.ctx.deadline(), course.now + total_);
  return true;
}

bool Pipeline::ended(Course& course) {
  if (course.now < course.deadline && !course.ctx.cancelled()) [[likely]]
    return false;
  if (!course.error) {
    course.error.emplace(course.ctx.cancelled() ? ErrorCode::cancelled : ErrorCode::deadline_exceeded,
                         "The time for asking " + name_ + " was over before it was asked.");
  }
  return true;
}

bool Pipeline::enter(Course& course) {
  if (ended(course)) return false;
  course.permit.emplace(breaker_.try_enter(course.now));
  if (!*course.permit) [[unlikely]] {
    return refuse(course, refused_by(course.permit->refused_by()), course.permit->retry_after());
  }
  if (recovery_.active()) [[unlikely]] {
    const Duration wait = recovery_.take_one(course.now);
    if (wait > Duration(0)) return refuse(course, RefusedBy::recovering, wait);
  }
  course.place.emplace(bulkhead_.try_enter());
  if (!*course.place) [[unlikely]] {
    if (!wait_in_line(course)) return false;
  }
  if (limit_) {
    const Duration wait = limit_->take_one(limit_state_, course.now);
    if (wait > Duration(0)) return refuse(course, RefusedBy::rate_limit_reached, wait);
  }
  const auto mine = cells_.mine();
  mine.add(mine.cells.counts[kAttempts]);
  if (++course.tries == 1) {
    budget_.call();
  } else {
    mine.add(mine.cells.counts[kRetries]);
  }
  return true;
}

bool Pipeline::wait_in_line(Course& course) {
  if (!may_wait()) return refuse(course, RefusedBy::bulkhead_full, kBusyRetryAfter);
  course.place.reset();
  try {
    course.place.emplace(bulkhead_.enter(course.ctx.with_deadline(course.deadline)));
  } catch (const Error& error) {  // the caller has gone, or its time is over
    course.permit.reset();
    if (!course.error) course.error = error;
    return false;
  }
  if (!*course.place) {
    const bool full = course.place->refusal() == BulkheadRefusal::full;
    return refuse(course, full ? RefusedBy::bulkhead_full : RefusedBy::bulkhead_wait_over, kBusyRetryAfter);
  }
  course.now = clock_.now();
  course.permit->begin(course.now);
  return true;
}

bool Pipeline::refuse(Course& course, RefusedBy by, Duration retry_after) noexcept {
  course.permit.reset();  // without a verdict: nothing was asked
  course.place.reset();
  course.refusal = {by, retry_after};
  const auto mine = cells_.mine();
  mine.add(mine.cells.counts[kFirstRefusal + static_cast<std::size_t>(by)]);
  return false;
}

Instant Pipeline::attempt_deadline(const Course& course) const noexcept {
  return std::min(course.deadline, course.now + attempt_);
}

void Pipeline::succeeded(Course& course) noexcept {
  course.permit->success(std::max(course.now, clock_.coarse_now()));
  course.permit.reset();
  course.place.reset();
  count(kSucceeded);
}

void Pipeline::failed(Course& course, const Error& error) noexcept {
  course.error = error;
  const Instant now = clock_.now();
  switch (judgements_.verdict(error)) {
    case Verdict::failure: course.permit->failure(now); break;
    case Verdict::success: course.permit->success(now); break;
    case Verdict::neither: course.permit->drop(); break;
  }
  course.permit.reset();
  course.place.reset();
}

void Pipeline::broke(Course& course) noexcept {
  course.permit->failure(clock_.now());
  course.permit.reset();
  course.place.reset();
  count(kFailed);
}

bool Pipeline::again(Course& course) {
  if (!may_wait()) return false;
  if (!course.retry) course.retry.emplace(options_.retry, budget_, random_);
  Retry::Decision decision =
      course.retry->next(*course.error, {.now = clock_.now(),
                                         .deadline = course.deadline,
                                         .idempotent = course.options.idempotent,
                                         .retryable = judgements_.retryable(*course.error)});
  if (!decision) {
    if (decision.verdict == RetryVerdict::budget_exhausted) count(kBudgetExhausted);
    return false;
  }
  try {
    runtime::sleep_for(course.ctx, decision.delay);
  } catch (const Error&) {  // the caller has gone; what the try ended with is what is known
    return false;
  }
  decision.hold.spend();
  course.now = clock_.now();
  return true;
}

void Pipeline::give_up(Course& course) noexcept {
  if (!course.error) return count(kRefusedCalls);
  if (course.tries == 0) return count(kCancelled);
  switch (judgements_.verdict(*course.error)) {
    case Verdict::failure: return count(kFailed);
    case Verdict::success: return count(kAnswered);
    case Verdict::neither: return count(kCancelled);
  }
}

void Pipeline::open(std::string_view why) {
  logger_.warn("dependency opened by hand", {{"dependency", name_}, {"why", why}});
  breaker_.force_open(clock_.now());
}

void Pipeline::close(std::string_view why) {
  logger_.warn("dependency closed by hand", {{"dependency", name_}, {"why", why}});
  breaker_.force_closed(clock_.now());
}

void Pipeline::reset(std::string_view why) {
  logger_.info("dependency left to itself", {{"dependency", name_}, {"why", why}});
  if (options_.breaker.enabled) {
    breaker_.reset(clock_.now());
  } else {
    breaker_.force_closed(clock_.now());
  }
}

void Pipeline::tell(const BreakerTransition& transition) {
  if (transition.to == BreakerState::open || transition.to == BreakerState::forced_open) recovery_.outage();
  if (transition.to == BreakerState::closed) recovery_.begin(transition.at);
  if (transition.reason == BreakerReason::by_hand) return;  // told with its reason by who asked for it
  const bool opened = transition.to == BreakerState::open;
  logger_.log(opened ? observe::LogLevel::warn : observe::LogLevel::info, {}, "breaker changed",
              std::initializer_list<observe::LogField>{{"dependency", name_},
                                                       {"from", enum_name(transition.from)},
                                                       {"to", enum_name(transition.to)},
                                                       {"reason", enum_name(transition.reason)},
                                                       {"openFor", transition.open_for},
                                                       {"failureRate", transition.failure_rate},
                                                       {"slowCallRate", transition.slow_call_rate}});
}

std::uint64_t Pipeline::counted(std::size_t what) const noexcept {
  return cells_.sum(
      [what](const Cells& cells) { return cells.counts[what].load(std::memory_order_relaxed); });
}

PipelineView Pipeline::view() const {
  PipelineView view;
  view.breaker = breaker_.view(clock_.now());
  PipelineCounters& counters = view.counters;
  counters = {.succeeded = counted(kSucceeded),
              .answered = counted(kAnswered),
              .failed = counted(kFailed),
              .cancelled = counted(kCancelled),
              .refused = counted(kRefusedCalls),
              .attempts = counted(kAttempts),
              .retries = counted(kRetries),
              .budget_exhausted = counted(kBudgetExhausted)};
  counters.calls =
      counters.succeeded + counters.answered + counters.failed + counters.cancelled + counters.refused;
  for (std::size_t by = 0; by < kRefusals; ++by) view.refusals[by] = counted(kFirstRefusal + by);
  view.in_flight = bulkhead_.running();
  view.queued = bulkhead_.waiting();
  view.retry_budget = budget_.available();
  view.usual_rate = recovery_.usual();
  if (recovery_.active()) view.recovery_rate = recovery_.rate(clock_.now());
  return view;
}

void Pipeline::add_metrics(observe::Metrics& metrics) {
  const auto labels = [this](observe::Labels more = {}) {
    more.emplace_back("dependency", name_);
    return more;
  };
  const auto counter = [&](const char* name, const char* help, observe::Labels more, std::size_t what) {
    observations_.push_back(metrics.observe_counter(
        name, help, labels(std::move(more)), [this, what] { return static_cast<double>(counted(what)); }));
  };
  const auto gauge = [&](const char* name, const char* help, observe::Labels more, auto read) {
    observations_.push_back(metrics.observe_gauge(name, help, labels(std::move(more)), read));
  };
  constexpr const char* kCalls = "holdfast_dependency_calls_total";
  constexpr const char* kCallsHelp = "Calls by how they ended, all their tries together.";
  counter(kCalls, kCallsHelp, {{"outcome", "succeeded"}}, kSucceeded);
  counter(kCalls, kCallsHelp, {{"outcome", "answered"}}, kAnswered);
  counter(kCalls, kCallsHelp, {{"outcome", "failed"}}, kFailed);
  counter(kCalls, kCallsHelp, {{"outcome", "cancelled"}}, kCancelled);
  counter(kCalls, kCallsHelp, {{"outcome", "refused"}}, kRefusedCalls);
  counter("holdfast_dependency_attempts_total", "Tries that were made.", {}, kAttempts);
  counter("holdfast_dependency_retries_total", "Tries after the first of a call.", {}, kRetries);
  counter("holdfast_dependency_retry_budget_exhausted_total", "Retries that the budget did not allow.", {},
          kBudgetExhausted);
  for (std::size_t by = 0; by < kRefusals; ++by) {
    const auto reason = static_cast<RefusedBy>(by);
    counter("holdfast_dependency_refusals_total", "Tries refused before anything was sent.",
            {{"policy", std::string(policy_of(reason))}, {"reason", std::string(enum_name(reason))}},
            kFirstRefusal + by);
  }
  for (const BreakerState state : {BreakerState::closed, BreakerState::half_open, BreakerState::open,
                                   BreakerState::forced_open, BreakerState::forced_closed}) {
    gauge("holdfast_dependency_state", "1 for the breaker's present state.",
          {{"state", std::string(enum_name(state))}},
          [this, state] { return breaker_.state() == state ? 1.0 : 0.0; });
  }
  gauge("holdfast_dependency_in_flight", "Tries on their way.", {},
        [this] { return static_cast<double>(bulkhead_.running()); });
  gauge("holdfast_dependency_recovery_rate",
        "Tries a second that are let through after an outage; 0 where it is not recovering from one.", {},
        [this] { return recovery_.active() ? recovery_.rate(clock_.now()) : 0.0; });
  gauge("holdfast_dependency_queued", "Calls waiting for the bulkhead.", {},
        [this] { return static_cast<double>(bulkhead_.waiting()); });
  observations_.push_back(metrics.observe_counter(
      "holdfast_dependency_opened_total", "Times that the breaker opened.", labels(),
      [this] { return static_cast<double>(breaker_.view(clock_.now()).opened_total); }));
  observations_.push_back(metrics.observe_counter(
      "holdfast_dependency_probes_total", "Calls let through while half-open.", labels(),
      [this] { return static_cast<double>(breaker_.view(clock_.now()).probes_total); }));
}

}  // namespace holdfast::resilience
