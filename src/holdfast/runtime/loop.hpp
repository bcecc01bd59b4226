// Loop: one thread's event loop: ready fibers, timers, readiness of file descriptors, and work posted
// by other threads. For those who build on callbacks (http/ server connections, the curl client);
// everything else uses fiber.hpp.
//
// Callbacks run on the loop's thread, outside any fiber: they must not wait and must not throw.
// Thread-safety: post() from any thread; everything else on the loop's own thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "holdfast/base/clock.hpp"

namespace holdfast::runtime {

class Runtime;

/// Something that happens at an instant. Owned by whoever waits for it; disarmed when destroyed.
class Timer {
 public:
  explicit Timer(std::function<void()> on_due) : on_due_(std::move(on_due)) {}
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  /// Runs the callback once at `due` (or as soon after it as the loop comes round), on the calling
  /// thread's loop. Arming again moves it.
  void arm(Instant due);
  void disarm() noexcept;
  bool armed() const noexcept { return slot_ != kNotArmed; }

 private:
  friend class Loop;
  static constexpr std::size_t kNotArmed = static_cast<std::size_t>(-1);
  std::function<void()> on_due_;
  class Loop* loop_ = nullptr;
  std::size_t slot_ = kNotArmed;  // its place in the loop's heap
};

/// Told when a descriptor may be read or written again.
class IoHandler {
 public:
  virtual ~IoHandler() = default;
  /// `hung_up`: the peer closed its side, or the socket failed; a read will tell.
  virtual void on_ready(bool readable, bool writable, bool hung_up) = 0;
};

class Loop {
 public:
  /// The loop whose thread this is; null on any other thread.
  static Loop* current() noexcept;

  /// Runs `work` on this loop soon. Any thread.
  void post(std::function<void()> work);

  /// Starts `body` as a fiber in nobody's group; its owner must see it end. `name` is a literal.
  /// `body` must not throw. False when Runtime::Options::max_fibers_per_loop are alive.
  [[nodiscard]] bool spawn(const char* name, std::function<void()> body);

  /// Watches `fd` (non-blocking) edge-triggered for both directions: after each on_ready, read or write
  /// until EAGAIN. The handler must live until unwatch().
  void watch(int fd, IoHandler& handler);
  /// After it returns, the handler is not called again, not even for events already fetched.
  void unwatch(int fd, IoHandler& handler) noexcept;

  /// The time at which this turn of the loop began: a clock read shared by its callbacks, at most a
  /// turn late.
  Instant turn_started() const noexcept;

  const Clock& clock() const noexcept;
  std::size_t index() const noexcept;
  Runtime& runtime() const noexcept;

  struct State;
  State& state() noexcept { return *state_; }  ///< for this room's sources

  explicit Loop(std::unique_ptr<State> state);
  ~Loop();

 private:
  std::unique_ptr<State> state_;
};

}  // namespace holdfast::runtime
