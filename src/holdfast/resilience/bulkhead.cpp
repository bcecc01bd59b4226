#include "holdfast/resilience/bulkhead.hpp"

#include "holdfast/base/error.hpp"
#include "holdfast/base/invariant.hpp"
#include "holdfast/runtime/fiber.hpp"

namespace holdfast::resilience {

struct Bulkhead::Waiter {
  runtime::Waker waker;
  Waiter* before = nullptr;
  Waiter* after = nullptr;
  bool granted = false;
};

Bulkhead::Bulkhead(const BulkheadOptions& options, const char* name) : options_(options), name_(name) {
  if (options.concurrent == 0 || options.longest_wait < Duration(0)) {
    throw Error(ErrorCode::invalid_argument,
                "A bulkhead needs at least one place and a wait that is not negative.");
  }
}

Bulkhead::~Bulkhead() {
  require_invariant(word_.load(std::memory_order_relaxed) == 0, "a bulkhead outlives its places");
}

Bulkhead::Place Bulkhead::enter_line(const Context& ctx) {
  ctx.check(name_);
  if (options_.waiting == 0) return Place(BulkheadRefusal::full);
  const Context bounded = ctx.with_timeout(options_.longest_wait);
  Waiter me{.waker = runtime::prepare_wait(name_)};
  {
    const std::lock_guard lock(mutex_);
    std::uint64_t word = word_.load(std::memory_order_relaxed);
    bool inside = false;
    do {
      inside = word < options_.concurrent;
      if (!inside && waiting(word) >= options_.waiting) return Place(BulkheadRefusal::full);
    } while (!word_.compare_exchange_weak(word, inside ? word + 1 : word + kOneWaiting,
                                          std::memory_order_acq_rel, std::memory_order_relaxed));
    if (inside) return Place(this);
    me.before = last_;
    (last_ == nullptr ? first_ : last_->after) = &me;
    last_ = &me;
  }
  const runtime::Woken woken = runtime::park(bounded, name_);
  {
    const std::lock_guard lock(mutex_);
    if (me.granted) return Place(this);  // also where the grant and the end of the wait crossed
    unlink(me);
    word_.fetch_sub(kOneWaiting, std::memory_order_relaxed);
  }
  if (woken == runtime::Woken::by_cancellation || ctx.deadline() <= bounded.deadline()) {
    runtime::throw_unless_event(woken, name_);
  }
  return Place(BulkheadRefusal::waited_out);
}

/// A place has become free while somebody waited. Whoever holds the lock hands out all there are, so that
/// none is lost where several leave at once.
void Bulkhead::let_in() noexcept {
  const std::lock_guard lock(mutex_);
  while (first_ != nullptr && running() < options_.concurrent) {
    Waiter& next = *first_;
    unlink(next);
    next.granted = true;
    // Nobody else adds to those running while somebody waits, so there still is room.
    word_.fetch_add(1 - kOneWaiting, std::memory_order_acq_rel);
    next.waker.wake();  // under the lock: its fiber, and with it `next`, stays until it has taken it
  }
}

void Bulkhead::unlink(Waiter& waiter) noexcept {
  (waiter.before == nullptr ? first_ : waiter.before->after) = waiter.after;
  (waiter.after == nullptr ? last_ : waiter.after->before) = waiter.before;
}

}  // namespace holdfast::resilience
