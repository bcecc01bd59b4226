#include "holdfast/messaging/broker.hpp"

#include <utility>
#include <vector>

#include "holdfast/base/invariant.hpp"
#include "holdfast/messaging/engine/internal/consumer.hpp"
#include "holdfast/messaging/engine/internal/membership.hpp"
#include "holdfast/messaging/engine/internal/retention.hpp"
#include "holdfast/messaging/engine/internal/worker_state.hpp"
#include "holdfast/messaging/internal/names.hpp"
#include "holdfast/runtime/fiber.hpp"

namespace holdfast::messaging {
namespace {

constexpr Duration kLeaveTimeout = std::chrono::seconds(2);

[[noreturn]] void refuse(const std::string& what) {
  throw Error(ErrorCode::invalid_argument, what).reason("messaging_options_invalid");
}

void require_valid(const BrokerOptions& options) {
  if (options.heartbeat <= Duration(0) || options.heartbeat > options.lease / 3)
    refuse("The heartbeat must be above zero and at most a third of the lease.");
  if (options.poll <= Duration(0) || options.trim_interval <= Duration(0))
    refuse("The poll and trim intervals must be above zero.");
  if (options.trim_batch == 0 || options.scan == 0) refuse("trim_batch and scan must be above zero.");
  if (options.inbox_retention < options.log_retention)
    refuse("The inbox must be kept at least as long as the log, or a message could be handled twice.");
}

void require_valid(const SubscriptionOptions& options) {
  require_name("group", options.group);
  if (options.topics.empty()) refuse("Group " + options.group + " subscribes to no topic.");
  const bool every = options.topics == std::vector<std::string>{std::string(kEveryTopic)};
  for (const std::string& topic : options.topics) {
    if (!every) require_name("topic", topic);
  }
  if (options.max_attempts < 1) refuse("Group " + options.group + ": max_attempts must be at least 1.");
  if (options.concurrency == 0 || options.batch == 0 || options.read_ahead == 0 ||
      options.max_parked_per_bucket == 0)
    refuse("Group " + options.group +
           ": concurrency, batch, read_ahead and max_parked_per_bucket must be above 0.");
  if (options.handler_timeout <= Duration(0))
    refuse("Group " + options.group + ": handler_timeout must be above 0.");
}

}  // namespace

struct Broker::State {
  State(runtime::Runtime& runtime, sql::Database& database, Source& source, observe::Metrics& metrics,
        observe::Logger logger, BrokerOptions options)
      : worker(runtime, database, source, metrics, std::move(logger), options),
        membership(worker, consumers) {}

  void wake_all() noexcept {
    worker.membership.notify();
    for (const auto& consumer : consumers) {
      consumer->look_again();
      consumer->wake();
    }
  }

  /// The broker's root fiber.
  void run();
  void run_trimmer(const Context& ctx);
  void wait_until_ended(const Context& ctx);

  engine::WorkerState worker;
  engine::Membership::Consumers consumers;
  engine::Membership membership;
  runtime::Latch started;
  runtime::Latch ended;
  bool running = false;
  sql::ExternalWatch lease_watch;
};

void Broker::State::run() {
  try {
    const Context ctx = worker.runtime.context().with_cancellation(worker.cancellation.token());
    runtime::FiberGroup fibers(ctx);
    membership.tick(ctx);
    for (const auto& consumer : consumers) consumer->spawn(fibers);
    fibers.spawn("message leases", [this](const Context& inner) { membership.run(inner); });
    fibers.spawn("outbox trimmer", [this](const Context& inner) { run_trimmer(inner); });
    started.open();
    fibers.wait();
  } catch (const std::exception& error) {
    worker.logger.error("the message worker ended with an error",
                        {{"worker", worker.name}, {"error", error.what()}});
  }
  try {
    if (!worker.abandoned) membership.leave(worker.runtime.context().with_timeout(kLeaveTimeout));
  } catch (const std::exception& error) {
    worker.logger.warn("leases could not be released; they expire by themselves",
                       {{"worker", worker.name}, {"error", error.what()}});
  }
  started.open();
  ended.open();
}

void Broker::State::run_trimmer(const Context& ctx) {
  while (!worker.stopping && !ctx.cancelled()) {
    // It is woken with the leases: often, but it looks at the clock only.
    const Instant next = worker.clock().now() + worker.options.trim_interval;
    while (!worker.stopping && !ctx.cancelled() && worker.clock().now() < next) {
      const std::uint64_t seen = worker.membership.version();
      if (worker.stopping) return;
      worker.membership.wait_past(ctx.with_deadline(next), seen, "waiting to trim the outbox");
    }
    if (worker.stopping || ctx.cancelled() || worker.stalled) continue;
    try {
      engine::trim(ctx.with_timeout(worker.options.trim_interval), worker.database, worker.options);
    } catch (const Error& error) {
      if (ctx.cancelled()) return;
      worker.logger.warn(ctx, "the outbox could not be trimmed; it is tried again",
                         {{"error", error.what()}});
    }
  }
}

void Broker::State::wait_until_ended(const Context& ctx) {
  ended.wait(ctx, "waiting for message handlers");
  worker.source.stop();
  lease_watch = {};
  running = false;
}

Broker::Broker(runtime::Runtime& runtime, sql::Database& database, Source& source, observe::Metrics& metrics,
               observe::Logger logger, BrokerOptions options) {
  require_valid(options);
  state_ = std::make_unique<State>(runtime, database, source, metrics, std::move(logger), options);
}

Broker::~Broker() { abandon(); }

void Broker::subscribe(SubscriptionOptions options, Handler handler) {
  require_valid(options);
  if (state_->running) refuse("Group " + options.group + " came after the broker was started.");
  for (const auto& consumer : state_->consumers) {
    if (consumer->options().group == options.group)
      refuse("Group " + options.group + " is subscribed already.");
  }
  state_->consumers.push_back(
      std::make_unique<engine::Consumer>(state_->worker, std::move(options), std::move(handler)));
}

void Broker::start(const Context& ctx) {
  State& state = *state_;
  if (state.running || state.ended.is_open()) refuse("A broker is started once.");
  state.membership.join(ctx);
  state.worker.source.start(ctx);
  state.lease_watch = state.worker.database.watch_external_changes(state.worker.membership);
  state.running = true;
  state.worker.runtime.spawn_on(state.worker.options.loop, "message worker", [&state] { state.run(); });
  state.started.wait(ctx.detached(), "starting the message worker");
}

void Broker::stop(const Context& ctx) {
  State& state = *state_;
  if (!state.running) return;
  state.worker.stopping = true;
  state.wake_all();
  try {
    state.wait_until_ended(ctx);
  } catch (const Error&) {
    state.worker.cancellation.cancel();
    state.wait_until_ended(ctx.detached());
  }
}

void Broker::abandon() noexcept {
  State& state = *state_;
  if (!state.running) return;
  require_invariant(runtime::on_fiber(), "a running broker is dropped on a fiber, or stopped before");
  state.worker.abandoned = true;
  state.worker.stopping = true;
  state.worker.cancellation.cancel();
  state.wake_all();
  state.wait_until_ended(state.worker.runtime.context());
}

void Broker::stall(bool on) noexcept {
  state_->worker.stalled = on;
  state_->wake_all();
}

const std::string& Broker::worker() const noexcept { return state_->worker.name; }

std::int64_t Broker::trim(const Context& ctx) {
  return engine::trim(ctx, state_->worker.database, state_->worker.options);
}

}  // namespace holdfast::messaging
