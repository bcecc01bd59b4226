// The inside of a Loop, shared by this room's sources only: loop.cpp, fiber.cpp, runtime.cpp.
#pragma once

#include <atomic>
#include <boost/context/fiber.hpp>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "holdfast/runtime/internal/sanitizers.hpp"
#include "holdfast/runtime/internal/stack.hpp"
#include "holdfast/runtime/loop.hpp"
#include "holdfast/runtime/runtime.hpp"

namespace holdfast::runtime {

/// What other threads may read of a fiber.
struct FiberMark {
  const char* name;
  const char* waiting_at;
  Instant started;
};

/// Where a fiber was left; empty while it runs. Never destroyed: boost::context would unwind the stack,
/// and ours are either idle, with nothing on them, or given up on purpose at the very end.
union SuspendedContext {
  boost::context::fiber value;
  SuspendedContext() : value() {}
  ~SuspendedContext() {}
  SuspendedContext(const SuspendedContext&) = delete;
  SuspendedContext& operator=(const SuspendedContext&) = delete;
};

/// A stack and what runs on it. It outlives the function it runs: finished ones are pooled and given
/// the next function, and none is freed before its Loop, so that a late Waker finds a stale ticket and
/// not freed memory.
class Fiber {
 public:
  Fiber(Loop::State& loop, std::size_t stack_bytes);

  Loop::State& loop;
  Stack stack;
  SanitizedStack sanitized;
  SuspendedContext context;
  std::function<void()> body;
  std::atomic<const char*> name{nullptr};  // null while it is pooled
  std::atomic<const char*> waiting_at{nullptr};
  std::atomic<Instant> started{};
  std::uint64_t ticket = 0;  // of the current or latest wait; wakers with another one are late
  bool waiting = false;      // parked, and not yet woken
  bool woken_early = false;  // woken between prepare_wait() and park()
  Woken woken = Woken::by_event;
  bool alive = false;
  Timer deadline;

  FiberMark mark() const noexcept {
    return {name.load(std::memory_order_relaxed), waiting_at.load(std::memory_order_relaxed),
            started.load(std::memory_order_relaxed)};
  }

 private:
  boost::context::fiber run(boost::context::fiber&& loop_context);
};

struct Loop::State {
  State(Runtime& runtime, const Runtime::Options& options, const Clock& clock, Random& random,
        std::size_t index);
  ~State();

  void run();
  void stop();

  // Fibers. On the loop's thread.
  bool spawn(const char* name, std::function<void()> body);
  void make_ready(Fiber& fiber, Woken woken) noexcept;
  void leave_fiber() noexcept;  // on a fiber: back to the loop until resumed
  void wake(const Waker& waker) noexcept;
  // From other threads; `wake_remote` takes several at the price of one notification.
  void wake_remote(const Waker* wakers, std::size_t count) noexcept;
  void post(std::function<void()> work);

  void arm(Timer& timer, Instant due);
  void disarm(Timer& timer) noexcept;

  Runtime& runtime;
  const Runtime::Options& options;
  const Clock& clock;
  Random& random;
  const std::size_t index;
  Loop* self = nullptr;
  int epoll_fd = -1;
  int event_fd = -1;

  Fiber* current = nullptr;
  boost::context::fiber loop_context;  // where the loop was left; empty while it runs itself
  std::unique_ptr<SanitizedStack> own_stack;
  std::deque<Fiber*> ready;
  std::vector<std::unique_ptr<Fiber>> fibers;
  std::vector<Fiber*> idle;
  mutable std::mutex fibers_mutex;  // guards `fibers` for reports from other threads
  Instant turn_started{};

  struct Due {
    Instant at;
    Timer* timer;
  };
  std::vector<Due> timers;  // binary heap, earliest first

  std::mutex inbox_mutex;
  std::vector<Waker> inbox_wakes;
  std::vector<std::function<void()>> inbox_work;
  bool sleeping = false;
  bool stopping = false;
  int last_turns_left = 1000;  // after stop(), for what was woken before …
  int quiet_turns_left = 2;    // … and until nothing is

  std::vector<IoHandler*> fetched;  // of the events being dispatched; unwatch() blanks its own

  std::atomic<std::uint64_t> progress{
      0};  // grows with each fiber or callback run: the stall detector's pulse
  std::atomic<bool> idle_now{false};
  std::atomic<const char*> running{nullptr};
  std::atomic<std::uint64_t> fibers_started{0};
  std::atomic<std::uint64_t> fibers_alive{0};
  std::atomic<std::uint64_t> polls{0};
  std::atomic<std::uint64_t> stalls{0};

 private:
  bool take_inbox();
  void fire_timers();
  void run_ready();
  void resume(Fiber& fiber);
  void poll();
  int poll_timeout_milliseconds();
  void sift_up(std::size_t slot) noexcept;
  void sift_down(std::size_t slot) noexcept;
  void place(std::size_t slot, Due due) noexcept;
  void pulse(const char* what) noexcept;

  std::vector<Waker> taken_wakes_;
  std::vector<std::function<void()>> taken_work_;
};

}  // namespace holdfast::runtime
