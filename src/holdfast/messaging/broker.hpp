// Broker: the subscriber. It takes messages from a Source and sees to all that makes handling them reliable:
// who handles which, in order, again after a failure, once and for all in the end. EmbeddedBroker
// (embedded/broker.hpp) reads the outbox; nats/broker.hpp a JetStream stream.
//
//   Broker broker(runtime, db, source, metrics, log.logger("messaging"));
//   broker.subscribe({.group = "receipts", .topics = {"orders"}}, external(send_receipt));
//   broker.start(ctx);  …  broker.stop(ctx.with_timeout(10s));
//
// Work is divided by bucket (message.hpp). A bucket is leased to one worker of a group; the lease lives
// as long as the worker's heartbeat is younger than `lease`, and each change of owner raises its fence,
// which every recording of progress checks: a late worker is refused. Times are wall time, written by
// all processes into one database: on several machines their clocks must agree to within lease/4.
// Thread-safety: subscribe/start/stop from one fiber; its own fibers all run on one loop.
#pragma once

#include <memory>
#include <string>

#include "holdfast/messaging/source.hpp"
#include "holdfast/messaging/subscription.hpp"
#include "holdfast/observe/log.hpp"
#include "holdfast/observe/metrics.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/sql/database.hpp"

namespace holdfast::messaging {

struct BrokerOptions {
  Duration lease = std::chrono::seconds(5);             ///< without a heartbeat for so long, a worker is dead
  Duration heartbeat = std::chrono::seconds(1);         ///< at most lease/3
  Duration poll = std::chrono::seconds(1);              ///< looks for messages at least so often
  Duration log_retention = std::chrono::hours(24 * 7);  ///< messages are kept at least so long …
  Duration inbox_retention = std::chrono::hours(24 * 8);  ///< … and known for longer
  Duration trim_interval = std::chrono::minutes(1);
  std::size_t trim_batch = 500;  ///< rows a transaction
  std::size_t scan = 4096;       ///< most rows of the log looked at before others get a turn
  std::size_t loop = 0;          ///< the event loop its fibers run on
};

class Broker : public Subscriber {
 public:
  /// All are borrowed and must outlive it. Throws Error(invalid_argument) for options out of range.
  Broker(runtime::Runtime& runtime, sql::Database& database, Source& source, observe::Metrics& metrics,
         observe::Logger logger, BrokerOptions options = {});
  /// Stop it first; a broker destroyed while running stops without finishing what runs.
  ~Broker() override;

  void subscribe(SubscriptionOptions options, Handler handler) override;

  /// Registers the groups, takes leases and begins to handle. Returns once the first leases are tried.
  void start(const Context& ctx);

  /// Finishes the handlers that run (until ctx's deadline, then cancels them), records their progress
  /// and releases the leases, so that another process takes over at once. Idempotent.
  void stop(const Context& ctx);

  /// As kill -9 would: handlers are cancelled, nothing more is recorded, no lease released. Waits for the
  /// handlers that run. For tests and drills.
  void abandon() noexcept;

  /// While on, it neither beats nor takes new work, as a process that was suspended: what its handlers
  /// finish meanwhile is refused once another worker has taken over. For tests and drills.
  void stall(bool on) noexcept;

  /// This process's name in leases and status: "wrk_…".
  const std::string& worker() const noexcept;

  /// Trims the outbox and the inbox once, now, as the background fiber does; returns rows deleted from the
  /// log.
  std::int64_t trim(const Context& ctx);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace holdfast::messaging
