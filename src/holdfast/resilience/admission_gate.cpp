// The part of admission.hpp that waits on fibers.
#include <algorithm>

#include "holdfast/base/error.hpp"
#include "holdfast/base/invariant.hpp"
#include "holdfast/resilience/admission.hpp"
#include "holdfast/runtime/fiber.hpp"

namespace holdfast::resilience {
namespace {

constexpr Duration kLeastRetryAfter = std::chrono::milliseconds(100);
constexpr std::array kPriorityNames{"critical", "normal", "background"};

AdaptiveLimitOptions within(AdaptiveLimitOptions options, std::uint32_t max_running) {
  options.max = std::min(options.max, max_running);
  options.initial = std::min(options.initial, options.max);
  options.min = std::min(options.min, options.initial);
  return options;
}

}  // namespace

AdmissionGate::AdmissionGate(std::string name, const AdmissionOptions& options, const Clock& clock,
                             observe::Metrics& metrics)
    : clock_(clock), admission_(options), waiting_(options.max_waiting) {
  if (options.adaptive) {
    adaptive_.emplace(within(*options.adaptive, options.max_running));
    admission_.set_limit(adaptive_->limit());
  }
  for (std::size_t i = 0; i < kPriorities; ++i) {
    const auto total = [&](const char* outcome) {
      return metrics.counter("holdfast_admission_total",
                             "Entries asked for: admitted; refused at once for want of room; shed for their "
                             "priority; pushed out "
                             "of the line by a higher one; or expired in line.",
                             {{"gate", name}, {"outcome", outcome}, {"priority", kPriorityNames[i]}});
    };
    outcomes_[i] = {.admitted = total("admitted"),
                    .refused = total("refused"),
                    .shed = total("shed"),
                    .expired = total("expired"),
                    .pushed_out = total("pushed_out")};
  }
  wait_seconds_ = metrics.histogram("holdfast_admission_wait_seconds", "Time in line of those who waited.",
                                    {{"gate", name}}, observe::fast_latency_buckets());
  const auto gauge = [&](const char* metric, const char* help, std::function<double()> read) {
    observations_.push_back(
        metrics.observe_gauge(metric, help, {{"gate", name}}, [this, read = std::move(read)] {
          const std::lock_guard lock(mutex_);
          return read();
        }));
  };
  gauge("holdfast_admission_running", "Entries at work.",
        [this] { return static_cast<double>(admission_.running()); });
  gauge("holdfast_admission_waiting", "Entries in line.",
        [this] { return static_cast<double>(admission_.waiting()); });
  gauge("holdfast_admission_limit", "Entries that may be at work.",
        [this] { return static_cast<double>(admission_.limit()); });
  gauge("holdfast_admission_shedding_level",
        "0: all may wait; 1: background work may not; 2: only critical work may.",
        [this] { return static_cast<double>(admission_.shedder().level()); });
  gauge("holdfast_admission_baseline_seconds", "What an entry is taken to need without a queue.",
        [this] { return adaptive_ ? std::chrono::duration<double>(adaptive_->baseline()).count() : 0.0; });
}

AdmissionGate::~AdmissionGate() {
  require_invariant(admission_.running() == 0 && admission_.waiting() == 0, "a gate outlives its entries");
}

std::uint32_t AdmissionGate::limit() const noexcept {
  const std::lock_guard lock(mutex_);
  return admission_.limit();
}

AdmissionGate::Entry AdmissionGate::admitted(Priority priority, Instant began, std::uint32_t running) {
  outcomes_[index_of(priority)].admitted.add();
  return Entry(this, began, priority == Priority::background ? 0 : running);
}

AdmissionGate::Entry AdmissionGate::refused(Priority priority, const Admission::Decision& decision) {
  const Outcomes& outcomes = outcomes_[index_of(priority)];
  (decision.shed ? outcomes.shed : outcomes.refused).add();
  return Entry(std::max(kLeastRetryAfter, decision.retry_after));
}

std::optional<Duration> AdmissionGate::turns_away(Priority priority) {
  const Outcomes& outcomes = outcomes_[index_of(priority)];
  const std::lock_guard lock(mutex_);
  if (admission_.has_room_for(priority)) return std::nullopt;
  (admission_.shedder().may_wait(priority) ? outcomes.refused : outcomes.shed).add();
  return std::max(kLeastRetryAfter, admission_.retry_after());
}

AdmissionGate::Entry AdmissionGate::try_enter(Priority priority) {
  const Instant now = clock_.now();
  std::unique_lock lock(mutex_);
  if (admission_.running() >= admission_.shedder().places(priority, admission_.limit())) {
    lock.unlock();
    return refused(priority, {});
  }
  (void)admission_.try_enter(now, priority);
  const std::uint32_t running = admission_.running();
  lock.unlock();
  return admitted(priority, now, running);
}

AdmissionGate::Entry AdmissionGate::enter(const Context& ctx) {
  const Priority priority = ctx.priority();
  const Instant now = clock_.now();
  Told told = Told::nothing;
  std::uint32_t running = 0;
  std::unique_lock lock(mutex_);
  const runtime::Waker waker = runtime::prepare_wait();  // outside a fiber this must throw before it queues
  const Admission::Decision decision = admission_.try_enter(now, priority);
  running = admission_.running();
  if (decision.verdict == AdmissionVerdict::queued) {
    Waiting& place = waiting_[decision.ticket.slot];
    if (decision.pushed_out && place.told != nullptr) {
      *place.told = Told::pushed_out;
      place.waker.wake();
    }
    place = {.waker = waker, .told = &told, .running = &running};
  }
  lock.unlock();
  if (decision.verdict == AdmissionVerdict::admitted) return admitted(priority, now, running);
  if (decision.verdict == AdmissionVerdict::refused) return refused(priority, decision);

  const runtime::Woken woken = runtime::park(ctx.with_deadline(decision.ticket.deadline), "admission");
  const Instant then = clock_.now();
  wait_seconds_.observe(then - now);
  lock.lock();
  if (told == Told::granted) {  // also where the grant and the end of the wait crossed
    lock.unlock();
    return admitted(priority, then, running);
  }
  if (told == Told::pushed_out) {
    lock.unlock();
    outcomes_[index_of(priority)].pushed_out.add();
    return Entry(std::max(kLeastRetryAfter, admission_.options().max_wait));
  }
  Waiting& mine = waiting_[decision.ticket.slot];
  // An expired ticket may have been dropped, and another may be in line at its slot by now.
  if (mine.told == &told && admission_.waiting_at(decision.ticket.slot)) admission_.abandon(decision.ticket);
  if (mine.told == &told) mine = {};
  lock.unlock();
  outcomes_[index_of(priority)].expired.add();
  if (woken == runtime::Woken::by_cancellation || ctx.deadline() <= decision.ticket.deadline) {
    runtime::throw_unless_event(woken, "admission");
  }
  return Entry(std::max(kLeastRetryAfter, admission_.options().max_wait));
}

runtime::Waker AdmissionGate::grant(const Admission::Ticket& ticket) noexcept {
  Waiting& waiting = waiting_[ticket.slot];
  *waiting.told = Told::granted;
  *waiting.running = admission_.running();
  const runtime::Waker waker = waiting.waker;
  waiting = {};
  return waker;
}

void AdmissionGate::leave(const Entry& entry) noexcept {
  const Instant now = clock_.now();
  const std::lock_guard lock(mutex_);
  if (adaptive_ && entry.running_ > 0) {
    adaptive_->record(now, now - entry.began_, entry.running_);
    admission_.set_limit(adaptive_->limit());
  }
  // Woken under the lock: usually it is one; after the limit has risen there may be a few.
  for (auto next = admission_.leave(now); next; next = admission_.admit_next(now)) grant(*next).wake();
}

}  // namespace holdfast::resilience
