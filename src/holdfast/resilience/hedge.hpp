// A second try before the first has failed: where an answer takes longer than nearly all do, ask once more
// and take whichever comes first; the other is cancelled. Cuts the tail of a read that many replicas can
// answer. (Dean, Barroso, "The Tail at Scale", 2013.) ONLY for calls that may happen twice: reads, or writes
// under an idempotency key.
//
//   Hedge hedge("prices", {.budget = 0.05}, metrics);
//   const Price price = hedge.call<Price>(ctx, [&](const Context& own) { return fetch(own, sku); });
//
// In overload everything is slow and hedges would double it: they are a bounded share of all calls.
// Thread-safety: any fiber; the pure part, HedgePolicy, one thread at a time. Outlives its calls.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "holdfast/observe/metrics.hpp"
#include "holdfast/runtime/context.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/sync.hpp"

namespace holdfast::resilience {

struct HedgeOptions {
  /// Fixed; unless set, the `percentile` of the latencies seen of late, and no hedge before kLeastSeen of
  /// them.
  std::optional<Duration> delay{};
  double percentile = 0.95;                             ///< over 0, under 1
  Duration least_delay = std::chrono::milliseconds(1);  ///< of a delay that is found out
  double budget = 0.05;                                 ///< hedges a call, on average; over 0, at most 1
  double most_saved = 10;                               ///< hedges that a quiet time saves up; at least 1
};

/// When, and whether, to try a second time. No allocation.
class HedgePolicy {
 public:
  static constexpr std::size_t kRemembered = 256;  // latencies
  static constexpr std::size_t kLeastSeen = 32;    // before the percentile is believed

  /// Throws Error(invalid_argument) for options out of their bounds.
  explicit HedgePolicy(const HedgeOptions& options);

  /// A call begins. After how long without an answer it may be hedged; unset: it is too early to tell.
  std::optional<Duration> begin() noexcept;
  /// The delay is over: takes a hedge from the budget if there is one.
  bool try_hedge() noexcept;
  /// The first try has taken so long, or, where the second won, at least so long.
  void record(Duration latency) noexcept;

 private:
  HedgeOptions options_;
  double saved_;
  std::array<Duration, kRemembered> seen_{};
  std::size_t count_ = 0;
  std::optional<Duration> delay_;
};

class Hedge {
 public:
  /// `name` labels its metrics, which must outlive it.
  Hedge(const std::string& name, const HedgeOptions& options, observe::Metrics& metrics);

  /// What `call(own)` returned first. It runs on a fiber of its own, at most twice at a time, on the caller's
  /// loop; it may use the caller's locals, and returns or throws before this does. A failure before the delay
  /// is thrown as it is (trying again is Retry's); after it, only when both have failed, and then the first
  /// try's.
  template <typename T, typename Call>
  T call(const Context& ctx, Call call) {
    std::array<std::optional<T>, 2> answers;
    return *std::move(answers[run(
        ctx, [&](const Context& own, std::size_t attempt) { answers[attempt].emplace(call(own)); })]);
  }

 private:
  using Attempt = std::function<void(const Context&, std::size_t)>;
  /// Returns which attempt has won.
  std::size_t run(const Context& ctx, const Attempt& attempt);

  std::mutex mutex_;
  HedgePolicy policy_;
  observe::Counter calls_;
  observe::Counter hedged_;
  observe::Counter won_;
  observe::Counter refused_;
};

}  // namespace holdfast::resilience
