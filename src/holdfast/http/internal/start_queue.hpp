// Requests that have been read and wait for their loop's time. A handler that never waits keeps its loop for
// as long as it computes, so a crowd of such requests would wait unseen, in sockets and among ready fibers,
// in the order in which it came. Here it waits by priority, for a bounded time, and a turn of the loop begins
// no more of it than takes about kTurn, so that what comes in meanwhile is read, and refused where it would
// wait too long.
//
// A pure state machine that is told the time; on its loop's thread.
#pragma once

#include <array>
#include <cstddef>
#include <deque>

#include "holdfast/base/clock.hpp"
#include "holdfast/resilience/shedder.hpp"
#include "holdfast/runtime/context.hpp"

namespace holdfast::http {

class Connection;

class StartQueue {
 public:
  explicit StartQueue(Duration max_wait) noexcept : max_wait_(max_wait) {}

  /// Whether a request may begin now, in the turn that began at `turn`: nobody waits, and few have begun in
  /// it.
  bool begins_at_once(Instant turn) noexcept;

  /// Whether one of `priority` would wait for longer than the bound, at the pace of late; then for how long.
  /// The critical are not judged by it, for the pace is that of everything, and theirs is another.
  Duration too_long_a_wait(Priority priority) const noexcept;

  void push(Connection* connection, Priority priority, Instant now) {
    lines_[resilience::index_of(priority)].push_back({connection, now});
    ++waiting_;
  }

  /// At the beginning of a turn, while some wait: how many of them may begin in it.
  std::size_t begin_turn(Instant now) noexcept;

  /// The next: of the highest priority, who has waited longest. Null where nobody waits.
  Connection* pop() noexcept;
  /// One that has waited for longer than the bound. Null where nobody has.
  Connection* pop_expired(Instant now) noexcept;

  std::size_t waiting() const noexcept { return waiting_; }

 private:
  static constexpr Duration kTurn = std::chrono::milliseconds(2);
  static constexpr std::size_t kMostATurn = 64;

  struct Place {
    Connection* connection;
    Instant since;
  };

  std::size_t starts_a_turn() const noexcept;

  Duration max_wait_;
  std::array<std::deque<Place>, resilience::kPriorities> lines_;
  std::size_t waiting_ = 0;
  Instant turn_ = Instant::min();
  std::size_t begun_ = 0;     // in this turn
  bool was_waiting_ = false;  // all through the last turn: then its length tells the pace
  Duration pace_{0};          // of the loop, a request; smoothed
};

}  // namespace holdfast::http
