// How many retries a dependency is sent at most, whoever asks for them: a share of the calls, and a small
// reserve. Without it, an outage multiplies the load by the number of tries, at every layer.
//
//   budget.call();                                         // each call deposits its share
//   RetryBudget::Hold hold = budget.try_take(now);         // when the decision to retry is made …
//   if (!hold) throw;                                      // … not when the wait is over
//   sleep_for(ctx, delay); hold.spend();                   // dropped unspent, it is given back
//
// What is held through a wait takes its place in the reserve. So in *every* span of time
//   attempts <= (1 + share)·calls + reserve + per_second·length. (Cf. gRPC A6; Finagle's RetryBudget.)
// Thread-safety: any thread; with a full reserve, call() is one load. Outlives its holds.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

#include "holdfast/base/clock.hpp"
#include "holdfast/base/describe.hpp"
#include "holdfast/base/rules.hpp"

namespace holdfast::resilience {

struct RetryBudgetOptions {
  double share = 0.2;
  std::uint32_t reserve = 20;
  double per_second = 1;

  static constexpr auto rules() {
    return holdfast::rules(
        field<&RetryBudgetOptions::share>().range(0, 10).doc("Retries a call adds to the budget."),
        field<&RetryBudgetOptions::reserve>()
            .range(1, 1'000'000)
            .doc("Retries saved up at most, and at the start."),
        field<&RetryBudgetOptions::per_second>()
            .range(0, 100'000)
            .doc("Retries added whatever the calls, for those who call seldom."));
  }
};
HOLDFAST_DESCRIBE(RetryBudgetOptions, (share, reserve, per_second))

class RetryBudget {
 public:
  /// Leave for one retry (true), or none is left.
  class [[nodiscard]] Hold {
   public:
    Hold() = default;
    Hold(Hold&& other) noexcept : budget_(std::exchange(other.budget_, nullptr)) {}
    Hold& operator=(Hold&&) = delete;
    ~Hold() {
      if (budget_ != nullptr) budget_->end_hold(kToken);
    }
    explicit operator bool() const noexcept { return budget_ != nullptr; }
    /// The retry begins.
    void spend() noexcept {
      if (budget_ != nullptr) std::exchange(budget_, nullptr)->end_hold(0);
    }

   private:
    friend class RetryBudget;
    explicit Hold(RetryBudget* budget) : budget_(budget) {}
    RetryBudget* budget_ = nullptr;
  };

  /// Throws Error(invalid_argument) for a reserve of nothing or negative numbers.
  RetryBudget(const RetryBudgetOptions& options, Instant now);
  RetryBudget(const RetryBudget&) = delete;
  RetryBudget& operator=(const RetryBudget&) = delete;

  /// A call begins (not a retry).
  void call() noexcept {
    const std::uint64_t word = word_.load(std::memory_order_relaxed);
    if (stored(word) + held(word) * kToken < capacity_) [[unlikely]]
      deposit(share_);
  }

  Hold try_take(Instant now) noexcept;

  /// Retries that could be taken now, but for what time adds.
  double available() const noexcept {
    return static_cast<double>(stored(word_.load(std::memory_order_relaxed))) / kToken;
  }
  std::uint64_t held() const noexcept { return held(word_.load(std::memory_order_relaxed)); }

 private:
  static constexpr std::uint64_t kToken = 1'000;  // thousandths are counted
  static constexpr int kHeldBits = 24;

  static std::uint64_t stored(std::uint64_t word) noexcept { return word >> kHeldBits; }
  static std::uint64_t held(std::uint64_t word) noexcept {
    return word & ((std::uint64_t{1} << kHeldBits) - 1);
  }
  void deposit(std::uint64_t amount) noexcept;
  void refill(Instant now) noexcept;
  void end_hold(std::uint64_t refund) noexcept;

  const std::uint64_t capacity_;
  const std::uint64_t share_;
  const std::int64_t interval_;         // nanoseconds in which time adds a thousandth; 0: it adds nothing
  std::atomic<std::uint64_t> word_;     // stored thousandths, tokens held
  std::atomic<std::int64_t> refilled_;  // up to when time has added
};

}  // namespace holdfast::resilience
