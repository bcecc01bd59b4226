// Streams: RabbitMQ as a broker: Sink for the relay, Source for subscriptions.
//
//   rabbitmq::Streams streams(runtime, metrics, log.logger("rabbitmq"), {.servers = {"amqp://10.0.0.5"}});
//   streams.connect(ctx);
//   Relay relay(runtime, db, outbox, streams, …);   Broker broker(runtime, db, streams, …);
//   …                                               // start both; stop both
//   streams.close(ctx);
//
// Messages are published to a topic exchange, with confirms, and kept by one stream (x-queue-type) a bucket:
// 64 of them and a small one, however many groups there are. A group reads a bucket from the offset it is at;
// how far it is stands in the database. Others bind queues of their own to the exchange: record 22.
// Thread-safety: all from the loop of its relay and broker; connected() and problem() from any.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "holdfast/config/secret.hpp"
#include "holdfast/messaging/sink.hpp"
#include "holdfast/messaging/source.hpp"
#include "holdfast/observe/log.hpp"
#include "holdfast/observe/metrics.hpp"
#include "holdfast/resilience/backoff.hpp"
#include "holdfast/runtime/runtime.hpp"

namespace holdfast::messaging::rabbitmq {

struct Tls {
  bool required = false;
  std::string ca_file;  ///< PEM; empty: the system's
  std::string certificate_file;
  std::string key_file;
  std::string server_name;  ///< empty: the host of the URL
};

struct Options {
  std::vector<std::string> servers = {"amqp://127.0.0.1:5672"};  ///< any of a cluster's; without credentials
  std::string user = "guest";
  config::Secret password{"guest"};
  std::string vhost = "/";
  Tls tls;
  std::string name = "holdfast";    ///< of the connections, in the server's management
  std::string prefix = "holdfast";  ///< the exchange's name, and what the streams' begin with
  /// Whether the streams carry the outbox of the database that their readers keep their progress in. If not,
  /// they are another service's: for subscriptions only.
  bool own_outbox = true;
  Duration max_age = std::chrono::hours(24 * 7);  ///< of messages; the streams are made with it
  /// Both sides say at least so often that they are there, in whole seconds; half-open is noticed in twice
  /// the time.
  Duration heartbeat = std::chrono::seconds(4);
  Duration connect_timeout = std::chrono::seconds(3);
  Duration request_timeout = std::chrono::seconds(10);
  Duration verify_every = std::chrono::seconds(10);  ///< whether all streams are still there
  resilience::BackoffOptions reconnect = {.base = std::chrono::milliseconds(100),
                                          .cap = std::chrono::seconds(3),
                                          .jitter = resilience::Jitter::equal};
  std::size_t loop = 0;  ///< the event loop of its relay and broker
};

class Streams final : public Source, public Sink {
 public:
  static constexpr std::size_t kMaxOutputBytes = 64 * 1024 * 1024;  ///< not taken by a socket yet

  /// All are borrowed and must outlive it. Throws Error(invalid_argument) for options out of range.
  Streams(runtime::Runtime& runtime, observe::Metrics& metrics, observe::Logger logger, Options options);
  ~Streams() override;  ///< closes; on a fiber, or after close()

  /// Connects, and makes the exchange and the streams unless they are there. A server that is away is no
  /// failure: it goes on trying. Throws Error(failed_precondition), saying what to change, where trying again
  /// is no use: a wrong password or vhost, TLS on one side only, a queue of that name that is no stream.
  void connect(const Context& ctx);
  void close(const Context& ctx) noexcept;  ///< after the relay's and the broker's stop(). Idempotent
  bool connected() const;                   ///< and the streams are there
  /// Why not; empty where it is.
  std::string problem() const;

  // Sink
  void send(const Context& ctx, const std::string& log, const Message& message) override;
  std::string log_identity(const Context& ctx) override;
  /// As it was noted last: each hour, and when a process stops.
  std::int64_t last_position(const Context& ctx) override;

  // Source
  std::unique_ptr<Reader> reader(const SubscriptionOptions& options) override;
  std::optional<std::int64_t> end(const Context& ctx) override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace holdfast::messaging::rabbitmq
