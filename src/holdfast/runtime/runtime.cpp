#include "holdfast/runtime/runtime.hpp"

#include <pthread.h>

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <utility>

#include "holdfast/base/invariant.hpp"
#include "holdfast/runtime/internal/loop_state.hpp"

namespace holdfast::runtime {

struct Runtime::State {
  State(Options opts, const Clock& clk, Random& rnd) : options(std::move(opts)), clock(clk), random(rnd) {}

  Options options;
  const Clock& clock;
  Random& random;
  std::vector<std::unique_ptr<Loop>> loops;

  std::mutex mutex;
  std::condition_variable stop_watching;
  bool stopped = false;

  void watch_for_stalls();
  void report_stall(Loop::State& loop);
};

// A loop whose pulse stands still while it isn't asleep gives nobody a turn. Sampled, so that the
// loops pay one counter increment a turn and no clock read.
void Runtime::State::watch_for_stalls() {
  std::vector<std::uint64_t> seen(loops.size(), 0);
  std::vector<bool> reported(loops.size(), false);
  std::unique_lock lock(mutex);
  while (!stop_watching.wait_for(lock, options.stall_limit, [this] { return stopped; })) {
    for (std::size_t i = 0; i < loops.size(); ++i) {
      Loop::State& loop = loops[i]->state();
      const std::uint64_t now = loop.progress.load(std::memory_order_relaxed);
      const bool stalled = now == seen[i] && now != 0 && !loop.idle_now.load(std::memory_order_relaxed);
      if (stalled && !reported[i]) report_stall(loop);
      reported[i] = stalled;
      seen[i] = now;
    }
  }
}

void Runtime::State::report_stall(Loop::State& loop) {
  loop.stalls.fetch_add(1, std::memory_order_relaxed);
  if (!options.on_stall) return;
  const char* what = loop.running.load(std::memory_order_relaxed);
  const auto limit = std::chrono::duration_cast<std::chrono::milliseconds>(options.stall_limit).count();
  options.on_stall("event loop " + std::to_string(loop.index) + " gave nobody else a turn for more than " +
                   std::to_string(limit) + " ms while running: " + (what ? what : "?"));
}

Runtime::Runtime(Options options, const Clock& clock, Random& random)
    : state_(std::make_unique<State>(std::move(options), clock, random)) {
  Options& set = state_->options;
  if (set.simulated) {
    require_invariant(set.manual_clock == &clock, "a simulated runtime needs its ManualClock as its clock");
    set.loops = 1;
  }
  if (set.loops == 0) set.loops = std::max(1U, std::thread::hardware_concurrency());
  for (std::size_t i = 0; i < set.loops; ++i) {
    state_->loops.push_back(
        std::make_unique<Loop>(std::make_unique<Loop::State>(*this, set, clock, random, i)));
  }
}

Runtime::~Runtime() = default;

void Runtime::run(const std::function<void(const Context&)>& main) {
  std::exception_ptr failure;
  auto& loops = state_->loops;
  spawn_on(0, "main", [&] {
    try {
      main(context());
    } catch (...) {
      failure = std::current_exception();
    }
    for (auto& loop : loops) loop->state().stop();
  });
  std::vector<std::thread> threads;
  for (std::size_t i = 1; i < loops.size(); ++i) {
    threads.push_back(start_thread("loop-" + std::to_string(i), [this, i] { loop(i).state().run(); }));
  }
  if (!simulated()) threads.push_back(start_thread("stall-watch", [this] { state_->watch_for_stalls(); }));
  loops[0]->state().run();
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopped = true;
  }
  state_->stop_watching.notify_all();
  for (auto& thread : threads) thread.join();
  for (const auto& fiber : fibers()) {
    std::fprintf(stderr, "runtime: fiber \"%s\" was still waiting (%s) when the runtime ended\n", fiber.name,
                 fiber.waiting_at ? fiber.waiting_at : "ready");
  }
  if (failure) std::rethrow_exception(failure);
}

void Runtime::spawn_on(std::size_t index, const char* name, std::function<void()> body) {
  loop(index).post([this, index, name, work = std::move(body)]() mutable {
    require_invariant(loop(index).spawn(name, std::move(work)), "no fiber left for the platform's own work");
  });
}

void Runtime::post(std::size_t index, std::function<void()> work) { loop(index).post(std::move(work)); }

std::size_t Runtime::loop_count() const noexcept { return state_->loops.size(); }

std::size_t Runtime::current_loop() const noexcept {
  require_invariant(Loop::current() != nullptr, "current_loop() on a thread that is no loop's");
  return Loop::current()->index();
}

bool Runtime::simulated() const noexcept { return state_->options.simulated; }
const Clock& Runtime::clock() const noexcept { return state_->clock; }
Random& Runtime::random() const noexcept { return state_->random; }
Loop& Runtime::loop(std::size_t index) noexcept { return *state_->loops.at(index); }

std::thread Runtime::start_thread(const std::string& name, std::function<void()> body) {
  return std::thread([name = name.substr(0, 15), work = std::move(body)] {
    ::pthread_setname_np(::pthread_self(), name.c_str());
    work();
  });
}

LoopStatistics Runtime::statistics() const noexcept {
  LoopStatistics sum;
  for (const auto& loop : state_->loops) {
    const Loop::State& s = loop->state();
    const auto alive = s.fibers_alive.load(std::memory_order_relaxed);
    sum.fibers_started += s.fibers_started.load(std::memory_order_relaxed);
    sum.fibers_alive += alive;
    sum.polls += s.polls.load(std::memory_order_relaxed);
    sum.stalls += s.stalls.load(std::memory_order_relaxed);
    const std::lock_guard lock(s.fibers_mutex);
    sum.stacks_pooled += s.fibers.size() - std::min<std::size_t>(alive, s.fibers.size());
  }
  return sum;
}

std::vector<FiberReport> Runtime::fibers() const {
  std::vector<FiberReport> reports;
  const Instant now = clock().now();
  for (const auto& loop : state_->loops) {
    const Loop::State& s = loop->state();
    const std::lock_guard lock(s.fibers_mutex);
    for (const auto& fiber : s.fibers) {
      const FiberMark mark = fiber->mark();
      if (mark.name) reports.push_back({mark.name, mark.waiting_at, now - mark.started});
    }
  }
  return reports;
}

}  // namespace holdfast::runtime
