// Bounded admission: so many at work, so many waiting in line, each for so long; the rest is refused at
// once and told when to come again. What keeps an overloaded service answering. Two parts:
// Admission, the bookkeeping, a state machine that is told the time; AdmissionGate, fibers around it.
//
//   AdmissionGate gate("http", {.max_running = 256, .max_waiting = 1024, .max_wait = 1s}, clock, metrics);
//   const AdmissionGate::Entry entry = gate.enter(ctx);    // waits in line
//   if (!entry) return refused(503, entry.retry_after());
//   ...                                                    // leaves when `entry` is destroyed
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "holdfast/base/clock.hpp"
#include "holdfast/observe/metrics.hpp"
#include "holdfast/runtime/context.hpp"
#include "holdfast/runtime/waker.hpp"

namespace holdfast::resilience {

struct AdmissionOptions {
  std::uint32_t max_running = 256;              ///< at least 1
  std::uint32_t max_waiting = 1024;             ///< 0: nobody waits
  Duration max_wait = std::chrono::seconds(1);  ///< in line; who has waited longer is refused
};

enum class AdmissionVerdict : std::uint8_t { admitted, queued, refused };

/// FIFO, no allocation after construction, O(1) each. Thread-safety: one thread at a time.
class Admission {
 public:
  /// A place in line. Good until it is admitted, abandoned or expired.
  struct Ticket {
    std::uint32_t slot = 0;
    Instant deadline{};
  };
  struct Decision {
    AdmissionVerdict verdict = AdmissionVerdict::refused;
    Ticket ticket{};          ///< if queued
    Duration retry_after{0};  ///< if refused: when the line should have moved on
  };

  explicit Admission(const AdmissionOptions& options);

  Decision try_enter(Instant now) noexcept;

  /// One of those at work has finished. The next in line whose wait is not over, if there is one, is
  /// at work from now on. Those in front of it whose wait is over have lost their places.
  std::optional<Ticket> leave(Instant now) noexcept;

  /// Who holds `ticket` waits no longer. Must be in line: not admitted, abandoned or expired before.
  void abandon(const Ticket& ticket) noexcept;

  /// Whether `slot` is in line.
  bool waiting_at(std::uint32_t slot) const noexcept { return slots_[slot].in_line; }

  std::uint32_t running() const noexcept { return running_; }
  std::uint32_t waiting() const noexcept { return waiting_; }
  const AdmissionOptions& options() const noexcept { return options_; }

 private:
  static constexpr std::uint32_t kNone = ~0u;
  struct Slot {
    std::uint32_t before = kNone;
    std::uint32_t after = kNone;  // the next in line; of a free slot: the next free one
    Instant deadline{};
    bool in_line = false;
  };

  void remove(std::uint32_t slot) noexcept;
  Duration retry_after() const noexcept;

  AdmissionOptions options_;
  std::vector<Slot> slots_;
  std::uint32_t first_ = kNone;
  std::uint32_t last_ = kNone;
  std::uint32_t free_ = kNone;
  std::uint32_t running_ = 0;
  std::uint32_t waiting_ = 0;
  Instant last_departure_{};
  Duration departure_gap_{0};  // smoothed time between departures while all places are taken
};

/// Thread-safety: any fiber. Outlives its entries.
class AdmissionGate {
 public:
  /// Admitted (true) or not. While an admitted one lives, it takes a place.
  class [[nodiscard]] Entry {
   public:
    Entry(Entry&& other) noexcept
        : gate_(std::exchange(other.gate_, nullptr)), retry_after_(other.retry_after_) {}
    Entry& operator=(Entry&&) = delete;
    ~Entry() {
      if (gate_ != nullptr) gate_->leave();
    }
    explicit operator bool() const noexcept { return gate_ != nullptr; }
    /// If refused: when it is worth trying again.
    Duration retry_after() const noexcept { return retry_after_; }

   private:
    friend class AdmissionGate;
    Entry(AdmissionGate* gate, Duration retry_after) : gate_(gate), retry_after_(retry_after) {}
    AdmissionGate* gate_;
    Duration retry_after_;
  };

  /// `name` labels its metrics. `clock` and `metrics` must outlive it.
  AdmissionGate(std::string name, const AdmissionOptions& options, const Clock& clock,
                observe::Metrics& metrics);
  ~AdmissionGate();
  AdmissionGate(const AdmissionGate&) = delete;
  AdmissionGate& operator=(const AdmissionGate&) = delete;

  /// Waits in line, if there is one with room, at most AdmissionOptions::max_wait. Must be called on a
  /// fiber. Throws Error(cancelled / deadline_exceeded) where `ctx` ends first; a refusal is no exception.
  Entry enter(const Context& ctx);

  /// Never waits; for callers without a fiber.
  Entry try_enter();

 private:
  struct Waiting {
    runtime::Waker waker;
    bool* granted = nullptr;  // on the stack of the fiber that waits
  };

  void leave() noexcept;
  Entry admitted();
  Entry refused(Duration retry_after);

  const Clock& clock_;
  mutable std::mutex mutex_;
  Admission admission_;
  std::vector<Waiting> waiting_;  // by slot

  observe::Counter admitted_total_;
  observe::Counter refused_total_;
  observe::Counter expired_total_;
  observe::Histogram wait_seconds_;
  observe::Observation running_;
  observe::Observation queued_;
};

}  // namespace holdfast::resilience
