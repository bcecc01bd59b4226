// Tells AddressSanitizer and ThreadSanitizer that a thread has moved to another stack. Without it the
// first reports stack errors that aren't there, and the second sees one fiber's accesses as another's.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define HOLDFAST_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HOLDFAST_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define HOLDFAST_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HOLDFAST_TSAN 1
#endif
#endif

#ifdef HOLDFAST_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef HOLDFAST_TSAN
#include <sanitizer/tsan_interface.h>
#endif

namespace holdfast::runtime {

/// What the sanitizers know of one stack: a fiber's, or a loop thread's own.
class SanitizedStack {
 public:
  /// A fiber's stack.
  SanitizedStack([[maybe_unused]] const void* bottom, [[maybe_unused]] std::size_t bytes) {
#ifdef HOLDFAST_ASAN
    bottom_ = bottom;
    bytes_ = bytes;
#endif
#ifdef HOLDFAST_TSAN
    tsan_ = __tsan_create_fiber(0);
    owned_ = true;
#endif
  }
  /// The thread's own; learned at the first switch away from it. Made on that thread.
  SanitizedStack() {
#ifdef HOLDFAST_TSAN
    tsan_ = __tsan_get_current_fiber();
#endif
  }
  ~SanitizedStack() {
#ifdef HOLDFAST_TSAN
    if (owned_) __tsan_destroy_fiber(tsan_);
#endif
  }
  SanitizedStack(const SanitizedStack&) = delete;
  SanitizedStack& operator=(const SanitizedStack&) = delete;

  /// Call on this stack right before switching to `to`. Inlined always: a call's own entry and exit would
  /// land on two different shadow stacks.
  [[gnu::always_inline]] void leaving([[maybe_unused]] SanitizedStack& to) noexcept {
#ifdef HOLDFAST_ASAN
    __sanitizer_start_switch_fiber(&fake_stack_, to.bottom_, to.bytes_);
#endif
#ifdef HOLDFAST_TSAN
    __tsan_switch_to_fiber(to.tsan_, 0);
#endif
  }

  /// Call on this stack right after having been switched to from `from`.
  [[gnu::always_inline]] void arrived([[maybe_unused]] SanitizedStack& from) noexcept {
#ifdef HOLDFAST_ASAN
    __sanitizer_finish_switch_fiber(fake_stack_, &from.bottom_, &from.bytes_);
#endif
  }

 private:
#ifdef HOLDFAST_ASAN
  const void* bottom_ = nullptr;
  std::size_t bytes_ = 0;
  void* fake_stack_ = nullptr;
#endif
#ifdef HOLDFAST_TSAN
  void* tsan_ = nullptr;
  bool owned_ = false;
#endif
};

}  // namespace holdfast::runtime
