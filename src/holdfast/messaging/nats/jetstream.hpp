// JetStream: a stream of NATS JetStream as a broker: Sink for the relay, Source for subscriptions.
//
//   nats::JetStream stream(runtime, metrics, log.logger("nats"), {.servers = {"nats://10.0.0.5:4222"}});
//   stream.connect(ctx);
//   Relay relay(runtime, db, outbox, stream, …);   Broker broker(runtime, db, stream, …);
//   …                                              // start both; stop both
//   stream.close(ctx);
//
// One stream carries one outbox. A message's subject is "<prefix>.<bucket>.<topic>". Readers are "ordered"
// pull consumers, one a group and bucket, that acknowledge nothing: how far a group is stands in the
// database, with the effects; a reader that misses something is made anew where it was. Connections are made
// anew by us, with jitter. Thread-safety: all from the loop of its relay and broker; connected() and
// problem() from any.
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

namespace holdfast::messaging::nats {

struct Tls {
  bool required = false;
  std::string ca_file;  ///< PEM; empty: the system's
  std::string certificate_file;
  std::string key_file;
  std::string server_name;  ///< empty: the host of the URL
};

struct Options {
  std::vector<std::string> servers = {"nats://127.0.0.1:4222"};
  std::string user;
  config::Secret password;
  config::Secret token;
  std::string credentials_file;  ///< of an NKey/JWT user
  Tls tls;
  std::string name = "holdfast";    ///< of the connection, in the server's monitoring
  std::string stream = "HOLDFAST";  ///< letters, digits, '_', '-'
  std::string prefix = "holdfast";  ///< of subjects
  /// Whether the stream carries the outbox of the database that its readers keep their progress in. If not,
  /// it is another service's: for subscriptions only.
  bool own_outbox = true;
  int replicas = 1;
  Duration max_age = std::chrono::hours(24 * 7);  ///< of messages; the stream is made with it
  std::int64_t max_bytes = -1;                    ///< then the stream refuses new ones; -1: no limit
  Duration duplicate_window = std::chrono::minutes(2);
  Duration connect_timeout = std::chrono::seconds(2);
  Duration request_timeout = std::chrono::seconds(5);
  resilience::BackoffOptions reconnect = {.base = std::chrono::milliseconds(100),
                                          .cap = std::chrono::seconds(3),
                                          .jitter = resilience::Jitter::equal};
  std::size_t loop = 0;  ///< the event loop of its relay and broker
};

class JetStream final : public Source, public Sink {
 public:
  static constexpr std::size_t kMaxWaitingMessages = 65'536;  ///< come from the server, not looked at yet
  static constexpr std::int64_t kMaxWaitingBytes = 64 * 1024 * 1024;

  /// All are borrowed and must outlive it. Throws Error(invalid_argument) for options out of range.
  JetStream(runtime::Runtime& runtime, observe::Metrics& metrics, observe::Logger logger, Options options);
  ~JetStream() override;  ///< closes; on a fiber, or after close()

  /// Connects, and makes the stream unless it is there. A server that is away is no failure: it goes on
  /// trying. Throws Error(failed_precondition), saying what to change, where trying again is no use: a wrong
  /// password, TLS on one side only, a server without JetStream, a stream of that name with other subjects.
  void connect(const Context& ctx);
  void close(const Context& ctx) noexcept;  ///< after the relay's and the broker's stop(). Idempotent
  bool connected() const;                   ///< and the stream is there
  /// Why not; empty where it is.
  std::string problem() const;

  // Sink
  void send(const Context& ctx, const std::string& log, const Message& message) override;
  std::string log_identity(const Context& ctx) override;
  std::int64_t last_position(const Context& ctx) override;

  // Source
  std::unique_ptr<Reader> reader(const SubscriptionOptions& options) override;
  std::optional<std::int64_t> end(const Context& ctx) override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace holdfast::messaging::nats
