// A dependency that comes back from an outage meets everything that has waited for it. Whoever comes is let
// through at a multiple of the rate that was usual before the outage, which doubles from time to time, until
// nobody has had to be refused for a while: a slow start (as proxies have it for a server that is new), in
// calls a second. What is usual is found out, not set: the average of the last minute's good calls.
//
//   recovery.observe(now, good_calls_so_far);                      // from time to time, while all is well
//   recovery.outage(); … recovery.begin(now);                      // the breaker opened; it closed again
//   if (recovery.active()) { if (wait = recovery.take_one(now)) refuse(wait); }
//
// Thread-safety: any thread. Told the time.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>

#include "holdfast/base/clock.hpp"
#include "holdfast/base/describe.hpp"
#include "holdfast/base/rules.hpp"

namespace holdfast::resilience {

struct RecoveryOptions {
  bool enabled = true;
  double times = 3;
  double at_least = 20;
  std::chrono::microseconds doubled_every = std::chrono::seconds(60);
  std::chrono::microseconds calm = std::chrono::seconds(60);

  static constexpr auto rules() {
    return holdfast::rules(field<&RecoveryOptions::enabled>().doc("Whether there is one."),
                           field<&RecoveryOptions::times>().range(1, 1'000).doc(
                               "Tries a second when it is back, as a multiple of what was usual before."),
                           field<&RecoveryOptions::at_least>()
                               .range(1, 1'000'000)
                               .doc("Tries a second, however few were usual."),
                           field<&RecoveryOptions::doubled_every>()
                               .range(1'000'000, 86'400'000'000)
                               .doc("That rate, steadily, for as long as it lasts."),
                           field<&RecoveryOptions::calm>()
                               .range(1'000'000, 86'400'000'000)
                               .doc("Without a refusal for so long, it is over."));
  }
};
HOLDFAST_DESCRIBE(RecoveryOptions, (enabled, times, at_least, doubled_every, calm))

class Recovery {
 public:
  /// What is refused is told to come when its turn should be, at most this late.
  static constexpr Duration kLongestWait = std::chrono::seconds(60);

  explicit Recovery(const RecoveryOptions& options) noexcept : options_(options) {}

  /// Whether observe() is due: about once a second.
  bool observes(Instant now) const noexcept {
    return now.time_since_epoch().count() >= next_observation_.load(std::memory_order_relaxed);
  }
  /// `good`: the calls that have ended well since the beginning of time.
  void observe(Instant now, std::uint64_t good) noexcept;

  /// It does not answer: what comes is not usual.
  void outage() noexcept;
  /// It answers again, after an outage.
  void begin(Instant now) noexcept;

  /// Whether take_one() has a say.
  bool active() const noexcept { return active_.load(std::memory_order_relaxed); }
  /// Zero where a try may be made; else when to come again.
  Duration take_one(Instant now) noexcept;

  /// Tries a second that are usual, and that are let through at `now` if it is active.
  double usual() const noexcept;
  double rate(Instant now) const noexcept;

 private:
  double rate_at(Instant now) const noexcept;

  const RecoveryOptions options_;
  std::atomic<bool> active_{false};
  std::atomic<std::int64_t> next_observation_{0};
  mutable std::mutex mutex_;  // all below
  bool is_out_ = false;
  bool has_base_ = false;  // the next observation has one to compare with
  Instant observed_{};
  std::uint64_t good_ = 0;
  double good_calls_ =
      0;  // both fade with the same half-life, so that their quotient is right from the start
  double seconds_ = 0;
  Instant begun_{};
  Instant refilled_{};
  Instant refused_{};
  Instant promised_{};
  double tokens_ = 0;
};

}  // namespace holdfast::resilience
