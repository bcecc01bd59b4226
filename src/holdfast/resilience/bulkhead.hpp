// A bulkhead: at most so many calls of a kind at a time, so many waiting in line, each for so long. One
// slow dependency then holds up those who need it, and nobody else. (M. Nygard, "Release It!", 2007.)
//
//   Bulkhead reports({.concurrent = 4, .waiting = 16, .longest_wait = 2s}, "reports");
//   if (auto place = reports.enter(ctx)) { render(ctx); }      // leaves when `place` is destroyed
//   else refuse(place.refusal());
//
// With room, entering is one compare-exchange and leaving one subtraction; in line it is first come, first
// served. (AdmissionGate is its relative at the server's door: it locks, and works out a Retry-After.)
// Thread-safety: any thread and fiber. Outlives its places.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <utility>

#include "holdfast/base/clock.hpp"
#include "holdfast/base/describe.hpp"
#include "holdfast/base/rules.hpp"
#include "holdfast/runtime/context.hpp"
#include "holdfast/runtime/waker.hpp"

namespace holdfast::resilience {

struct BulkheadOptions {
  bool enabled = true;
  std::uint32_t concurrent = 64;
  std::uint32_t waiting = 128;
  std::chrono::microseconds longest_wait = std::chrono::milliseconds(500);

  static constexpr auto rules() {
    return holdfast::rules(
        field<&BulkheadOptions::enabled>().doc("Whether there is one."),
        field<&BulkheadOptions::concurrent>().range(1, 1'000'000).doc("Calls at a time."),
        field<&BulkheadOptions::waiting>().range(0, 1'000'000).doc("Calls in line; one more is refused."),
        field<&BulkheadOptions::longest_wait>()
            .range(0, 3'600'000'000)
            .doc("In line; who has waited longer is refused."));
  }
};
HOLDFAST_DESCRIBE(BulkheadOptions, (enabled, concurrent, waiting, longest_wait))

enum class BulkheadRefusal : std::uint8_t {
  none,
  full,        ///< no place, and none in line
  waited_out,  ///< longest_wait was over
};

class Bulkhead {
 public:
  /// A place inside (true), or a refusal.
  class [[nodiscard]] Place {
   public:
    Place(Place&& other) noexcept
        : bulkhead_(std::exchange(other.bulkhead_, nullptr)), refusal_(other.refusal_) {}
    Place& operator=(Place&&) = delete;
    ~Place() {
      if (bulkhead_ != nullptr) bulkhead_->leave();
    }
    explicit operator bool() const noexcept { return bulkhead_ != nullptr; }
    BulkheadRefusal refusal() const noexcept { return refusal_; }

   private:
    friend class Bulkhead;
    explicit Place(Bulkhead* bulkhead) noexcept : bulkhead_(bulkhead) {}
    explicit Place(BulkheadRefusal refusal) noexcept : refusal_(refusal) {}
    Bulkhead* bulkhead_ = nullptr;
    BulkheadRefusal refusal_ = BulkheadRefusal::none;
  };

  /// `name` is shown where a fiber waits; a literal, or outliving the bulkhead. Throws
  /// Error(invalid_argument) without a single place.
  explicit Bulkhead(const BulkheadOptions& options, const char* name = "bulkhead");
  ~Bulkhead();
  Bulkhead(const Bulkhead&) = delete;
  Bulkhead& operator=(const Bulkhead&) = delete;

  /// Waits in line where there is no room, at most longest_wait; that needs a fiber. Throws
  /// Error(cancelled / deadline_exceeded) where `ctx` ends first; a refusal is no exception.
  Place enter(const Context& ctx) {
    if (take()) [[likely]]
      return Place(this);
    return enter_line(ctx);
  }
  /// Never waits.
  Place try_enter() noexcept { return take() ? Place(this) : Place(BulkheadRefusal::full); }

  std::uint32_t running() const noexcept { return running(word_.load(std::memory_order_relaxed)); }
  std::uint32_t waiting() const noexcept { return waiting(word_.load(std::memory_order_relaxed)); }
  const BulkheadOptions& options() const noexcept { return options_; }

 private:
  static constexpr std::uint64_t kOneWaiting = std::uint64_t{1} << 32;

  struct Waiter;              // on the stack of the fiber that waits
  friend class BulkheadLine;  // of a test, which stops the line between a leave and whom it lets in

  static std::uint32_t running(std::uint64_t word) noexcept { return static_cast<std::uint32_t>(word); }
  static std::uint32_t waiting(std::uint64_t word) noexcept { return static_cast<std::uint32_t>(word >> 32); }

  /// Nobody passes those in line.
  bool take() noexcept {
    std::uint64_t word = word_.load(std::memory_order_relaxed);
    while (word < options_.concurrent) {  // which also says that nobody waits
      if (word_.compare_exchange_weak(word, word + 1, std::memory_order_acquire, std::memory_order_relaxed)) {
        return true;
      }
    }
    return false;
  }
  void leave() noexcept {
    if (waiting(word_.fetch_sub(1, std::memory_order_acq_rel)) != 0) [[unlikely]]
      let_in();
  }
  Place enter_line(const Context& ctx);
  void let_in() noexcept;
  void unlink(Waiter& waiter) noexcept;

  std::atomic<std::uint64_t> word_{0};  // how many run (low half) and how many wait
  const BulkheadOptions options_;
  const char* const name_;
  std::mutex mutex_;  // guards the line; held wherever the number of those waiting changes
  Waiter* first_ = nullptr;
  Waiter* last_ = nullptr;
};

}  // namespace holdfast::resilience
