// What fibers synchronize with. Each is safe between fibers of different loops and, for the verbs
// that don't wait, between any threads. FIFO: who waited longest goes first.
#pragma once

#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <vector>

#include "holdfast/runtime/context.hpp"
#include "holdfast/runtime/fiber.hpp"

namespace holdfast::runtime {

/// Wakes whoever waits; remembers nothing. For "look again": wait for a change of something else.
class Signal {
 public:
  /// A number that grows with each notify(). Read it, look, then wait_past() it: nothing is missed.
  std::uint64_t version() const noexcept;
  void notify() noexcept;  ///< any thread
  /// Returns once version() > `seen`. With by_deadline / by_cancellation where that came first.
  Woken wait_past(const Context& ctx, std::uint64_t seen, const char* where);

 private:
  mutable std::mutex mutex_;
  std::uint64_t version_ = 0;
  std::vector<Waker> waiting_;
};

/// Opens once, stays open. (absl::Notification.)
class Latch {
 public:
  void open() noexcept;  ///< any thread
  bool is_open() const noexcept;
  void wait(const Context& ctx, const char* where);  ///< throws as throw_unless_event

 private:
  mutable std::mutex mutex_;
  bool open_ = false;
  std::vector<Waker> waiting_;
};

/// Counts permits. Bounded waiting room: at most `max_waiting` fibers, more are refused.
class Semaphore {
 public:
  Semaphore(std::size_t permits, std::size_t max_waiting);

  bool try_acquire() noexcept;
  /// Throws Error(unavailable) when the waiting room is full; Error(deadline_exceeded / cancelled).
  void acquire(const Context& ctx, const char* where);
  void release() noexcept;
  std::size_t available() const noexcept;

 private:
  struct Waiting {
    Waker waker;
    bool* granted;
  };
  mutable std::mutex mutex_;
  std::size_t permits_;
  const std::size_t max_waiting_;
  std::deque<Waiting> waiting_;
};

/// Holds one permit while it lives.
class Permit {
 public:
  Permit(Semaphore& semaphore, const Context& ctx, const char* where) : semaphore_(&semaphore) {
    semaphore.acquire(ctx, where);
  }
  ~Permit() { semaphore_->release(); }
  Permit(const Permit&) = delete;
  Permit& operator=(const Permit&) = delete;

 private:
  Semaphore* semaphore_;
};

}  // namespace holdfast::runtime
