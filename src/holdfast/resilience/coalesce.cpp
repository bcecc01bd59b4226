#include "holdfast/resilience/coalesce.hpp"

#include "holdfast/base/error.hpp"
#include "holdfast/base/invariant.hpp"
#include "holdfast/runtime/fiber.hpp"

namespace holdfast::resilience {

/// On the stack of the fiber that waits. In its flight's list until it is told something or gives up.
struct Flights::Waiting {
  enum class Told : std::uint8_t { nothing, landed, lead };
  runtime::Waker waker{};
  Told told = Told::nothing;
  Outcome outcome{};
  Waiting* before = nullptr;
  Waiting* after = nullptr;
};

Flights::Flights(const std::string& name, const CoalesceOptions& options, observe::Metrics& metrics)
    : options_(options) {
  const auto counter = [&](const char* outcome) {
    return metrics.counter(
        "holdfast_coalesce_total",
        "Reads that could share a call: led one, shared another's, ran unshared for want of room, "
        "took over from a leader that gave up, or were refused for want of room.",
        {{"coalescer", name}, {"outcome", outcome}});
  };
  led_ = counter("led");
  shared_ = counter("shared");
  alone_ = counter("alone");
  handed_over_ = counter("handed_over");
  refused_ = counter("refused");
  flights_.reserve(options.max_keys);
}

Flights::~Flights() { require_invariant(flights_.empty(), "a coalescer outlives its callers"); }

void Flights::remove(Flight& flight, Waiting& waiting) noexcept {
  (waiting.before == nullptr ? flight.first : waiting.before->after) = waiting.after;
  (waiting.after == nullptr ? flight.last : waiting.after->before) = waiting.before;
  waiting.before = waiting.after = nullptr;
  --waiting_;
}

Flights::Joined Flights::join(const Context& ctx, const std::string& key) {
  std::unique_lock lock(mutex_);
  const auto found = flights_.find(key);
  if (found == flights_.end()) {
    if (flights_.size() >= options_.max_keys) {
      alone_.add();
      return {.role = Role::alone, .outcome = {}};
    }
    flights_.emplace(key, Flight{});
    led_.add();
    return {.role = Role::leads, .outcome = {}};
  }
  if (waiting_ >= options_.max_waiting) {
    refused_.add();
    throw Error(ErrorCode::unavailable, "Too many wait for answers that are being worked out.")
        .reason("coalesce_full");
  }
  Waiting mine{.waker = runtime::prepare_wait("sharing a call")};
  Flight& flight = found->second;
  mine.before = flight.last;
  (flight.last == nullptr ? flight.first : flight.last->after) = &mine;
  flight.last = &mine;
  ++waiting_;
  lock.unlock();

  const runtime::Woken woken = runtime::park(ctx, "coalesce");
  lock.lock();
  if (mine.told == Waiting::Told::landed) {  // also where the landing and the end of the wait crossed
    shared_.add();
    return {.role = Role::shares, .outcome = std::move(mine.outcome)};
  }
  if (mine.told == Waiting::Told::lead && woken == runtime::Woken::by_event) {
    handed_over_.add();
    return {.role = Role::leads, .outcome = {}};
  }
  runtime::Waker next;
  if (mine.told == Waiting::Told::lead) {
    next = pass_on(key);  // was to lead, but its own time is over too
  } else {
    remove(flights_.at(key), mine);
  }
  lock.unlock();
  if (next) next.wake();
  runtime::throw_unless_event(woken, "waiting for another's identical call");
  throw Error(ErrorCode::internal, "A wait for a shared call ended without a reason.");
}

void Flights::land(const std::string& key, const Outcome& outcome) noexcept {
  // Woken under the lock: what waits lies on stacks that are gone as soon as their fibers see the outcome.
  const std::lock_guard lock(mutex_);
  const auto found = flights_.find(key);
  require_invariant(found != flights_.end(), "only a flight under way lands");
  Flight& flight = found->second;
  while (flight.first != nullptr) {
    Waiting& waiting = *flight.first;
    remove(flight, waiting);
    waiting.outcome = outcome;
    waiting.told = Waiting::Told::landed;
    waiting.waker.wake();
  }
  flights_.erase(found);
}

void Flights::hand_over(const std::string& key) noexcept {
  runtime::Waker next;
  {
    const std::lock_guard lock(mutex_);
    next = pass_on(key);
  }
  if (next) next.wake();
}

runtime::Waker Flights::pass_on(const std::string& key) noexcept {
  const auto found = flights_.find(key);
  require_invariant(found != flights_.end(), "only a flight under way is handed over");
  Flight& flight = found->second;
  if (flight.first == nullptr) {
    flights_.erase(found);
    return {};
  }
  Waiting& next = *flight.first;
  remove(flight, next);
  next.told = Waiting::Told::lead;
  return next.waker;
}

}  // namespace holdfast::resilience
