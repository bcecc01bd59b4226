#include "holdfast/sql/sqlite/external_poll.hpp"

#include <mutex>
#include <utility>

#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/loop.hpp"

namespace holdfast::sql::sqlite {

struct ExternalPoll::State {
  State(runtime::Runtime& owner, GroupCommit& group_commit, Duration every)
      : runtime(owner), interval(every), writer(&group_commit) {}

  runtime::Runtime& runtime;
  const Duration interval;
  runtime::CancellationSource stop;
  std::mutex mutex;
  GroupCommit* writer;   // null once the database is closed
  bool polling = false;  // a fiber is at it
};

ExternalPoll::ExternalPoll(runtime::Runtime& runtime, GroupCommit& writer, Duration interval)
    : state_(std::make_shared<State>(runtime, writer, interval)) {}

ExternalPoll::~ExternalPoll() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->writer = nullptr;
  }
  state_->stop.cancel();
}

ExternalWatch ExternalPoll::watch(runtime::Signal& signal) {
  const std::lock_guard lock(state_->mutex);
  state_->writer->add_watcher(signal);
  if (!std::exchange(state_->polling, true)) {
    state_->runtime.spawn_on(0, "sql external changes", [state = state_] { poll(state); });
  }
  return ExternalWatch([state = state_, watched = &signal] {
    const std::lock_guard stopping(state->mutex);
    if (state->writer != nullptr) state->writer->remove_watcher(*watched);
  });
}

void ExternalPoll::poll(const std::shared_ptr<State>& state) {
  const Context ctx = state->runtime.context().with_cancellation(state->stop.token());
  for (;;) {
    {
      const std::lock_guard lock(state->mutex);
      if (state->writer == nullptr || !state->writer->watched()) {
        state->polling = false;
        return;
      }
      state->writer->look_for_external_changes();
    }
    try {
      runtime::sleep_for(ctx, state->interval);
    } catch (const Error&) {  // cancelled: the database is closed
    }
  }
}

}  // namespace holdfast::sql::sqlite
