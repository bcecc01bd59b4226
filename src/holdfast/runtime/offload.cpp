#include "holdfast/runtime/offload.hpp"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/runtime.hpp"

namespace holdfast::runtime {

namespace {

struct Task {
  std::function<void()> posted;           // of post(): the task owns its work
  const std::function<void()>* borrowed;  // of run(): the caller waits, its work stays where it is
  bool started = false;
  bool done = false;
  std::exception_ptr failure;
  Waker caller;
};

}  // namespace

struct OffloadPool::State {
  State(Runtime& owner, Options opts) : runtime(owner), options(std::move(opts)) {}

  Runtime& runtime;
  const Options options;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Task*> queue;
  bool closing = false;
  std::vector<std::thread> threads;

  bool push(Task* task) {
    {
      const std::lock_guard lock(mutex);
      if (queue.size() >= options.max_queue || closing) return false;
      queue.push_back(task);
    }
    if (runtime.simulated()) {
      runtime.post(0, [this] { run_one(); });
    } else {
      changed.notify_one();
    }
    return true;
  }

  // Runs the oldest task; false when there was none.
  bool run_one() {
    Task* task = nullptr;
    {
      const std::lock_guard lock(mutex);
      if (queue.empty()) return false;
      task = queue.front();
      queue.pop_front();
      task->started = true;
    }
    if (!task->borrowed) {
      task->posted();
      delete task;
      return true;
    }
    std::exception_ptr failure;
    try {
      (*task->borrowed)();
    } catch (...) {
      failure = std::current_exception();
    }
    Waker caller;
    {
      const std::lock_guard lock(mutex);
      task->failure = std::move(failure);
      task->done = true;
      caller = task->caller;
    }
    caller.wake();  // the task may be gone by now
    return true;
  }

  void work() {
    for (;;) {
      {
        std::unique_lock lock(mutex);
        changed.wait(lock, [this] { return closing || !queue.empty(); });
        if (queue.empty()) return;
      }
      run_one();
    }
  }
};

OffloadPool::OffloadPool(Runtime& runtime, Options options)
    : state_(std::make_unique<State>(runtime, std::move(options))) {
  if (runtime.simulated()) return;
  for (std::size_t i = 0; i < state_->options.threads; ++i) {
    state_->threads.push_back(
        runtime.start_thread(state_->options.name, [state = state_.get()] { state->work(); }));
  }
}

OffloadPool::~OffloadPool() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->closing = true;
  }
  state_->changed.notify_all();
  for (auto& thread : state_->threads) thread.join();
  while (state_->run_one()) {
  }
}

void OffloadPool::run(const Context& ctx, const std::function<void()>& work) {
  Task task{.posted = {}, .borrowed = &work, .failure = {}, .caller = prepare_wait("offloaded work")};
  if (!state_->push(&task)) {
    throw Error(ErrorCode::unavailable, "Too many requests are waiting for the same thing.")
        .reason("queue_full")
        .cause("offload pool " + state_->options.name)
        .retry_after(std::chrono::seconds(1));
  }
  const Woken woken = park(ctx, "offload pool");
  for (;;) {
    {
      const std::lock_guard lock(state_->mutex);
      if (task.done) break;
      if (!task.started) {
        std::erase(state_->queue, &task);
        throw_unless_event(woken, "a thread of the offload pool");
      }
      task.caller = prepare_wait("offloaded work");
    }
    park_uninterruptible("offload pool");
  }
  if (task.failure) std::rethrow_exception(task.failure);
}

bool OffloadPool::post(std::function<void()> work) {
  auto task = std::make_unique<Task>();
  task->posted = std::move(work);
  if (!state_->push(task.get())) return false;
  [[maybe_unused]] auto* queued = task.release();  // run_one() deletes it
  return true;
}

std::size_t OffloadPool::queued() const noexcept {
  const std::lock_guard lock(state_->mutex);
  return state_->queue.size();
}

}  // namespace holdfast::runtime
