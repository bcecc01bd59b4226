#include "holdfast/resilience/circuit_breaker.hpp"

#include <algorithm>
#include <bit>

#include "holdfast/base/error.hpp"
#include "holdfast/base/invariant.hpp"
#include "holdfast/base/violations.hpp"

namespace holdfast::resilience {

namespace {

constexpr std::uint64_t kCallsMask = (1u << 28) - 1;
constexpr std::uint64_t kSliceMask = (1u << 28) - 1;
constexpr std::uint64_t kGenerationMask = 0xff;
constexpr int kOutcomeBits = 2;

std::int64_t nanoseconds(Instant at) noexcept { return at.time_since_epoch().count(); }

std::uint64_t slice_at(Instant at, int shift) noexcept {
  return static_cast<std::uint64_t>(nanoseconds(at)) >> shift;
}

/// What stands above the calls in a slice's word.
std::uint64_t slice_tag(std::uint64_t generation, std::uint64_t slice) noexcept {
  return ((generation & kGenerationMask) << 28) | (slice & kSliceMask);
}

const BreakerOptions& checked(const BreakerOptions& options) {
  Violations faults;
  options.validate(faults);
  if (options.window_time.count() < 1'000 || options.window_calls == 0 || options.probes == 0 ||
      options.window_calls > BreakerOptions::kMaxWindowCalls || options.open_for.count() < 1 ||
      options.half_open_at_most.count() < 1) {
    faults.add("out_of_range", "needs a window, a probe, and times above zero");
  }
  faults.throw_if_any();
  return options;
}

}  // namespace

void BreakerOptions::validate(Violations& faults) const {
  if (!(failure_rate > 0 && failure_rate <= 1)) {
    faults.add_at("/failureRate", "out_of_range", "must be above 0 and at most 1");
  }
  if (!(slow_call_rate > 0 && slow_call_rate <= 1)) {
    faults.add_at("/slowCallRate", "out_of_range", "must be above 0 and at most 1");
  }
  if (window == BreakerWindow::calls && minimum_calls > window_calls) {
    faults.add_at("/minimumCalls", "out_of_range", "can't be more than window_calls");
  }
  if (open_at_most < open_for) {
    faults.add_at("/openAtMost", "out_of_range", "can't be shorter than open_for");
  }
}

CircuitBreaker::CircuitBreaker(const BreakerOptions& options, Random& random, Instant now, Listener listener)
    : options_(checked(options)),
      slow_call_(Duration(options.slow_call).count()),
      slice_shift_(
          std::bit_width(static_cast<std::uint64_t>(Duration(options.window_time).count()) / (kSlices / 2)) -
          1),
      slice_count_(std::min<std::uint64_t>(
          kSlices, (static_cast<std::uint64_t>(Duration(options.window_time).count()) >> slice_shift_) + 1)),
      listener_(std::move(listener)),
      random_(random),
      state_(std::uint64_t{1} << kModeBits),
      ring_(options.window == BreakerWindow::calls ? options.window_calls : 0),
      since_(now),
      open_backoff_({.base = options.open_for, .cap = options.open_at_most, .jitter = options.open_jitter}) {}

bool CircuitBreaker::count_in_slice(std::uint64_t generation, Instant now) noexcept {
  const std::uint64_t slice = slice_at(now, slice_shift_);
  const std::uint64_t tag = slice_tag(generation, slice);
  const auto mine = slices_.mine();
  std::atomic<std::uint64_t>& word = mine.cells.words[slice % kSlices];
  std::uint64_t seen = word.load(std::memory_order_relaxed);
  const auto next = [&] {
    if (seen >> kSliceCallBits != tag) return (tag << kSliceCallBits) | 1;
    return (seen & kCallsMask) == kCallsMask ? seen : seen + 1;
  };
  if (mine.alone) {
    word.store(next(), std::memory_order_relaxed);
  } else {
    while (!word.compare_exchange_weak(seen, next(), std::memory_order_relaxed)) {
    }
  }
  return true;
}

/// False where an outcome has to make room that says something else: that is put_in_ring()'s.
bool CircuitBreaker::count_in_ring(std::uint64_t generation) noexcept {
  const std::uint64_t all_good = (generation << kOutcomeBits) | good;
  std::uint64_t at = position_.load(std::memory_order_relaxed);
  do {
    if (ring_[at].load(std::memory_order_relaxed) != all_good) return false;
  } while (
      !position_.compare_exchange_weak(at, at + 1 == ring_.size() ? 0 : at + 1, std::memory_order_relaxed));
  return true;
}

void CircuitBreaker::put_in_ring(Outcome outcome) noexcept {
  std::uint64_t at = position_.load(std::memory_order_relaxed);
  while (
      !position_.compare_exchange_weak(at, at + 1 == ring_.size() ? 0 : at + 1, std::memory_order_relaxed)) {
  }
  const std::uint64_t before =
      ring_[at].exchange((generation() << kOutcomeBits) | outcome, std::memory_order_relaxed);
  if (before >> kOutcomeBits == generation()) {
    ring_counts_.failures -= before & failed ? 1 : 0;
    ring_counts_.slow -= before & slow ? 1 : 0;
  } else {
    ++ring_counts_.calls;
  }
  ring_counts_.failures += outcome & failed ? 1 : 0;
  ring_counts_.slow += outcome & slow ? 1 : 0;
}

void CircuitBreaker::record_bad(Outcome outcome, Instant now) noexcept {
  if (options_.window == BreakerWindow::calls) return put_in_ring(outcome);
  count_in_slice(generation(), now);
  BadSlice& bad = bad_[slice_at(now, slice_shift_) % kSlices];
  if (bad.number != slice_at(now, slice_shift_)) bad = {.number = slice_at(now, slice_shift_)};
  bad.failures += outcome & failed ? 1 : 0;
  bad.slow += outcome & slow ? 1 : 0;
}

CircuitBreaker::Window CircuitBreaker::window(Instant now) const noexcept {
  if (options_.window == BreakerWindow::calls) return ring_counts_;
  const std::uint64_t last = slice_at(now, slice_shift_);
  const std::uint64_t first = last < slice_count_ ? 0 : last - slice_count_ + 1;
  Window sum;
  for (std::uint64_t slice = first; slice <= last; ++slice) {
    const std::uint64_t tag = slice_tag(generation(), slice);
    sum.calls += slices_.sum([&](const SliceCalls& calls) {
      const std::uint64_t word = calls.words[slice % kSlices].load(std::memory_order_relaxed);
      return word >> kSliceCallBits == tag ? word & kCallsMask : 0;
    });
    const BadSlice& bad = bad_[slice % kSlices];
    if (bad.number != slice) continue;
    sum.failures += bad.failures;
    sum.slow += bad.slow;
  }
  return sum;
}

CircuitBreaker::Permit CircuitBreaker::refuse(Instant now) const noexcept {
  const std::uint64_t state = state_.load(std::memory_order_relaxed);
  Duration wait = options_.open_at_most;
  if (mode_of(state) == BreakerState::open) {
    wait = Duration(open_until_.load(std::memory_order_relaxed) - nanoseconds(now));
  } else if (mode_of(state) == BreakerState::half_open) {
    wait = half_open_until_ - now;
  }
  return {nullptr, state, std::max<std::int64_t>(1, wait.count())};
}

CircuitBreaker::Permit CircuitBreaker::try_enter_unusual(Instant now) noexcept {
  std::array<BreakerTransition, 2> told;
  std::size_t changes = 0;
  const auto decide = [&]() -> Permit {
    const std::lock_guard lock(mutex_);
    BreakerState mode = state();
    if (mode == BreakerState::open && nanoseconds(now) >= open_until_.load(std::memory_order_relaxed)) {
      told[changes++] = enter_state(BreakerState::half_open, BreakerReason::time_to_probe, now);
      mode = BreakerState::half_open;
    }
    if (mode == BreakerState::half_open && now >= half_open_until_) {
      if (probes_out_ > 0) {
        told[changes++] = open(BreakerReason::probe_lost, now);
        return refuse(now);
      }
      half_open_until_ = now + options_.half_open_at_most;  // nobody is out: nothing is late
    }
    const std::uint64_t state = state_.load(std::memory_order_relaxed);
    if (mode == BreakerState::closed || mode == BreakerState::forced_closed) {
      return {this, state, nanoseconds(now)};
    }
    if (mode != BreakerState::half_open || probes_out_ + probes_good_ >= options_.probes) return refuse(now);
    ++probes_out_;
    ++probes_total_;
    return {this, state, nanoseconds(now)};
  };
  Permit permit = decide();
  for (std::size_t i = 0; i < changes; ++i) tell(told[i]);
  return permit;
}

void CircuitBreaker::judge(const Permit& permit, Instant now, bool has_failed) noexcept {
  const bool was_slow = nanoseconds(now) - permit.at_ >= slow_call_;
  const auto outcome = static_cast<Outcome>((has_failed ? failed : good) | (was_slow ? slow : good));
  BreakerTransition transition;
  {
    const std::lock_guard lock(mutex_);
    if (permit.state_ != state_.load(std::memory_order_relaxed)) return;
    const BreakerState mode = mode_of(permit.state_);
    if (mode == BreakerState::half_open) {
      require_invariant(probes_out_ > 0, "a probe is out until its verdict");
      --probes_out_;
      if (outcome != good) {
        transition = open(has_failed ? BreakerReason::probe_failed : BreakerReason::probe_slow, now);
      } else if (++probes_good_ >= options_.probes) {
        transition = enter_state(BreakerState::closed, BreakerReason::probes_succeeded, now);
      }
    } else if (mode == BreakerState::closed) {
      record_bad(outcome, now);
      if (outcome == good) return;  // only a bad call opens it
      const Window recent = window(now);
      if (recent.calls < options_.minimum_calls) return;
      const auto calls = static_cast<double>(recent.calls);
      if (static_cast<double>(recent.failures) >= options_.failure_rate * calls) {
        transition = open(BreakerReason::failure_rate, now);
      } else if (static_cast<double>(recent.slow) >= options_.slow_call_rate * calls) {
        transition = open(BreakerReason::slow_call_rate, now);
      }
    }
  }
  if (transition.reason != BreakerReason::started) tell(transition);
}

void CircuitBreaker::drop_probe(const Permit& permit) noexcept {
  const std::lock_guard lock(mutex_);
  if (permit.state_ != state_.load(std::memory_order_relaxed)) return;
  require_invariant(probes_out_ > 0, "a probe is out until it is dropped");
  --probes_out_;
}

void CircuitBreaker::by_hand(BreakerState to, Instant now) noexcept {
  BreakerTransition transition;
  {
    const std::lock_guard lock(mutex_);
    open_backoff_.reset();
    transition = enter_state(to, BreakerReason::by_hand, now);
  }
  tell(transition);
}

BreakerTransition CircuitBreaker::open(BreakerReason reason, Instant now) noexcept {
  // Who was closed for less time than it had been open before has not recovered: the wait goes on growing.
  if (state() == BreakerState::closed && now - since_ > last_open_for_) open_backoff_.reset();
  last_open_for_ = std::max<Duration>(Duration(1), open_backoff_.next(random_));
  open_until_.store(nanoseconds(now + last_open_for_), std::memory_order_relaxed);
  ++opened_total_;
  BreakerTransition transition = enter_state(BreakerState::open, reason, now);
  transition.open_for = last_open_for_;
  return transition;
}

BreakerTransition CircuitBreaker::enter_state(BreakerState to, BreakerReason reason, Instant now) noexcept {
  BreakerTransition transition{.from = state(), .to = to, .reason = reason, .at = now};
  if (transition.from == BreakerState::closed) {
    const Window recent = window(now);
    const auto calls = static_cast<double>(std::max<std::uint64_t>(1, recent.calls));
    transition.failure_rate = static_cast<double>(recent.failures) / calls;
    transition.slow_call_rate = static_cast<double>(recent.slow) / calls;
  }
  reason_ = reason;
  since_ = now;
  probes_out_ = 0;
  probes_good_ = 0;
  half_open_until_ = now + options_.half_open_at_most;
  bad_.fill({});
  ring_counts_ = {};
  state_.store(((generation() + 1) << kModeBits) | static_cast<std::uint64_t>(to), std::memory_order_release);
  return transition;
}

void CircuitBreaker::tell(const BreakerTransition& transition) const noexcept {
  if (listener_) listener_(transition);
}

BreakerView CircuitBreaker::view(Instant now) const noexcept {
  const std::lock_guard lock(mutex_);
  const Window recent = window(now);
  return {.state = state(),
          .reason = reason_,
          .since = since_,
          .probes_at = state() == BreakerState::open
                           ? Instant(Duration(open_until_.load(std::memory_order_relaxed)))
                           : Instant{},
          .calls = recent.calls,
          .failures = recent.failures,
          .slow = recent.slow,
          .probes_out = probes_out_,
          .probes_total = probes_total_,
          .opened_total = opened_total_};
}

}  // namespace holdfast::resilience
