// Streams: Redis Streams as a broker: Sink for the relay, Source for subscriptions.
//
//   redis_streams::Streams streams(runtime, &db, metrics, log.logger("redis"), {.address =
//   parse_address(url)}); streams.connect(ctx); Relay relay(runtime, db, outbox, streams, …);   Broker
//   broker(runtime, db, streams, …); …                                               // start both; stop both
//   streams.close(ctx);
//
// A stream a bucket, "<prefix>:<bucket>". An entry's id is "<position>-0", so Redis itself refuses what comes
// twice, and XREAD goes on from a group's position without a cursor. How far a group is stands in the
// database, with the effects; it is told to Redis once a second, for XINFO GROUPS. Which server and which log
// of it a message was meant for is checked by the script that adds it: one that was restarted, flushed or
// replaced is another log, and is sent again what is not handled. Thread-safety: all from the loop of its
// relay and broker; connected() and problem() from any.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "holdfast/messaging/sink.hpp"
#include "holdfast/messaging/source.hpp"
#include "holdfast/observe/log.hpp"
#include "holdfast/observe/metrics.hpp"
#include "holdfast/redis/address.hpp"
#include "holdfast/resilience/backoff.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/sql/database.hpp"

namespace holdfast::messaging::redis_streams {

struct Options {
  holdfast::redis::Address address;
  std::string ca_file;  ///< with TLS: PEM; empty: the system's
  std::string prefix =
      "holdfast:events";  ///< of keys: letters, digits, '_', '-', '.', ':'; one database's alone
  /// Of all buckets together. At the limit nothing is dropped: no more is taken until groups have handled
  /// what is there. `max_bytes` is looked at once in `watch`, so it is overrun by what comes in that time.
  std::int64_t max_messages = 1'000'000;
  std::int64_t max_bytes = 1024LL * 1024 * 1024;
  /// Handled messages stay for so long, for others who listen; less where the log is more than half full.
  Duration keep = std::chrono::hours(1);
  /// Replicas that must have a message before it counts as sent; none are waited for where it is 0.
  int wait_replicas = 0;
  Duration connect_timeout = std::chrono::seconds(2);
  Duration request_timeout = std::chrono::seconds(2);
  Duration watch = std::chrono::seconds(1);  ///< between looks at the server: its identity, size, trimming
  resilience::BackoffOptions reconnect = {.base = std::chrono::milliseconds(50),
                                          .cap = std::chrono::seconds(2),
                                          .jitter = resilience::Jitter::equal};
  std::size_t loop = 0;  ///< the event loop of its relay and broker
};

class Streams final : public Source, public Sink {
 public:
  /// All are borrowed and must outlive it. `outbox_of`: the database whose outbox the streams carry; its
  /// groups bound what is trimmed. Null where that is another service's: for subscriptions only, nothing is
  /// made or trimmed. Throws Error(invalid_argument) for options out of range.
  Streams(runtime::Runtime& runtime, sql::Database* outbox_of, observe::Metrics& metrics,
          observe::Logger logger, Options options);
  ~Streams() override;  ///< closes; on a fiber

  /// Looks whether this Redis will do, and begins the log unless it is there. A server that is away is no
  /// failure: it goes on trying. Throws Error(failed_precondition), saying what to change, where trying again
  /// is no use: a wrong password, a replica, a cluster, a server that evicts keys or is too old, keys of
  /// others under the prefix. Warns of a server that would lose what it has acknowledged.
  void connect(const Context& ctx);
  void close(const Context& ctx) noexcept;  ///< after the relay's and the broker's stop(). Idempotent
  bool connected() const;
  /// Why not; empty where it is.
  std::string problem() const;

  // Sink
  void send(const Context& ctx, const std::string& log, const Message& message) override;
  std::string log_identity(const Context& ctx) override;
  std::int64_t last_position(const Context& ctx) override;

  // Source
  std::unique_ptr<Reader> reader(const SubscriptionOptions& options) override;
  std::optional<std::int64_t> end(const Context& ctx) override;
  void start(const Context& ctx) override;
  void stop() noexcept override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace holdfast::messaging::redis_streams
