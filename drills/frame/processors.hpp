// Processors of their own, for as long as a SplitProcessors lives: what is started before customers_now()
// runs on one half of them, what comes after it, this thread included, on the other. So what it costs to be a
// crowd is not taken from those who serve it. Nothing is split where there is one processor only.
//
//   SplitProcessors processors;     stage.open_shop();
//   processors.customers_now();     Load load(…);
//
// Thread-safety: one thread.
#pragma once

#include <sched.h>

namespace holdfast::drills {

class SplitProcessors {
 public:
  SplitProcessors() {
    ::sched_getaffinity(0, sizeof all_, &all_);
    if (!split()) return;
    const cpu_set_t half = take(0);
    ::sched_setaffinity(0, sizeof half, &half);
  }
  ~SplitProcessors() { ::sched_setaffinity(0, sizeof all_, &all_); }
  SplitProcessors(const SplitProcessors&) = delete;
  SplitProcessors& operator=(const SplitProcessors&) = delete;

  bool split() const noexcept { return CPU_COUNT(&all_) >= 2; }

  void customers_now() {
    if (!split()) return;
    const cpu_set_t half = take(1);
    ::sched_setaffinity(0, sizeof half, &half);
  }

 private:
  /// Every second one, from `first` on.
  cpu_set_t take(int first) const {
    cpu_set_t half;
    CPU_ZERO(&half);
    int seen = 0;
    for (int i = 0; i < CPU_SETSIZE; ++i) {
      if (CPU_ISSET(i, &all_) && seen++ % 2 == first) CPU_SET(i, &half);
    }
    return half;
  }

  cpu_set_t all_{};
};

}  // namespace holdfast::drills
