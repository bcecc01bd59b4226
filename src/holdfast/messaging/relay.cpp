#include "holdfast/messaging/relay.hpp"

#include <atomic>
#include <mutex>
#include <utility>

#include "holdfast/base/fault.hpp"
#include "holdfast/base/invariant.hpp"
#include "holdfast/messaging/embedded/log.hpp"
#include "holdfast/messaging/engine/internal/parking.hpp"
#include "holdfast/messaging/internal/headers.hpp"
#include "holdfast/messaging/internal/relay_source.hpp"
#include "holdfast/messaging/outbox_status.hpp"
#include "holdfast/runtime/fiber.hpp"

namespace holdfast::messaging {
namespace {

constexpr Duration kStoreTimeout = std::chrono::seconds(10);
constexpr Duration kDrainForNewLog = std::chrono::seconds(2);

bool never_to_be_sent(const Error& error) noexcept {
  return error.code() == ErrorCode::too_large || error.code() == ErrorCode::invalid_argument;
}

/// Makes the group begin where every other group still finds all it has not handled: where there is none yet,
/// and where the broker's log is not the one that the messages were sent to.
void prepare(sql::Transaction& tx, const std::string& identity, std::int64_t last_position) {
  const auto given = tx.query_value<std::int64_t>(
      "select max(p) from (select coalesce(max(position), 0) as p from outbox union all "
      "select coalesce(max(position), 0) as p from outbox_leases) highest");
  if (last_position > given) {
    throw Error(ErrorCode::failed_precondition,
                "The broker's log holds a message of position " + std::to_string(last_position) +
                    ", which this database has not given (it is at " + std::to_string(given) +
                    "): the log is another database's, or the database was restored. Choose another stream.")
        .reason("foreign_log");
  }
  // One statement for all buckets: a lease each, and where the log is another than it was, from the place
  // that the slowest other group is at.
  tx.execute(
      "with recursive buckets(bucket) as "
      "(select 0 union all select bucket + 1 from buckets where bucket + 1 < $2) "
      "insert into outbox_leases(group_name, bucket, owner, fence, position, cursor) "
      "select $1, b.bucket, null, 0, coalesce((select min(l.position) from outbox_leases l "
      "where l.bucket = b.bucket and l.group_name <> $1), 0), $3 from buckets b where true "
      "on conflict(group_name, bucket) do update set owner = null, fence = outbox_leases.fence + 1, "
      "cursor = excluded.cursor, position = case when outbox_leases.position < excluded.position "
      "then outbox_leases.position else excluded.position end "
      "where outbox_leases.cursor <> excluded.cursor",
      kRelayGroup, kBuckets, identity);
}

}  // namespace

struct Relay::State {
  State(runtime::Runtime& the_runtime, sql::Database& the_database, Outbox& the_outbox, Sink& the_sink,
        observe::Metrics& the_metrics, observe::Logger the_logger, RelayOptions the_options)
      : runtime(the_runtime),
        database(the_database),
        outbox(the_outbox),
        sink(the_sink),
        metrics(the_metrics),
        logger(std::move(the_logger)),
        options(std::move(the_options)),
        ids(the_runtime.clock(), the_runtime.random()),
        sent(metrics.counter("holdfast_messaging_relay_sent_total", "Messages the broker has acknowledged.")),
        failures(metrics.counter("holdfast_messaging_relay_failures_total",
                                 "Tries to send that failed; they are made again.")),
        unsent(metrics.gauge("holdfast_messaging_relay_unsent_positions",
                             "Positions between the outbox's end and the slowest bucket.")),
        oldest_seconds(metrics.gauge("holdfast_messaging_relay_oldest_seconds",
                                     "Age of the oldest message that was not sent.")) {}

  void run();
  void run_round(const Context& ctx);
  void watch(const Context& ctx);
  void look(const Context& ctx);
  void end_round(const Context& ctx) noexcept;
  void forward(const Context& ctx, const Message& message);
  void bury(const Context& ctx, const Message& message, const Error& error);
  void send_anew(const Context& ctx, const Message& message);
  void pause(const Context& ctx, Duration wait, const char* where);
  void failed(const std::string& error);
  void succeeded();
  bool ending() const noexcept { return stopping || abandoned || round_over; }

  runtime::Runtime& runtime;
  sql::Database& database;
  Outbox& outbox;
  Sink& sink;
  observe::Metrics& metrics;
  observe::Logger logger;
  const RelayOptions options;
  IdGenerator ids;
  observe::Counter sent;
  observe::Counter failures;
  observe::Gauge unsent;
  observe::Gauge oldest_seconds;

  std::atomic<bool> stopping{false};
  std::atomic<bool> abandoned{false};
  bool round_over = false;  // the broker's log was replaced; on the loop only
  runtime::Signal wake;
  runtime::Latch ended;
  bool started = false;
  Instant stop_by = kNever;
  bool failing = false;          // as RelayState::error says; on the loop only, as the next
  std::size_t trying_again = 0;  // who sends what failed before
  // Of this round, in the order in which they depend on each other.
  std::string log;         // the broker's
  bool displaced = false;  // another process fills another log
  std::unique_ptr<embedded::OutboxLog> unread;
  SlotLog* slot_log = nullptr;  // `unread`, where there is a slot
  std::unique_ptr<RelaySource> source;
  std::unique_ptr<Broker> broker;

  mutable std::mutex mutex;
  RelayState now;  // guarded by mutex
};

void Relay::State::failed(const std::string& error) {
  failures.add();
  failing = true;
  bool first = false;
  {
    const std::lock_guard lock(mutex);
    first = now.error.empty();
    now.error = error;
  }
  if (first)
    logger.warn("the outbox can't be sent to the broker now; it is tried again until it can",
                {{"error", error}});
}

void Relay::State::succeeded() {
  failing = false;
  bool first = false;
  {
    const std::lock_guard lock(mutex);
    first = !now.error.empty();
    now.error.clear();
  }
  if (first) logger.info("the outbox is sent to the broker again", {});
}

void Relay::State::pause(const Context& ctx, Duration wait, const char* where) {
  const std::uint64_t seen = wake.version();
  if (!ending()) wake.wait_past(ctx.with_timeout(wait), seen, where);
}

void Relay::State::run() {
  const Context ctx = runtime.context();
  for (std::uint32_t tries = 0; !stopping && !abandoned; ++tries) {
    try {
      run_round(ctx);
      tries = 0;
      if (displaced) pause(ctx, options.watch, "waiting for the broker to be agreed on");
    } catch (const std::exception& error) {
      failed(error.what());
      end_round(ctx);
      try {
        look(ctx);
      } catch (const Error&) {
        // the database is away, too
      }
      pause(ctx, resilience::backoff_delay(options.backoff, tries, runtime.random()),
            "waiting for the broker");
    }
  }
  ended.open();
}

void Relay::State::run_round(const Context& ctx) {
  const Context bounded = ctx.with_timeout(kStoreTimeout);
  log = sink.log_identity(bounded);
  const std::int64_t last = sink.last_position(bounded);  // before the database is asked: it can't be ahead
  database.transact(bounded, "begin to relay", [&](sql::Transaction& tx) { prepare(tx, log, last); });
  displaced = false;
  if (options.slot) {
    auto heard = std::make_unique<SlotLog>(runtime, database, outbox, metrics, logger,
                                           std::string(kRelayGroup), options.broker.scan, *options.slot);
    slot_log = heard.get();
    unread = std::move(heard);
  } else {
    unread = std::make_unique<embedded::OutboxLog>(database, outbox, options.broker.scan);
  }
  source = std::make_unique<RelaySource>(*unread, log, [this] {
    displaced = true;
    wake.notify();
  });
  broker = std::make_unique<Broker>(runtime, database, *source, metrics, logger, options.broker);
  SubscriptionOptions subscription{.group = std::string(kRelayGroup), .topics = {std::string(kEveryTopic)}};
  subscription.concurrency = kBuckets;
  subscription.batch = 256;
  subscription.whole_bucket_in_order = true;
  broker->subscribe(std::move(subscription),
                    external([this](const Context& own, const Message& message) { forward(own, message); }));
  broker->start(bounded);
  {
    const std::lock_guard lock(mutex);
    now.running = true;
  }
  succeeded();
  watch(ctx);
  end_round(ctx);
}

void Relay::State::watch(const Context& ctx) {
  while (!stopping && !abandoned) {
    if (displaced) {
      logger.warn("another process fills another log of the broker's; whose is the right one is asked again",
                  {{"log", log}});
      return;
    }
    try {
      look(ctx.with_timeout(kStoreTimeout));
      if (sink.log_identity(ctx.with_timeout(options.send_timeout)) != log) {
        logger.error("the broker's log was replaced; what the groups have not handled is sent to the new one",
                     {{"was", log}});
        return;
      }
    } catch (const Error&) {
      // The senders tell that the broker is away.
    }
    if (!displaced) pause(ctx, options.watch, "watching the relay");
  }
}

void Relay::State::look(const Context& ctx) {
  struct Seen {
    std::int64_t unsent = 0;
    std::optional<WallTime> oldest;
  };
  const Seen seen = database.read(ctx, [](sql::Snapshot& snapshot) {
    const auto end = snapshot.query_value<std::int64_t>("select coalesce(max(position), 0) from outbox");
    const auto done = snapshot.query_value<std::int64_t>(
        "select coalesce(min(position), 0) from outbox_leases where group_name = $1", kRelayGroup);
    return Seen{.unsent = std::max<std::int64_t>(0, end - done),
                .oldest = snapshot.query_one<WallTime>(
                    "select occurred_at from outbox where position > $1 order by position limit 1", done)};
  });
  const WallTime at = runtime.clock().wall_now();
  const auto age = seen.oldest ? at - *seen.oldest : WallTime::duration(0);
  unsent.set(seen.unsent);
  oldest_seconds.set(std::chrono::duration_cast<std::chrono::seconds>(age).count());
  const std::lock_guard lock(mutex);
  now.unsent = seen.unsent;
  now.oldest = seen.oldest;
  now.late = age > options.late_after;
  if (slot_log) now.slot = slot_log->state();
}

void Relay::State::end_round(const Context& ctx) noexcept {
  round_over = true;
  wake.notify();
  {
    const std::lock_guard lock(mutex);
    now.running = false;
  }
  try {
    if (!broker) {
      // it did not come so far
    } else if (abandoned) {
      broker->abandon();
    } else {
      broker->stop(stopping ? ctx.with_deadline(stop_by) : ctx.with_timeout(kDrainForNewLog));
    }
  } catch (const std::exception& error) {
    logger.warn("the relay's leases could not be released", {{"error", error.what()}});
  }
  broker.reset();
  slot_log = nullptr;
  round_over = false;
}

/// Returns once the broker has it, or it is a dead letter. Throws where somebody is to have it again: nothing
/// of its bucket goes before it.
void Relay::State::forward(const Context& ctx, const Message& message) {
  if (message.attempt > 1) return send_anew(ctx, message);
  const Context own = ctx.detached().with_cancellation(ctx.cancellation());  // however long it takes
  struct Again {
    std::size_t& trying;
    bool once = false;
    ~Again() { trying -= once ? 1 : 0; }
  } again{trying_again};
  for (std::uint32_t tries = 0;; ++tries) {
    if (ending()) throw Error(ErrorCode::cancelled, "The relay stops.");
    own.check("sending to the broker");
    try {
      HOLDFAST_FAULT("relay.before_send");
      sink.send(own.with_timeout(options.send_timeout), log, message);
      HOLDFAST_FAULT("relay.after_send");
      sent.add();
      // Who tried in vain may have lost its bucket since: then nobody else would say that all is well.
      if (tries > 0 || (failing && trying_again == 0)) succeeded();
      return;
    } catch (const Error& error) {
      if (own.cancelled()) throw;
      if (never_to_be_sent(error)) return bury(own, message, error);
      failed(error.what());
      if (!std::exchange(again.once, true)) ++trying_again;
    }
    pause(own, resilience::backoff_delay(options.backoff, tries, runtime.random()), "waiting to send again");
  }
}

void Relay::State::bury(const Context& ctx, const Message& message, const Error& error) {
  const WallTime at = runtime.clock().wall_now();
  const engine::Lease lease{.group = kRelayGroup, .bucket = bucket_of(message.key), .fence = 0};
  const engine::RecordSettings settings{.max_attempts = 1, .ids = &ids};
  database.transact(ctx.with_timeout(kStoreTimeout), "bury a message", [&](sql::Transaction& tx) {
    engine::bury(tx, lease, message, error.what(), engine::with_attempt("[]", at, error.what()), settings,
                 at);
  });
  logger.error(
      "a message can't be sent to the broker; it became a dead letter",
      {{"messageId", message.id}, {"type", message.type}, {"key", message.key}, {"error", error.what()}});
}

/// Readers leave out what comes with a position that they have passed: so it gets a new one.
void Relay::State::send_anew(const Context& ctx, const Message& message) {
  database.transact(ctx.with_timeout(kStoreTimeout), "publish a dead letter anew", [&](sql::Transaction& tx) {
    tx.execute(
        "insert into outbox(id, topic, key, bucket, type, version, headers, payload, occurred_at) "
        "values($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        message.id, message.topic, message.key, bucket_of(message.key), message.type, message.version,
        headers_json(message.headers), message.payload, message.occurred_at);
    tx.after_commit(outbox.committed());
  });
}

Relay::Relay(runtime::Runtime& runtime, sql::Database& database, Outbox& outbox, Sink& sink,
             observe::Metrics& metrics, observe::Logger logger, RelayOptions options)
    : state_(std::make_unique<State>(runtime, database, outbox, sink, metrics, std::move(logger),
                                     std::move(options))) {}

Relay::~Relay() { abandon(); }

void Relay::start(const Context& /*ctx*/) {
  State& state = *state_;
  require_invariant(!state.started, "a relay is started once");
  state.started = true;
  state.runtime.spawn_on(state.options.broker.loop, "outbox relay", [&state] { state.run(); });
}

void Relay::stop(const Context& ctx) {
  State& state = *state_;
  if (!state.started || state.ended.is_open()) return;
  state.stop_by = ctx.deadline();
  state.stopping = true;
  state.wake.notify();
  state.ended.wait(ctx.detached(), "stopping the outbox relay");
}

void Relay::abandon() noexcept {
  State& state = *state_;
  if (!state.started || state.ended.is_open()) return;
  require_invariant(runtime::on_fiber(), "a running relay is dropped on a fiber, or stopped before");
  state.abandoned = true;
  state.wake.notify();
  state.ended.wait(state.runtime.context(), "ending the outbox relay");
}

RelayState Relay::state() const {
  const std::lock_guard lock(state_->mutex);
  return state_->now;
}

bool Relay::retire(const Context& ctx, sql::Database& database) {
  try {
    forget_group(ctx, database, kRelayGroup);
  } catch (const Error& error) {
    return error.code() == ErrorCode::not_found;
  }
  return true;
}

}  // namespace holdfast::messaging
