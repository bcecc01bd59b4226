// Bounded admission: so many at work, so many waiting in line, each for so long; the rest is refused at
// once and told when to come again. The critical go first, and a full line gives up its background work
// for them (shedder.hpp). Two parts: Admission, the bookkeeping, a state machine that is told the time;
// AdmissionGate, fibers around it, which may also find out how many places there are (adaptive_limit.hpp).
//
//   AdmissionGate gate("http", {.max_running = 256, .max_waiting = 1024, .max_wait = 1s}, clock, metrics);
//   const AdmissionGate::Entry entry = gate.enter(ctx);    // waits in line, by ctx.priority()
//   if (!entry) return refused(503, entry.retry_after());
//   ...                                                    // leaves when `entry` is destroyed
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "holdfast/base/clock.hpp"
#include "holdfast/observe/metrics.hpp"
#include "holdfast/resilience/adaptive_limit.hpp"
#include "holdfast/resilience/shedder.hpp"
#include "holdfast/runtime/context.hpp"
#include "holdfast/runtime/waker.hpp"

namespace holdfast::resilience {

struct AdmissionOptions {
  std::uint32_t max_running = 256;   ///< at least 1
  std::uint32_t max_waiting = 1024;  ///< 0: nobody waits
  /// In line. Who has waited longer is refused; who would have to, at the pace of late, is at once.
  Duration max_wait = std::chrono::seconds(1);
  SheddingOptions shedding{};
  /// AdmissionGate: find out how many may be at work; `max_running` is the most that may come of it.
  std::optional<AdaptiveLimitOptions> adaptive{};
};

enum class AdmissionVerdict : std::uint8_t { admitted, queued, refused };

/// The critical first, FIFO among equals. No allocation after construction, O(1) each.
/// Thread-safety: one thread at a time.
class Admission {
 public:
  /// A place in line. Good until it is admitted, abandoned, pushed out or expired.
  struct Ticket {
    std::uint32_t slot = 0;
    Instant deadline{};
  };
  struct Decision {
    AdmissionVerdict verdict = AdmissionVerdict::refused;
    Ticket ticket{};          ///< if queued
    Duration retry_after{0};  ///< if refused: when the line should have moved on
    bool shed = false;        ///< if refused: though the line has room, for its priority
    /// If queued: the newest of the lowest priority has lost this place, which is now the ticket's.
    bool pushed_out = false;
  };

  explicit Admission(const AdmissionOptions& options);

  Decision try_enter(Instant now, Priority priority = Priority::normal) noexcept;

  /// Whether try_enter() would admit one of `priority`, or let it wait. Costs and changes nothing.
  bool has_room_for(Priority priority) const noexcept;

  /// When it is worth trying again, as things are.
  Duration retry_after() const noexcept;

  /// One of those at work has finished. The next in line who may enter, if there is one, is at work
  /// from now on. Those in front of it whose wait is over have lost their places.
  std::optional<Ticket> leave(Instant now) noexcept;

  /// From now on so many may be at work, 1 to max_running. More than that stay until they leave. Where
  /// places got free, admit_next() must be called until it returns nothing.
  void set_limit(std::uint32_t limit) noexcept;
  std::optional<Ticket> admit_next(Instant now) noexcept;

  /// Who holds `ticket` waits no longer. Must be in line: not admitted, abandoned or expired before.
  void abandon(const Ticket& ticket) noexcept;

  /// Whether `slot` is in line.
  bool waiting_at(std::uint32_t slot) const noexcept { return slots_[slot].in_line; }

  std::uint32_t running() const noexcept { return running_; }
  std::uint32_t waiting() const noexcept { return waiting_; }
  std::uint32_t limit() const noexcept { return limit_; }
  const Shedder& shedder() const noexcept { return shedder_; }
  const AdmissionOptions& options() const noexcept { return options_; }

 private:
  static constexpr std::uint32_t kNone = ~0u;
  struct Slot {
    std::uint32_t before = kNone;
    std::uint32_t after = kNone;  // the next in line; of a free slot: the next free one
    Instant since{};
    Instant deadline{};
    Priority priority = Priority::normal;
    bool in_line = false;
  };
  struct Line {
    std::uint32_t first = kNone;
    std::uint32_t last = kNone;
    std::uint32_t length = 0;
  };

  std::optional<std::uint32_t> make_room_for(Priority priority) noexcept;
  bool nobody_waits_up_to(Priority priority) const noexcept;
  bool waits_too_long(Priority priority) const noexcept;
  void note_departure(Instant now) noexcept;
  void observe_lines(Instant now) noexcept;
  void remove(std::uint32_t slot) noexcept;

  AdmissionOptions options_;
  Shedder shedder_;
  std::uint32_t limit_;
  std::vector<Slot> slots_;
  std::array<Line, kPriorities> lines_;
  std::uint32_t free_ = kNone;
  std::uint32_t running_ = 0;
  std::uint32_t waiting_ = 0;
  Instant last_departure_{};
  Duration departure_gap_{0};  // smoothed time between departures while all places are taken
  // The same over a tenth of a second: departures come in bursts where work is done in groups.
  Duration pace_{0};
  Instant pace_since_{};
  std::int64_t departures_ = 0;
};

/// Thread-safety: any fiber. Outlives its entries.
class AdmissionGate {
 public:
  /// Admitted (true) or not. While an admitted one lives, it takes a place.
  class [[nodiscard]] Entry {
   public:
    Entry(Entry&& other) noexcept
        : gate_(std::exchange(other.gate_, nullptr)),
          retry_after_(other.retry_after_),
          began_(other.began_),
          running_(other.running_) {}
    Entry& operator=(Entry&&) = delete;
    ~Entry() {
      if (gate_ != nullptr) gate_->leave(*this);
    }
    explicit operator bool() const noexcept { return gate_ != nullptr; }
    /// If refused: when it is worth trying again.
    Duration retry_after() const noexcept { return retry_after_; }
    /// How long it takes says nothing about the load: it failed at once, or waits on purpose. An adaptive
    /// gate does not learn from it. Background work is never learnt from.
    void do_not_learn() noexcept { running_ = 0; }

   private:
    friend class AdmissionGate;
    explicit Entry(Duration retry_after) : gate_(nullptr), retry_after_(retry_after) {}
    Entry(AdmissionGate* gate, Instant began, std::uint32_t running)
        : gate_(gate), began_(began), running_(running) {}
    AdmissionGate* gate_;
    Duration retry_after_{0};
    Instant began_{};
    std::uint32_t running_ = 0;  // at work when it began; 0: not to be learnt from
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

  /// Whether enter() would refuse at once; then when to come again, and it counts as refused. For turning a
  /// caller away before anything is spent on it.
  std::optional<Duration> turns_away(Priority priority);

  /// Never waits; for callers without a fiber.
  Entry try_enter(Priority priority = Priority::normal);

  /// How many may be at work now.
  std::uint32_t limit() const noexcept;

 private:
  enum class Told : std::uint8_t { nothing, granted, pushed_out };
  struct Waiting {
    runtime::Waker waker;
    Told* told = nullptr;  // on the stack of the fiber that waits
    std::uint32_t* running = nullptr;
  };
  struct Outcomes {
    observe::Counter admitted;
    observe::Counter refused;
    observe::Counter shed;
    observe::Counter expired;
    observe::Counter pushed_out;
  };

  void leave(const Entry& entry) noexcept;
  runtime::Waker grant(const Admission::Ticket& ticket) noexcept;
  Entry admitted(Priority priority, Instant began, std::uint32_t running);
  Entry refused(Priority priority, const Admission::Decision& decision);

  const Clock& clock_;
  mutable std::mutex mutex_;
  Admission admission_;
  std::optional<AdaptiveLimit> adaptive_;
  std::vector<Waiting> waiting_;  // by slot

  std::array<Outcomes, kPriorities> outcomes_;
  observe::Histogram wait_seconds_;
  std::vector<observe::Observation> observations_;
};

}  // namespace holdfast::resilience
