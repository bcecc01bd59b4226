// The handle that ends one particular wait of one particular fiber. Copy it to whoever may end the
// wait: the event, the timer, the canceller. The first wake counts; later ones, and those that come
// after the wait is over, do nothing.
//
// Thread-safety: wake() from any thread, as long as the fiber's Loop lives (all loops live until the
// Runtime is destroyed).
#pragma once

#include <cstdint>
#include <span>

namespace holdfast::runtime {

class Fiber;

class Waker {
 public:
  Waker() = default;
  Waker(Fiber* fiber, std::uint64_t ticket) : fiber_(fiber), ticket_(ticket) {}

  void wake() const noexcept;

  explicit operator bool() const noexcept { return fiber_ != nullptr; }
  friend bool operator==(const Waker&, const Waker&) = default;

 private:
  friend void wake_all(std::span<const Waker> wakers) noexcept;
  friend class Loop;
  Fiber* fiber_ = nullptr;
  std::uint64_t ticket_ = 0;
};

/// Wakes many at the price of one notification a loop: what a group commit does for its callers.
void wake_all(std::span<const Waker> wakers) noexcept;

}  // namespace holdfast::runtime
