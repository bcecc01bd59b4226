// A circuit breaker: stops asking a dependency that fails, so that callers get their answer at once and it
// gets the rest it needs; then asks again, carefully. (M. Nygard, "Release It!", 2007.) Told the time.
//
//   if (auto permit = breaker.try_enter(clock.now())) {
//     call(); permit.success(clock.now());      // or failure(); dropped without a verdict it counts as
//     neither
//   } else { come_again_in(permit.retry_after()); }
//
// closed → open when enough recent calls failed or were slow; open → half-open after a while that grows from
// time to time; half-open lets a few probes out, and always ends. Thread-safety: any thread; while closed, a
// success takes no lock; a refusal is two loads. Permits may not outlive the breaker.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "holdfast/base/clock.hpp"
#include "holdfast/base/describe.hpp"
#include "holdfast/base/random.hpp"
#include "holdfast/base/rules.hpp"
#include "holdfast/resilience/backoff.hpp"
#include "holdfast/resilience/per_thread.hpp"

namespace holdfast::resilience {

enum class BreakerWindow : std::uint8_t { time, calls };
HOLDFAST_DESCRIBE_ENUM(BreakerWindow, time, calls)

struct BreakerOptions {
  bool enabled = true;
  BreakerWindow window = BreakerWindow::time;
  std::chrono::microseconds window_time = std::chrono::seconds(10);
  std::uint32_t window_calls = 100;
  std::uint32_t minimum_calls = 20;
  double failure_rate = 0.5;
  std::chrono::microseconds slow_call = std::chrono::seconds(4);
  double slow_call_rate = 0.8;
  std::chrono::microseconds open_for = std::chrono::seconds(5);
  std::chrono::microseconds open_at_most = std::chrono::seconds(60);
  Jitter open_jitter = Jitter::equal;
  std::uint32_t probes = 3;
  std::chrono::microseconds half_open_at_most = std::chrono::seconds(10);

  static constexpr std::uint32_t kMaxWindowCalls = 8'000;

  static constexpr auto rules() {
    return holdfast::rules(
        field<&BreakerOptions::enabled>().doc("Whether there is one."),
        field<&BreakerOptions::window>().doc("What is recent: the last seconds, or the last calls."),
        field<&BreakerOptions::window_time>()
            .range(1'000, 3'600'000'000)
            .doc("With window: time. Forgotten in slices of at most an eighth of it."),
        field<&BreakerOptions::window_calls>().range(1, kMaxWindowCalls).doc("With window: calls."),
        field<&BreakerOptions::minimum_calls>()
            .range(1, 1'000'000)
            .doc("Recent calls below which it stays closed."),
        field<&BreakerOptions::failure_rate>().range(0, 1).doc(
            "Share of recent calls that failed, from which it opens; above 0."),
        field<&BreakerOptions::slow_call>().range(1, 3'600'000'000).doc("From this time on a call is slow."),
        field<&BreakerOptions::slow_call_rate>().range(0, 1).doc(
            "Share of recent calls that were slow, from which it opens; above 0."),
        field<&BreakerOptions::open_for>()
            .range(1, 3'600'000'000)
            .doc("Until it asks again, the first time; doubled each time in a row."),
        field<&BreakerOptions::open_at_most>().range(1, 86'400'000'000).doc("However often in a row."),
        field<&BreakerOptions::open_jitter>().doc("Spreads the probes of many processes."),
        field<&BreakerOptions::probes>().range(1, 1'000).doc(
            "Calls let through half-open; as many good ones close it, a bad one opens it."),
        field<&BreakerOptions::half_open_at_most>()
            .range(1, 3'600'000'000)
            .doc("A probe that has not come back by then has failed."));
  }
  void validate(Violations& faults) const;
};
HOLDFAST_DESCRIBE(BreakerOptions,
                  (enabled, window, window_time, window_calls, minimum_calls, failure_rate, slow_call,
                   slow_call_rate, open_for, open_at_most, open_jitter, probes, half_open_at_most))

enum class BreakerState : std::uint8_t { closed, open, half_open, forced_open, forced_closed };
HOLDFAST_DESCRIBE_ENUM(BreakerState, closed, open, half_open, forced_open, forced_closed)

enum class BreakerReason : std::uint8_t {
  started,
  failure_rate,    ///< too many of the recent calls failed
  slow_call_rate,  ///< too many of the recent calls were slow
  time_to_probe,   ///< it has been open for as long as it should
  probes_succeeded,
  probe_failed,
  probe_slow,
  probe_lost,  ///< half_open_at_most was over before a probe came back
  by_hand,
};
HOLDFAST_DESCRIBE_ENUM(BreakerReason, started, failure_rate, slow_call_rate, time_to_probe, probes_succeeded,
                       probe_failed, probe_slow, probe_lost, by_hand)

struct BreakerTransition {
  BreakerState from = BreakerState::closed;
  BreakerState to = BreakerState::closed;
  BreakerReason reason = BreakerReason::started;
  Instant at{};
  Duration open_for{0};     ///< if it opened
  double failure_rate = 0;  ///< as it was, if it had been closed
  double slow_call_rate = 0;
};

/// A moment's view.
struct BreakerView {
  BreakerState state = BreakerState::closed;
  BreakerReason reason = BreakerReason::started;
  Instant since{};
  Instant probes_at{};      ///< if open: from when on it asks again
  std::uint64_t calls = 0;  ///< of the window, as are failures and slow
  std::uint64_t failures = 0;
  std::uint64_t slow = 0;
  std::uint32_t probes_out = 0;
  std::uint64_t probes_total = 0;
  std::uint64_t opened_total = 0;

  double failure_rate() const noexcept {
    return calls == 0 ? 0 : static_cast<double>(failures) / static_cast<double>(calls);
  }
  double slow_call_rate() const noexcept {
    return calls == 0 ? 0 : static_cast<double>(slow) / static_cast<double>(calls);
  }
};

class CircuitBreaker {
 public:
  /// Leave to make one call, or (false) a refusal. Exactly one verdict; a second one does nothing.
  class [[nodiscard]] Permit {
   public:
    Permit(Permit&& other) noexcept
        : breaker_(std::exchange(other.breaker_, nullptr)), state_(other.state_), at_(other.at_) {}
    Permit& operator=(Permit&&) = delete;
    ~Permit() { drop(); }

    explicit operator bool() const noexcept { return breaker_ != nullptr; }

    /// The call's time counts from here, not from try_enter(): after waiting for something else.
    void begin(Instant now) noexcept { at_ = now.time_since_epoch().count(); }
    /// It worked; slowly, if it took BreakerOptions::slow_call or more.
    void success(Instant now) noexcept {
      if (auto* breaker = std::exchange(breaker_, nullptr)) breaker->succeeded(*this, now);
    }
    /// The dependency failed.
    void failure(Instant now) noexcept {
      if (auto* breaker = std::exchange(breaker_, nullptr)) breaker->judge(*this, now, true);
    }
    /// Neither: the caller has gone, or nothing was asked. Frees a probe's place.
    void drop() noexcept {
      if (auto* breaker = std::exchange(breaker_, nullptr)) breaker->dropped(*this);
    }

    /// If refused: when it is worth trying again; for what was forced open, open_at_most.
    Duration retry_after() const noexcept { return Duration(at_); }
    /// If refused: which state refused it.
    BreakerState refused_by() const noexcept { return mode_of(state_); }
    bool probe() const noexcept { return mode_of(state_) == BreakerState::half_open; }

   private:
    friend class CircuitBreaker;
    Permit(CircuitBreaker* breaker, std::uint64_t state, std::int64_t at) noexcept
        : breaker_(breaker), state_(state), at_(at) {}
    CircuitBreaker* breaker_;
    std::uint64_t state_;  // generation and mode that it was given under
    std::int64_t at_;      // when the call began, in nanoseconds; of a refusal: retry_after
  };

  /// Told of each change after it has happened, on the thread that caused it; must not throw. Under
  /// contention two may come in the wrong order: BreakerTransition::at tells.
  using Listener = std::function<void(const BreakerTransition&)>;

  /// Throws Error(invalid_argument) for options that break their rules. `random` must outlive it.
  CircuitBreaker(const BreakerOptions& options, Random& random, Instant now, Listener listener = {});
  CircuitBreaker(const CircuitBreaker&) = delete;
  CircuitBreaker& operator=(const CircuitBreaker&) = delete;

  Permit try_enter(Instant now) noexcept {
    const std::uint64_t state = state_.load(std::memory_order_acquire);
    const BreakerState mode = mode_of(state);
    if (mode == BreakerState::closed) [[likely]]
      return {this, state, now.time_since_epoch().count()};
    if (mode == BreakerState::open) {
      const std::int64_t left = open_until_.load(std::memory_order_relaxed) - now.time_since_epoch().count();
      if (left > 0) return {nullptr, state, left};
    }
    return try_enter_unusual(now);
  }

  /// How much longer it is open for certain; zero where try_enter() has to be asked.
  Duration refuses_for(Instant now) const noexcept {
    const BreakerState mode = state();
    if (mode == BreakerState::forced_open) return options_.open_at_most;
    if (mode != BreakerState::open) [[likely]]
      return Duration(0);
    const std::int64_t left = open_until_.load(std::memory_order_relaxed) - now.time_since_epoch().count();
    return Duration(left > 0 ? left : 0);
  }

  /// Refuses everything until reset().
  void force_open(Instant now) noexcept { by_hand(BreakerState::forced_open, now); }
  /// Lets everything through and judges nothing, until reset().
  void force_closed(Instant now) noexcept { by_hand(BreakerState::forced_closed, now); }
  /// Closed, as if nothing had happened.
  void reset(Instant now) noexcept { by_hand(BreakerState::closed, now); }

  BreakerState state() const noexcept { return mode_of(state_.load(std::memory_order_acquire)); }
  BreakerView view(Instant now) const noexcept;
  const BreakerOptions& options() const noexcept { return options_; }

 private:
  static constexpr int kModeBits = 3;
  static constexpr std::size_t kSlices = 16;  // between 9 and 16 of them make up the window
  static constexpr int kSliceCallBits = 28;

  // A slice's calls, in one word so that a thread can begin a new slice in one store: generation (8 bits),
  // number of the slice since the epoch (28), calls (28).
  struct SliceCalls {
    std::array<std::atomic<std::uint64_t>, kSlices> words{};
  };
  struct BadSlice {
    std::uint64_t number = 0;
    std::uint64_t failures = 0;
    std::uint64_t slow = 0;
  };
  struct Window {
    std::uint64_t calls = 0;
    std::uint64_t failures = 0;
    std::uint64_t slow = 0;
  };
  enum Outcome : std::uint8_t { good = 0, failed = 1, slow = 2, failed_and_slow = 3 };

  static BreakerState mode_of(std::uint64_t state) noexcept {
    return static_cast<BreakerState>(state & ((1u << kModeBits) - 1));
  }
  std::uint64_t generation() const noexcept { return state_.load(std::memory_order_relaxed) >> kModeBits; }

  void succeeded(const Permit& permit, Instant now) noexcept {
    const bool current = permit.state_ == state_.load(std::memory_order_acquire);
    if (!current) return;  // of an older generation: what it says is old news
    const bool quick = now.time_since_epoch().count() - permit.at_ < slow_call_;
    if (quick && mode_of(permit.state_) == BreakerState::closed && count_good(permit.state_, now)) return;
    judge(permit, now, false);
  }
  bool count_good(std::uint64_t state, Instant now) noexcept {
    return options_.window == BreakerWindow::time ? count_in_slice(state >> kModeBits, now)
                                                  : count_in_ring(state >> kModeBits);
  }
  bool count_in_slice(std::uint64_t generation, Instant now) noexcept;
  bool count_in_ring(std::uint64_t generation) noexcept;

  Permit try_enter_unusual(Instant now) noexcept;
  void judge(const Permit& permit, Instant now, bool failed) noexcept;
  void dropped(const Permit& permit) noexcept {
    if (mode_of(permit.state_) == BreakerState::half_open) drop_probe(permit);
  }
  void drop_probe(const Permit& permit) noexcept;
  void by_hand(BreakerState to, Instant now) noexcept;

  // With mutex_ held:
  Permit refuse(Instant now) const noexcept;
  void record_bad(Outcome outcome, Instant now) noexcept;
  void put_in_ring(Outcome outcome) noexcept;
  Window window(Instant now) const noexcept;
  BreakerTransition enter_state(BreakerState to, BreakerReason reason, Instant now) noexcept;
  BreakerTransition open(BreakerReason reason, Instant now) noexcept;

  void tell(const BreakerTransition& transition) const noexcept;

  const BreakerOptions options_;
  const std::int64_t slow_call_;
  const int slice_shift_;            // a slice is 2^shift nanoseconds
  const std::uint64_t slice_count_;  // of a window
  const Listener listener_;
  Random& random_;

  alignas(kCacheLine) std::atomic<std::uint64_t> state_;  // generation, mode; each change is a generation
  std::atomic<std::int64_t> open_until_{0};               // written before state_
  PerThread<SliceCalls> slices_;
  alignas(kCacheLine) std::atomic<std::uint64_t> position_{0};  // of the ring
  std::vector<std::atomic<std::uint64_t>> ring_;                // generation and outcome, below them

  mutable std::mutex mutex_;
  std::array<BadSlice, kSlices> bad_{};
  Window ring_counts_;
  BreakerReason reason_ = BreakerReason::started;
  Instant since_{};
  Backoff open_backoff_;
  Duration last_open_for_{0};
  std::uint32_t probes_out_ = 0;
  std::uint32_t probes_good_ = 0;
  Instant half_open_until_{};
  std::uint64_t probes_total_ = 0;
  std::uint64_t opened_total_ = 0;
};

}  // namespace holdfast::resilience
