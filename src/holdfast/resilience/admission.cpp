#include "holdfast/resilience/admission.hpp"

#include <algorithm>

#include "holdfast/base/error.hpp"
#include "holdfast/base/invariant.hpp"
#include "holdfast/runtime/fiber.hpp"

namespace holdfast::resilience {

namespace {

constexpr Duration kLeastRetryAfter = std::chrono::milliseconds(100);
constexpr Duration kMostRetryAfter = std::chrono::seconds(30);
constexpr int kSmoothing = 16;  // a departure counts 1/16 in the average

}  // namespace

Admission::Admission(const AdmissionOptions& options) : options_(options), slots_(options.max_waiting) {
  if (options.max_running == 0 || options.max_wait < Duration(0)) {
    throw Error(ErrorCode::invalid_argument,
                "Admission needs at least one place and a wait that is not negative.");
  }
  for (std::uint32_t slot = options.max_waiting; slot > 0; --slot) {
    slots_[slot - 1].after = free_;
    free_ = slot - 1;
  }
}

Admission::Decision Admission::try_enter(Instant now) noexcept {
  if (running_ < options_.max_running) {
    require_invariant(
        waiting_ == 0,
        "nobody waits at a gate with free places");  // a place that gets free goes to the line first
    ++running_;
    if (running_ == options_.max_running)
      last_departure_ = now;  // full from here on: departures are measured
    return {.verdict = AdmissionVerdict::admitted};
  }
  if (free_ == kNone) return {.verdict = AdmissionVerdict::refused, .retry_after = retry_after()};
  const std::uint32_t slot = free_;
  free_ = slots_[slot].after;
  slots_[slot] = {.before = last_, .after = kNone, .deadline = now + options_.max_wait, .in_line = true};
  (last_ == kNone ? first_ : slots_[last_].after) = slot;
  last_ = slot;
  ++waiting_;
  return {.verdict = AdmissionVerdict::queued, .ticket = {.slot = slot, .deadline = slots_[slot].deadline}};
}

std::optional<Admission::Ticket> Admission::leave(Instant now) noexcept {
  require_invariant(running_ > 0, "only who entered a gate leaves it");
  if (running_ == options_.max_running) {
    const Duration gap = std::max(Duration(0), now - last_departure_);
    departure_gap_ =
        departure_gap_ == Duration(0) ? gap : departure_gap_ + (gap - departure_gap_) / kSmoothing;
    last_departure_ = now;
  }
  while (first_ != kNone) {
    const std::uint32_t slot = first_;
    const Instant deadline = slots_[slot].deadline;
    remove(slot);
    if (deadline >= now) return Ticket{.slot = slot, .deadline = deadline};  // takes the place that got free
  }
  --running_;
  return std::nullopt;
}

void Admission::abandon(const Ticket& ticket) noexcept {
  require_invariant(slots_[ticket.slot].in_line, "only who waits at a gate gives up waiting");
  remove(ticket.slot);
}

void Admission::remove(std::uint32_t slot) noexcept {
  Slot& gone = slots_[slot];
  (gone.before == kNone ? first_ : slots_[gone.before].after) = gone.after;
  (gone.after == kNone ? last_ : slots_[gone.after].before) = gone.before;
  gone = {.after = free_};
  free_ = slot;
  --waiting_;
}

Duration Admission::retry_after() const noexcept {
  return std::clamp(departure_gap_ * (std::int64_t{waiting_} + 1), kLeastRetryAfter, kMostRetryAfter);
}

AdmissionGate::AdmissionGate(std::string name, const AdmissionOptions& options, const Clock& clock,
                             observe::Metrics& metrics)
    : clock_(clock), admission_(options), waiting_(options.max_waiting) {
  const auto labels = [&](std::string outcome = {}) {
    observe::Labels all{{"gate", name}};
    if (!outcome.empty()) all.emplace_back("outcome", std::move(outcome));
    return all;
  };
  constexpr const char* kTotal = "holdfast_admission_total";
  constexpr const char* kTotalHelp =
      "Entries asked for: admitted, refused at once, or refused after waiting in line.";
  admitted_total_ = metrics.counter(kTotal, kTotalHelp, labels("admitted"));
  refused_total_ = metrics.counter(kTotal, kTotalHelp, labels("refused"));
  expired_total_ = metrics.counter(kTotal, kTotalHelp, labels("expired"));
  wait_seconds_ = metrics.histogram("holdfast_admission_wait_seconds", "Time in line of those who waited.",
                                    labels(), observe::fast_latency_buckets());
  running_ = metrics.observe_gauge("holdfast_admission_running", "Entries at work.", labels(), [this] {
    const std::lock_guard lock(mutex_);
    return static_cast<double>(admission_.running());
  });
  queued_ = metrics.observe_gauge("holdfast_admission_waiting", "Entries in line.", labels(), [this] {
    const std::lock_guard lock(mutex_);
    return static_cast<double>(admission_.waiting());
  });
}

AdmissionGate::~AdmissionGate() {
  require_invariant(admission_.running() == 0 && admission_.waiting() == 0, "a gate outlives its entries");
}

AdmissionGate::Entry AdmissionGate::admitted() {
  admitted_total_.add();
  return Entry(this, Duration(0));
}

AdmissionGate::Entry AdmissionGate::refused(Duration retry_after) {
  refused_total_.add();
  return Entry(nullptr, retry_after);
}

AdmissionGate::Entry AdmissionGate::try_enter() {
  const Instant now = clock_.now();
  std::unique_lock lock(mutex_);
  const Admission::Decision decision = admission_.try_enter(now);
  if (decision.verdict == AdmissionVerdict::queued) admission_.abandon(decision.ticket);
  lock.unlock();
  if (decision.verdict == AdmissionVerdict::admitted) return admitted();
  return refused(decision.verdict == AdmissionVerdict::refused ? decision.retry_after : kLeastRetryAfter);
}

AdmissionGate::Entry AdmissionGate::enter(const Context& ctx) {
  const Instant now = clock_.now();
  bool granted = false;
  std::unique_lock lock(mutex_);
  const Admission::Decision decision = admission_.try_enter(now);
  if (decision.verdict == AdmissionVerdict::queued) {
    waiting_[decision.ticket.slot] = {.waker = runtime::prepare_wait(), .granted = &granted};
  }
  lock.unlock();
  if (decision.verdict == AdmissionVerdict::admitted) return admitted();
  if (decision.verdict == AdmissionVerdict::refused) return refused(decision.retry_after);

  const runtime::Woken woken = runtime::park(ctx.with_deadline(decision.ticket.deadline), "admission");
  wait_seconds_.observe(clock_.now() - now);
  lock.lock();
  if (granted) {  // also where the grant and the end of the wait crossed
    lock.unlock();
    return admitted();
  }
  Waiting& mine = waiting_[decision.ticket.slot];
  // leave() may have dropped an expired ticket, and another may be in line at its slot by now.
  if (mine.granted == &granted && admission_.waiting_at(decision.ticket.slot))
    admission_.abandon(decision.ticket);
  if (mine.granted == &granted) mine = {};
  lock.unlock();
  expired_total_.add();
  if (woken == runtime::Woken::by_cancellation || ctx.deadline() <= decision.ticket.deadline) {
    runtime::throw_unless_event(woken, "admission");
  }
  return Entry(nullptr, std::max(kLeastRetryAfter, admission_.options().max_wait));
}

void AdmissionGate::leave() noexcept {
  const Instant now = clock_.now();
  runtime::Waker waker;
  {
    const std::lock_guard lock(mutex_);
    const std::optional<Admission::Ticket> next = admission_.leave(now);
    if (next) {
      Waiting& waiting = waiting_[next->slot];
      *waiting.granted = true;
      waker = waiting.waker;
      waiting = {};
    }
  }
  if (waker) waker.wake();
}

}  // namespace holdfast::resilience
