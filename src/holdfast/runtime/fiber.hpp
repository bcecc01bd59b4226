// Fibers: functions that can wait. A fiber runs on one Loop from start to end; while it waits, others
// run. Code that waits is ordinary code that takes a Context.
//
//   FiberGroup group(ctx);
//   group.spawn("price", [&](const Context& ctx) { price = catalog.price(ctx, sku); });
//   group.spawn("stock", [&](const Context& ctx) { stock = inventory.level(ctx, sku); });
//   group.wait();                        // rethrows the first failure; the others were cancelled
//
// Structured: no fiber outlives its group, and no group the frame it lives in. So a fiber may hold
// references to the locals of that frame.
#pragma once

#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <string_view>

#include "holdfast/runtime/context.hpp"
#include "holdfast/runtime/waker.hpp"

namespace holdfast::runtime {

/// How a wait ended.
enum class Woken : std::uint8_t { by_event, by_deadline, by_cancellation };

/// A Waker for the *next* park() of the calling fiber. Hand it out, then park. Throws Error(internal)
/// where nothing may wait: outside a fiber, and inside a NoWaitScope; the message names `doing` and it.
Waker prepare_wait(const char* doing = "waiting");

/// The one way to wait. Gives the loop to others until the Waker of prepare_wait() is woken, the
/// Context's deadline passes, or it is cancelled, whichever is first; a wake that came between
/// prepare_wait() and here ends it at once. `where` is shown in /v1/ops/requests and must be a literal.
Woken park(const Context& ctx, const char* where) noexcept;

/// Like park(), but neither deadline nor cancellation ends it: for waits whose other side holds
/// references into this fiber's stack and is certain to wake it.
void park_uninterruptible(const char* where) noexcept;

/// Throws Error(deadline_exceeded / cancelled) unless `woken` is by_event.
void throw_unless_event(Woken woken, const char* where);

/// Waits for `duration`. Throws Error(deadline_exceeded) at once where the deadline is nearer, and
/// Error(cancelled) when cancelled meanwhile.
void sleep_for(const Context& ctx, Duration duration);

/// Lets every other ready fiber of this loop run once.
void yield() noexcept;

/// Whether the caller runs on a fiber (and so may wait).
bool on_fiber() noexcept;

/// While it lives, a wait on this thread is refused: sql/ holds one around a transaction's body, where
/// a remote call would keep the database from everybody else.
class NoWaitScope {
 public:
  /// `reason` completes "waiting for x is refused inside ..."; it must outlive the scope.
  explicit NoWaitScope(const char* reason) noexcept;
  ~NoWaitScope();
  NoWaitScope(const NoWaitScope&) = delete;
  NoWaitScope& operator=(const NoWaitScope&) = delete;
  /// The innermost scope's reason on this thread; null outside of any.
  static const char* current() noexcept;

 private:
  const char* previous_;
};

class FiberGroup {
 public:
  /// Children get a Context derived from `ctx`, cancelled when the group is.
  explicit FiberGroup(const Context& ctx);

  /// Cancels what still runs and waits for it. A destroyed group has no fibers.
  ~FiberGroup();
  FiberGroup(const FiberGroup&) = delete;
  FiberGroup& operator=(const FiberGroup&) = delete;

  /// Starts `body` on the calling fiber's loop. `name` must be a literal. A failure cancels the others.
  /// Throws Error(unavailable) when the runtime has no stack left (Runtime::Options::max_fibers_per_loop).
  void spawn(const char* name, std::function<void(const Context&)> body);

  /// Waits for all; then rethrows the first failure there was, if any.
  void wait();

  /// Asks all children to stop; does not wait.
  void cancel() noexcept;

  std::size_t running() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace holdfast::runtime
