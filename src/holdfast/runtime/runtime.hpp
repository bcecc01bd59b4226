// The machine room: event loops (one a core), the fibers on them, the clock and the random source all
// of them use. One Runtime a process, made first and destroyed last.
//
//   SystemClock clock; SystemRandom random;
//   Runtime runtime({}, clock, random);
//   runtime.run([&](const Context& ctx) { ... });   // the main fiber, on loop 0; returns when it does
//
// Simulation: with Options::simulated there is one loop, on the calling thread, and no other thread at
// all; when nothing is ready the ManualClock jumps to the next timer. With a SeededRandom the whole
// run, order of ready fibers included, is a function of the seed.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "holdfast/base/clock.hpp"
#include "holdfast/base/random.hpp"
#include "holdfast/runtime/context.hpp"
#include "holdfast/runtime/fiber.hpp"

namespace holdfast::runtime {

class Loop;

/// What /v1/ops/requests and the stall detector show of a fiber.
struct FiberReport {
  const char* name;
  const char* waiting_at;  ///< null while it runs or is ready
  Duration age;
};

struct LoopStatistics {
  std::uint64_t fibers_started = 0;
  std::uint64_t fibers_alive = 0;
  std::uint64_t stacks_pooled = 0;
  std::uint64_t polls = 0;
  std::uint64_t stalls = 0;
};

class Runtime {
 public:
  struct Options {
    std::size_t loops = 0;                      ///< 0: one a core
    std::size_t stack_bytes = 256 * 1024;       ///< of a fiber; address space, touched pages count
    std::size_t max_pooled_stacks = 256;        ///< idle stacks kept, a loop
    std::size_t max_fibers_per_loop = 100'000;  ///< more are refused
    Duration stall_limit =
        std::chrono::milliseconds(100);   ///< a loop that gives nobody else a turn for longer is reported
    bool shuffle_ready = false;           ///< test builds: ready fibers run in random order
    bool simulated = false;               ///< see above; the clock must be `manual_clock`
    ManualClock* manual_clock = nullptr;  ///< moved by a simulated runtime; not owned
    std::function<void(const std::string&)> on_stall;  ///< told where a loop stalled; from a watcher thread
  };

  /// `clock` and `random` must outlive it.
  Runtime(Options options, const Clock& clock, Random& random);
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  /// Runs `main` as a fiber on loop 0 and returns (or rethrows) when it has ended. Once only.
  void run(const std::function<void(const Context&)>& main);

  /// Runs `body` as a fiber on loop `index`, not part of any group: its owner must see it end.
  /// Any thread. `body` must not throw.
  void spawn_on(std::size_t index, const char* name, std::function<void()> body);

  /// Runs `work`, which must not wait, on loop `index` soon. Any thread.
  void post(std::size_t index, std::function<void()> work);

  std::size_t loop_count() const noexcept;
  /// The index of the loop that the caller runs on; aborts on another thread.
  std::size_t current_loop() const noexcept;
  bool simulated() const noexcept;
  const Clock& clock() const noexcept;
  Random& random() const noexcept;
  /// A root Context on this runtime's clock.
  Context context() const { return Context(clock()); }

  /// A thread of the platform's: named in `top`, joined by its owner. Only runtime/ and sql/ use it.
  std::thread start_thread(const std::string& name, std::function<void()> body);

  LoopStatistics statistics() const noexcept;
  /// A snapshot; may be a moment old. Any thread.
  std::vector<FiberReport> fibers() const;

  Loop& loop(std::size_t index) noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace holdfast::runtime
