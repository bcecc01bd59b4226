#include "holdfast/sql/postgres/listener.hpp"

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/sync.hpp"
#include "holdfast/sql/postgres/connection.hpp"

namespace holdfast::sql::postgres {

struct Listener::State {
  State(runtime::Runtime& owner, const Options& chosen, std::string payload, Counters& counting)
      : runtime(owner), options(chosen), own(std::move(payload)), counters(counting) {}

  void tell() {
    counters.external_changes.add();
    const std::lock_guard lock(mutex);
    for (runtime::Signal* signal : watchers) signal->notify();
  }

  runtime::Runtime& runtime;
  const Options& options;
  const std::string own;
  Counters& counters;
  runtime::CancellationSource stop;
  runtime::Latch ended;
  std::mutex mutex;
  std::vector<runtime::Signal*> watchers;
  bool started = false;
};

Listener::Listener(runtime::Runtime& runtime, const Options& options, std::string own, Counters& counters)
    : state_(std::make_shared<State>(runtime, options, std::move(own), counters)) {}

Listener::~Listener() {
  bool started = false;
  {
    const std::lock_guard lock(state_->mutex);
    started = state_->started;
  }
  state_->stop.cancel();
  if (started && runtime::on_fiber()) state_->ended.wait(state_->runtime.context(), "the listener");
}

ExternalWatch Listener::watch(runtime::Signal& signal) {
  const std::lock_guard lock(state_->mutex);
  state_->watchers.push_back(&signal);
  if (!std::exchange(state_->started, true)) {
    state_->runtime.spawn_on(0, "sql listener", [state = state_] {
      listen(*state);
      state->ended.open();
    });
  }
  return ExternalWatch([state = state_, watched = &signal] {
    const std::lock_guard stopping(state->mutex);
    std::erase(state->watchers, watched);
  });
}

void Listener::listen(State& state) {
  const Context ctx = state.runtime.context().with_cancellation(state.stop.token());
  while (!ctx.cancelled()) {
    try {
      listen_on_connection(state, ctx);
    } catch (...) {  // counted by kind
    }
    try {
      if (!ctx.cancelled()) runtime::sleep_for(ctx, state.options.external_poll);
    } catch (const Error&) {  // cancelled: the database is closed
    }
  }
}

void Listener::listen_on_connection(State& state, const Context& ctx) {
  const auto connection = Connection::open(ctx, state.options, Connection::Use::listener, state.counters);
  connection->run_script(ctx, std::string("listen ") + kChannel);
  std::string seen;
  for (;;) {
    state.tell();  // of what came before, or while there was no connection
    for (;;) {
      const Context soon = ctx.with_timeout(state.options.external_poll);
      if (connection->wait_for_notification(soon, state.own)) break;
      if (ctx.cancelled()) return;
      std::string now;
      struct Ids final : RowSink {
        explicit Ids(std::string& text) : text_(text) {}
        void columns(const RowView&) override {}
        bool row(const RowView& row) override { return text_ = row.value(0).as_text(), true; }
        std::string& text_;
      } ids(now);
      connection->run(ctx, "select pg_current_snapshot()::text", {}, &ids, Connection::Rows::gathered);
      if (std::exchange(seen, now) != now) break;
    }
  }
}

}  // namespace holdfast::sql::postgres
