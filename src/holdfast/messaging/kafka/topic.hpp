// Topic: a topic of Apache Kafka as a broker: Sink for the relay, Source for subscriptions.
//
//   kafka::Topic topic(runtime, metrics, log.logger("kafka"), {.servers = {"10.0.0.5:9092"}});
//   topic.connect(ctx);
//   Relay relay(runtime, db, outbox, topic, …);   Broker broker(runtime, db, topic, …);
//   …                                             // start both; stop both
//   topic.close(ctx);
//
// One topic carries one outbox; a message's partition is its bucket modulo their number. The producer is
// idempotent. Readers are given their partitions (no rebalancing) and begin where the lease's row says; the
// offsets they are at are committed to Kafka too, for its tools. (Record 23.) Thread-safety: all from the
// loop of its relay and broker; connected() and problem() from any.
#pragma once

#include <cstddef>
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

namespace holdfast::messaging::kafka {

struct Tls {
  bool required = false;
  std::string ca_file;  ///< PEM; empty: the system's
  std::string certificate_file;
  std::string key_file;
  config::Secret key_password;
};

struct Sasl {
  std::string mechanism;  ///< PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; empty: none
  std::string user;
  config::Secret password;
};

struct Options {
  std::vector<std::string> servers = {"127.0.0.1:9092"};  ///< host:port; any of the cluster's will do
  Tls tls;
  Sasl sasl;
  std::string client_id = "holdfast";
  /// Letters, digits, '.', '_', '-'. Groups of Kafka's are "<topic>.<group>".
  std::string topic = "holdfast";
  /// Whether the topic carries the outbox of the database that its readers keep their progress in. If not,
  /// it is another service's: for subscriptions only.
  bool own_outbox = true;
  int partitions = kBuckets;                      ///< when the topic is made; 1 to kBuckets
  int replication = -1;                           ///< likewise; -1: the cluster's default
  std::string compression = "none";               ///< none, gzip, snappy, lz4 or zstd
  std::size_t max_message_bytes = 1'048'588;      ///< with headers; at most the topic's max.message.bytes
  Duration max_age = std::chrono::hours(24 * 7);  ///< of messages; the topic is made with it
  Duration connect_timeout = std::chrono::seconds(2);
  Duration request_timeout = std::chrono::seconds(5);
  Duration fetch_wait = std::chrono::milliseconds(500);  ///< a server keeps a request for records so long
  Duration check_interval = std::chrono::seconds(2);   ///< looks whether the topic is still the same so often
  Duration commit_interval = std::chrono::seconds(5);  ///< of readers' offsets to Kafka
  resilience::BackoffOptions reconnect = {.base = std::chrono::milliseconds(100),
                                          .cap = std::chrono::seconds(3),
                                          .jitter = resilience::Jitter::equal};
  std::size_t loop = 0;  ///< the event loop of its relay and broker
};

class Topic final : public Source, public Sink {
 public:
  static constexpr std::size_t kMaxUnsentMessages = 10'000;            ///< in librdkafka's queue
  static constexpr std::size_t kMaxReadAheadBytes = 64 * 1024 * 1024;  ///< of a group, not looked at yet

  /// All are borrowed and must outlive it. Throws Error(invalid_argument) for options out of range.
  Topic(runtime::Runtime& runtime, observe::Metrics& metrics, observe::Logger logger, Options options);
  ~Topic() override;  ///< closes; on a fiber, or after close()

  /// Connects, and makes the topic unless it is there. A cluster that is away is no failure: it goes on
  /// trying. Throws Error(failed_precondition), saying what to change, where trying again is no use: a wrong
  /// password, TLS that fails, what an ACL forbids.
  void connect(const Context& ctx);
  void close(const Context& ctx) noexcept;  ///< after the relay's and the broker's stop(). Idempotent
  bool connected() const;                   ///< and the topic is there
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

}  // namespace holdfast::messaging::kafka
