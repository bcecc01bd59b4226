// A named, bounded pool of threads for what would block a loop: slow CPU work, blocking system calls.
// Each kind of work has its own pool (a bulkhead), so that a slow kind can't starve another.
//
//   OffloadPool mail(runtime, {.name = "mail", .threads = 1, .max_queue = 256});
//   mail.run(ctx, [&] { write_and_fsync(path, text); });
//
// In a simulation (Runtime::Options::simulated) the work runs on the loop itself.
// Thread-safety: run() from any fiber, post() from any thread.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "holdfast/runtime/context.hpp"

namespace holdfast::runtime {

class Runtime;

class OffloadPool {
 public:
  struct Options {
    std::string name;
    std::size_t threads = 1;
    std::size_t max_queue = 1024;  ///< tasks waiting for a thread; more are refused
  };

  OffloadPool(Runtime& runtime, Options options);
  /// Runs what is queued, then joins its threads.
  ~OffloadPool();
  OffloadPool(const OffloadPool&) = delete;
  OffloadPool& operator=(const OffloadPool&) = delete;

  /// Runs `work` on a thread of the pool and waits for it; rethrows what it throws. A deadline or a
  /// cancellation takes it out of the queue; once it runs it is waited for (it may refer to locals of
  /// the caller). Throws Error(unavailable) when the queue is full.
  void run(const Context& ctx, const std::function<void()>& work);

  /// Queues `work` and returns; false (and nothing queued) when the queue is full. `work` must not throw.
  [[nodiscard]] bool post(std::function<void()> work);

  std::size_t queued() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace holdfast::runtime
