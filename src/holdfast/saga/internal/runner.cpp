#include "holdfast/saga/internal/runner.hpp"

#include <algorithm>
#include <utility>

namespace holdfast::saga::internal {
namespace {

using detail::PlannedStep;
using detail::StepKind;

constexpr std::int64_t kMaxHistoryBytes = 64 * 1024;  // from here on, failed attempts are no longer told
constexpr int kMaxHeardAtOnce = 100;
constexpr Duration kFirstPause = std::chrono::milliseconds(50);
constexpr Duration kLongestPause = std::chrono::seconds(1);

Context context_of(const Desk& desk, const Instance& saga, runtime::CancellationToken cancellation) {
  const auto starter = observe::parse_traceparent(saga.traceparent);
  Context::Request request;
  request.cancellation = std::move(cancellation);
  request.trace =
      starter ? starter->child(desk.runtime.random()) : observe::TraceContext::start(desk.runtime.random());
  request.request_id = saga.request_id;
  return desk.runtime.context().for_request(std::move(request));
}

std::string_view word_for(Ended how, bool undoing) {
  if (undoing) return how == Ended::done ? "undone" : "undo_failed";
  switch (how) {
    case Ended::done: return "done";
    case Ended::refused:
    case Ended::failed_for_good: return "failed";
    case Ended::unknown: return "outcome_unknown";
    case Ended::failed: break;
  }
  return "attempt_failed";
}

}  // namespace

Runner::Runner(Desk& desk, Committer& committer, Instance& saga, runtime::CancellationToken cancellation)
    : desk_(desk),
      committer_(committer),
      saga_(saga),
      metrics_(desk.metrics_of(*saga.plan)),
      ctx_(context_of(desk, saga, std::move(cancellation))) {}

void Runner::run() noexcept {
  try {
    while (may_go_on() && saga_.at.due(desk_.wall_now()) && advance()) {
    }
    if (!saga_.at.ended()) desk_.note_due(*saga_.at.due_at);
  } catch (const Died&) {
  } catch (const std::bad_alloc&) {
    desk_.logger.error(ctx_, "no memory to carry a saga on; it is taken up again", {{"sagaId", saga_.id}});
  } catch (...) {
    if (!ctx_.cancelled()) give_up(outcome_of_exception(false).error);
  }
}

void Runner::give_up(const std::string& why) noexcept {
  try {
    Progress next = parked(saga_.at, "It could not be carried on: " + why);
    if (acted_ && !next.undoing()) next.may_have_happened = true;
    turn(std::move(next));
  } catch (const Died&) {
  } catch (...) {
    desk_.logger.error(
        ctx_, "a saga's run ended with an error; it is taken up again",
        {{"sagaId", saga_.id}, {"error", why}, {"thenError", outcome_of_exception(false).error}});
  }
}

bool Runner::may_go_on() const {
  return !desk_.stopping && !desk_.stalled && desk_.leased() && desk_.roster.holds(saga_.bucket, saga_.fence);
}

bool Runner::advance() {
  if (saga_.cancel_reason && saga_.at.revocable && !saga_.at.undoing()) return cancel();
  std::optional<runtime::Permit> alone;
  if (saga_.suspect) {
    // Those that are here by accident, since they ran beside the one that kills, get through alone.
    if (saga_.at.starts >= 2)
      alone.emplace(desk_.alone, ctx_, "running alone a saga that may end the process");
    if (!saga_.announced && !announce()) return false;
    if (saga_.at.status == Status::parked) return true;
  }
  try {
    saga_.state_for_use();
  } catch (const Error& error) {
    return park(std::string("Its state can't be read by this release: ") + error.what());
  }
  const PlannedStep& step = planned();
  const bool untouched = !saga_.at.undoing() && saga_.at.attempts == 0 && !saga_.at.may_have_happened;
  if (untouched && step.only_if && !step.only_if(saga_.state_for_use())) return go_past();
  if (saga_.at.undoing()) return step.undo ? run_outside(step.undo) : run_local(step.local_undo);
  switch (step.kind) {
    case StepKind::outside: return run_outside(step.act);
    case StepKind::wait: return run_wait();
    case StepKind::local:
    case StepKind::given: break;
  }
  return run_local(step.local_act);
}

bool Runner::announce() {
  Progress next = saga_.at;
  ++next.starts;
  if (planned().kind == StepKind::outside && !next.undoing()) next.may_have_happened = true;
  const std::string why =
      "The process ended " + std::to_string(saga_.at.starts) + " times while it was at this step.";
  const bool too_often = next.starts > desk_.options.max_interruptions;
  if (too_often) next = parked(next, why);
  std::string lines;
  append_line(lines, desk_.wall_now(), {.what = "interrupted", .step = planned().name});
  append_turn(lines, next);
  Recording recording{.saga = saga_, .decision = {std::move(next), saga_.state_json, std::move(lines)}};
  const Progress before = saga_.at;
  if (!record(recording)) return false;
  if (saga_.at.status == Status::parked) observe(before, {});
  return true;
}

bool Runner::cancel() { return turn(turned_back(saga_.at, *saga_.cancel_reason)); }

/// Cancelled at a step that it did not come to just now, its act may have been begun: by a worker that died,
/// or by one that does not know yet that its lease is over. So that is undone too, whoever remembers it.
Progress Runner::turned_back(Progress at, const std::string& why) const {
  const bool was_here = at.step == saga_.at.step && !at.undoing();
  if (was_here && planned().kind == StepKind::outside) at.may_have_happened = true;
  return cancelled(*saga_.plan, at, why, desk_.wall_now());
}

bool Runner::park(const std::string& why) { return turn(parked(saga_.at, why)); }

/// Records a change of course without an act.
bool Runner::turn(Progress next) {
  const Progress before = saga_.at;
  std::string lines;
  append_turn(lines, next);
  Recording recording{.saga = saga_, .decision = {std::move(next), saga_.state_json, std::move(lines)}};
  if (!record(recording)) return false;
  observe(before, {});
  return true;
}

bool Runner::run_outside(const detail::Outside& act) {
  Call given = call(saga_.state_for_use());
  Outcome outcome;
  desk_.pass(sites().before_act);
  const Instant began = desk_.clock().now();
  const Context bounded = ctx_.with_timeout(planned().options.timeout);
  // After the deadline is set: whoever stands still from here on for longer than that sends nothing.
  if (!may_go_on()) return false;
  given.first_try = std::exchange(arrived_, false);
  acted_ = true;
  try {
    act(bounded, given);
  } catch (const Died&) {
    throw;
  } catch (...) {
    outcome = outcome_of_exception(false);
  }
  const Duration took = desk_.clock().now() - began;
  desk_.pass(sites().after_act);
  // Cut short from here, not by the other side: whoever takes the saga up runs the act again.
  if (outcome.how != Ended::done && ctx_.cancelled()) return cut_short();

  // Decided here as far as possible: what the transaction does, everybody else's waits for.
  Recording recording{
      .saga = saga_,
      .decision = past_unneeded(decision_after(outcome, saga_.plan->write(given.state), took))};
  const bool goes_on = runs_within(recording.decision.next);
  const Decision done = given.records.empty() && !goes_on ? Decision{} : recording.decision;
  if (outcome.how == Ended::done && (!given.records.empty() || goes_on)) {
    recording.decide = [&](sql::Transaction& tx) {
      for (const auto& body : given.records) body(tx);
      return go_on(tx, done);
    };
    recording.failed = [&](Outcome failure) {
      failure.local = false;  // the act itself has happened
      return decision_after(failure, done.state, took);
    };
  }
  const Progress before = saga_.at;
  if (!record(recording)) return false;
  observe(before, took);
  return true;
}

/// Whoever takes the saga up runs the act again, or undoes it: it may have happened. Never goes on.
bool Runner::cut_short() {
  if (saga_.at.undoing() || saga_.at.may_have_happened) return false;
  Progress next = saga_.at;
  next.may_have_happened = true;
  Recording recording{.saga = saga_, .decision = {std::move(next), saga_.state_json, {}}};
  record(recording);
  return false;
}

bool Runner::run_local(const detail::Local& act) {
  const Context bounded = ctx_.with_timeout(planned().options.timeout);
  const Instant began = desk_.clock().now();
  desk_.pass(sites().before_act);
  Recording recording{.saga = saga_};
  recording.decide = [&](sql::Transaction& tx) {
    const auto state = saga_.plan->copy(saga_.state.get());
    Call given = call(state.get());
    act(bounded, tx, given);
    for (const auto& body : given.records) body(tx);
    desk_.pass(sites().after_act);
    return go_on(tx, decision_after({}, saga_.plan->write(state.get()), desk_.clock().now() - began));
  };
  recording.failed = [&](const Outcome& failure) {
    return decision_after(failure, saga_.state_json, desk_.clock().now() - began);
  };
  const Progress before = saga_.at;
  if (!record(recording)) return false;
  observe(before, desk_.clock().now() - began);
  return true;
}

bool Runner::run_wait() {
  const PlannedStep& step = planned();
  const Context bounded = ctx_.with_timeout(step.options.timeout);
  desk_.pass(sites().before_act);
  Recording recording{.saga = saga_};
  recording.decide = [&](sql::Transaction& tx) {
    const auto state = saga_.plan->copy(saga_.state.get());
    Call given = call(state.get());
    const WallTime now = desk_.wall_now();
    std::string lines;
    for (int heard = 0; heard < kMaxHeardAtOnce; ++heard) {
      const auto signal = first_signal(tx, saga_.id, step.event);
      if (!signal) break;
      const Heard made = step.on_event(bounded, tx, given, JsonText::trusted(signal->payload));
      forget_signal(tx, signal->position);
      append_line(lines, now, {.what = "heard", .step = step.name});
      if (made == Heard::keep_waiting) continue;
      desk_.pass(sites().after_act);
      Decision decided = decision_after({}, saga_.plan->write(state.get()), {});
      decided.lines.insert(0, lines);
      return go_on(tx, std::move(decided));
    }
    const bool late = saga_.at.wait_until && now >= *saga_.at.wait_until;
    if (late) {
      step.local_act(bounded, tx, given);
      append_line(lines, now, {.what = "deadline", .step = step.name});
      desk_.pass(sites().after_act);
      Decision decided = decision_after({}, saga_.plan->write(state.get()), {});
      decided.lines.insert(0, lines);
      return go_on(tx, std::move(decided));
    }
    Progress next = saga_.at;
    next.status = Status::waiting;
    next.attempts = 0;
    next.starts = 0;
    next.due_at = saga_.at.wait_until.value_or(kFarFuture);
    return Decision{std::move(next), saga_.plan->write(state.get()), std::move(lines)};
  };
  recording.failed = [&](const Outcome& failure) { return decision_after(failure, saga_.state_json, {}); };
  const Progress before = saga_.at;
  if (!record(recording)) return false;
  observe(before, {});
  return true;
}

bool Runner::go_past() {
  Recording recording{.saga = saga_,
                      .decision = past_unneeded({.next = saga_.at, .state = saga_.state_json, .lines = {}})};
  const Decision done = recording.decision;
  if (runs_within(done.next)) {
    recording.decide = [&](sql::Transaction& tx) { return go_on(tx, done); };
    recording.failed = [&](const Outcome&) { return done; };
  }
  return record(recording);
}

bool Runner::runs_within(const Progress& next) const {
  if (next.undoing() || next.ended() || next.status == Status::parked || next.attempts > 0) return false;
  const PlannedStep& step = saga_.plan->steps[static_cast<std::size_t>(next.step)];
  return step.kind == StepKind::local && !step.options.pivot;
}

Recording::Decision Runner::past_unneeded(Decision decided) const {
  const detail::Plan& plan = *saga_.plan;
  std::shared_ptr<void> state;
  for (Progress& next = decided.next;
       !next.undoing() && !next.ended() && next.status != Status::parked && next.attempts == 0;) {
    const PlannedStep& step = plan.steps[static_cast<std::size_t>(next.step)];
    if (!step.only_if) break;
    if (!state) state = plan.parse(decided.state);
    if (step.only_if(state.get())) {
      if (next.status == Status::waiting && next.step != saga_.at.step)
        append_line(decided.lines, desk_.wall_now(), {.what = "waiting", .step = step.name});
      break;
    }
    append_line(decided.lines, desk_.wall_now(), {.what = "not_needed", .step = step.name});
    next = past(plan, next, desk_.wall_now());
  }
  return decided;
}

Recording::Decision Runner::go_on(sql::Transaction& tx, Decision decided) const {
  std::shared_ptr<void> state;
  for (decided = past_unneeded(std::move(decided)); runs_within(decided.next);
       decided = past_unneeded(std::move(decided))) {
    if (!state) state = saga_.plan->parse(decided.state);
    if (!run_within(tx, decided, state)) break;
  }
  return decided;
}

bool Runner::run_within(sql::Transaction& tx, Decision& decided, std::shared_ptr<void>& state) const {
  const PlannedStep& step = saga_.plan->steps[static_cast<std::size_t>(decided.next.step)];
  const StepMetrics& names = metrics_.steps[static_cast<std::size_t>(decided.next.step)];
  const Instant began = desk_.clock().now();
  desk_.pass(names.act.before_act);
  try {
    tx.savepoint([&] {
      auto own = saga_.plan->copy(state.get());
      Call given = call(own.get());
      given.step = &step.name;
      given.attempt = 1;
      step.local_act(ctx_.with_timeout(step.options.timeout), tx, given);
      for (const auto& body : given.records) body(tx);
      decided.state = saga_.plan->write(own.get());
      state = std::move(own);
    });
  } catch (const sql::DatabaseError&) {
    throw;  // it may be the whole transaction that is in trouble
  } catch (const std::exception&) {
    return false;
  }
  desk_.pass(names.act.after_act);
  append_line(decided.lines, desk_.wall_now(),
              {.what = "done", .step = step.name, .attempt = 1, .took = desk_.clock().now() - began});
  decided.next = past(*saga_.plan, decided.next, desk_.wall_now());
  return true;
}

Call Runner::call(void* state) const {
  return {.saga_id = &saga_.id,
          .saga_key = &saga_.key,
          .step = &planned().name,
          .reason = &saga_.at.reason,
          .reason_detail = &saga_.at.detail,
          .attempt = saga_.at.attempts + 1,
          .compensating = saga_.at.undoing(),
          .interrupted = saga_.at.starts > 0,
          .state = state,
          .records = {}};
}

const PlannedStep& Runner::planned() const {
  return saga_.plan->steps[static_cast<std::size_t>(saga_.at.step)];
}

const SiteNames& Runner::sites() const { return saga_.at.undoing() ? metrics().undo : metrics().act; }

const StepMetrics& Runner::metrics() const { return metrics_.steps[static_cast<std::size_t>(saga_.at.step)]; }

Recording::Decision Runner::decision_after(const Outcome& outcome, std::string state, Duration took) const {
  Progress next = after(*saga_.plan, saga_.at, outcome, desk_.wall_now(), desk_.runtime.random());
  std::string lines;
  append_outcome(lines, outcome, took);
  append_turn(lines, next);
  return {.next = std::move(next), .state = std::move(state), .lines = std::move(lines)};
}

void Runner::append_outcome(std::string& lines, const Outcome& outcome, Duration took) const {
  const bool told = outcome.how == Ended::done || saga_.history_bytes < kMaxHistoryBytes;
  if (!told) return;
  append_line(lines, desk_.wall_now(),
              {.what = word_for(outcome.how, saga_.at.undoing()),
               .step = planned().name,
               .attempt = saga_.at.attempts + 1,
               .took = took,
               .error = outcome.error});
}

/// What is worth a line beside the outcome itself.
void Runner::append_turn(std::string& lines, const Progress& next) const {
  const WallTime now = desk_.wall_now();
  if (next.undoing() && !saga_.at.undoing()) {
    const std::string why = next.reason + ": " + next.detail;
    append_line(lines, now,
                {.what = next.reason == "cancelled" ? "cancel_seen" : "compensating", .error = why});
  }
  if (next.status == saga_.at.status && next.step == saga_.at.step) return;
  const bool certain = next.ended() || !saga_.plan->steps[static_cast<std::size_t>(next.step)].only_if;
  if (next.status == Status::waiting && certain)  // else past_unneeded() decides
    append_line(lines, now, {.what = "waiting", .step = step_name(*saga_.plan, next)});
  if (next.status == Status::parked)
    append_line(lines, now, {.what = "parked", .step = step_name(*saga_.plan, next), .error = next.error});
}

bool Runner::record(Recording& recording) {
  recording.on_cancel = [&](const Decision& decided, const std::string& why) {
    Progress next = turned_back(decided.next, why);
    std::string lines = decided.lines;
    append_turn(lines, next);
    return Decision{std::move(next), decided.state, std::move(lines)};
  };
  const auto from = static_cast<std::size_t>(saga_.at.step);
  const std::string& site = sites().after_commit;
  for (Duration pause = kFirstPause;; pause = std::min(pause * 2, kLongestPause)) {
    committer_.record(recording);
    if (recording.result == Recording::Result::saved) break;
    if (recording.result == Recording::Result::lost) {
      desk_.fence_refused.add();
      desk_.logger.warn(ctx_, "a saga has changed hands; this result came too late", {{"sagaId", saga_.id}});
      desk_.roster.wake(saga_.id, saga_.bucket);  // it is looked at afresh, should it be ours
      return false;
    }
    if (desk_.abandoned || !desk_.roster.holds(saga_.bucket, saga_.fence)) return false;
    desk_.logger.warn(ctx_, "a saga's step could not be recorded; it is tried again",
                      {{"sagaId", saga_.id}, {"error", recording.store_error}});
    runtime::sleep_for(ctx_, pause);
  }
  acted_ = false;
  arrived_ =
      !saga_.at.undoing() && !saga_.at.may_have_happened && static_cast<std::size_t>(saga_.at.step) != from;
  desk_.pass(site);
  if (saga_.at.undoing()) return true;
  for (std::size_t i = from + 1; i < static_cast<std::size_t>(saga_.at.step); ++i) {
    if (saga_.plan->steps[i].kind == StepKind::local) desk_.pass(metrics_.steps[i].act.after_commit);
  }
  return true;
}

void Runner::observe(const Progress& before, Duration took) {
  const Progress& now = saga_.at;
  const StepMetrics& step = metrics_.steps[static_cast<std::size_t>(before.step)];
  saga_.suspect = false;
  if (took > Duration(0)) step.seconds.observe(took);
  const bool failed = !now.error.empty() || (now.undoing() && !before.undoing());
  if (failed) step.failed.add();
  if (failed && !now.ended() && now.attempts == 1 && now.status != Status::parked) {
    desk_.logger.warn(ctx_, "a saga's step failed; it is tried again",
                      {{"sagaId", saga_.id},
                       {"definition", saga_.plan->name},
                       {"step", step_name(*saga_.plan, now)},
                       {"error", now.error}});
  }
  if (now.status == Status::parked) {
    metrics_.parked.add();
    desk_.logger.error(ctx_, "a saga is parked: it needs a person",
                       {{"sagaId", saga_.id},
                        {"definition", saga_.plan->name},
                        {"step", step_name(*saga_.plan, now)},
                        {"error", now.error}});
  }
  if (now.undoing() && !before.undoing()) {
    desk_.logger.warn(ctx_, "a saga is being compensated",
                      {{"sagaId", saga_.id}, {"definition", saga_.plan->name}, {"reason", now.reason}});
  }
  if (!now.ended()) return;
  const auto age = std::chrono::duration_cast<Duration>(desk_.wall_now() - saga_.started_at);
  metrics_.seconds.observe(age);
  (now.status == Status::completed ? metrics_.completed : metrics_.compensated).add();
  desk_.logger.debug(
      ctx_, "a saga has ended",
      {{"sagaId", saga_.id}, {"definition", saga_.plan->name}, {"status", enum_name(now.status)}});
}

}  // namespace holdfast::saga::internal
