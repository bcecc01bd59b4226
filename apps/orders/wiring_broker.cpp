#include "orders/wiring_broker.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "holdfast/base/time_text.hpp"
#include "holdfast/messaging/embedded/broker.hpp"
#include "holdfast/messaging/kafka/topic.hpp"
#include "holdfast/messaging/nats/jetstream.hpp"
#include "holdfast/messaging/rabbitmq/streams.hpp"
#include "holdfast/messaging/redis/streams.hpp"
#include "holdfast/messaging/relay.hpp"
#include "holdfast/redis/address.hpp"
#include "orders/open_database.hpp"

namespace holdfast::orders {
namespace {

messaging::BrokerOptions broker_options(const MessagingSettings& settings) {
  messaging::BrokerOptions options;
  options.lease = settings.lease;
  options.heartbeat = std::min<Duration>(settings.lease / 5, std::chrono::seconds(1));
  options.log_retention = settings.retention;
  options.inbox_retention = settings.retention + std::chrono::hours(24);
  return options;
}

messaging::nats::Options nats_options(const NatsSettings& settings, const MessagingSettings& messaging) {
  messaging::nats::Options options;
  options.servers = settings.servers;
  options.user = settings.user;
  options.password = settings.password;
  options.token = settings.token;
  options.credentials_file = settings.credentials_file;
  options.tls = {.required = settings.tls.required,
                 .ca_file = settings.tls.ca_file,
                 .certificate_file = settings.tls.certificate_file,
                 .key_file = settings.tls.key_file,
                 .server_name = settings.tls.server_name};
  options.stream = settings.stream;
  options.prefix = settings.prefix;
  options.replicas = static_cast<int>(settings.replicas);
  options.max_bytes = settings.max_bytes;
  options.max_age = messaging.retention;
  return options;
}

messaging::redis_streams::Options redis_options(const RedisStreamsSettings& settings,
                                                const RedisSettings& shared) {
  messaging::redis_streams::Options options;
  const bool own = !settings.url.empty();
  options.address = redis::parse_address((own ? settings.url : shared.url).reveal());
  options.ca_file = own ? settings.ca_file : shared.ca_file;
  options.prefix = settings.prefix;
  options.max_messages = settings.max_messages;
  options.max_bytes = static_cast<std::int64_t>(settings.max_bytes.bytes);
  options.keep = settings.keep;
  options.wait_replicas = static_cast<int>(settings.wait_replicas);
  return options;
}

messaging::rabbitmq::Options rabbitmq_options(const RabbitMqSettings& settings,
                                              const MessagingSettings& messaging) {
  messaging::rabbitmq::Options options;
  options.servers = settings.servers;
  options.user = settings.user;
  options.password = settings.password;
  options.vhost = settings.vhost;
  options.tls = {.required = settings.tls.required,
                 .ca_file = settings.tls.ca_file,
                 .certificate_file = settings.tls.certificate_file,
                 .key_file = settings.tls.key_file,
                 .server_name = settings.tls.server_name};
  options.prefix = settings.prefix;
  options.max_age = messaging.retention;
  return options;
}

messaging::kafka::Options kafka_options(const KafkaSettings& settings, const MessagingSettings& messaging) {
  messaging::kafka::Options options;
  options.servers = settings.servers;
  options.tls = {.required = settings.tls.required,
                 .ca_file = settings.tls.ca_file,
                 .certificate_file = settings.tls.certificate_file,
                 .key_file = settings.tls.key_file,
                 .key_password = settings.tls.key_password};
  options.sasl = {
      .mechanism = settings.sasl.mechanism, .user = settings.sasl.user, .password = settings.sasl.password};
  options.topic = settings.topic;
  options.partitions = static_cast<int>(settings.partitions);
  options.replication = settings.replication;
  options.compression = settings.compression;
  options.max_message_bytes = settings.max_message_bytes;
  options.max_age = messaging.retention;
  return options;
}

/// An outside broker, whichever it is.
struct Outside {
  virtual ~Outside() = default;
  virtual messaging::Sink& sink() = 0;
  virtual messaging::Source& source() = 0;
  virtual void connect(const Context& ctx) = 0;
  virtual void close(const Context& ctx) = 0;
  virtual std::string problem() const = 0;
};

template <class Adapter>
struct Over final : Outside {
  template <class... Arguments>
  explicit Over(Arguments&&... arguments) : adapter(std::forward<Arguments>(arguments)...) {}
  messaging::Sink& sink() override { return adapter; }
  messaging::Source& source() override { return adapter; }
  void connect(const Context& ctx) override { adapter.connect(ctx); }
  void close(const Context& ctx) override { adapter.close(ctx); }
  std::string problem() const override { return adapter.problem(); }
  Adapter adapter;
};

/// Null for the embedded one.
std::unique_ptr<Outside> make_outside(const Settings& settings, const BrokerWiring::Parts& parts) {
  const BrokerSettings& broker = settings.broker;
  switch (broker.kind) {
    case BrokerKind::embedded: break;
    case BrokerKind::nats:
      return std::make_unique<Over<messaging::nats::JetStream>>(
          parts.runtime, parts.metrics, parts.log.logger("nats"),
          nats_options(broker.nats, settings.messaging));
    case BrokerKind::redis:
      return std::make_unique<Over<messaging::redis_streams::Streams>>(
          parts.runtime, &parts.database, parts.metrics, parts.log.logger("redis"),
          redis_options(broker.redis, settings.redis));
    case BrokerKind::rabbitmq:
      return std::make_unique<Over<messaging::rabbitmq::Streams>>(
          parts.runtime, parts.metrics, parts.log.logger("rabbitmq"),
          rabbitmq_options(broker.rabbitmq, settings.messaging));
    case BrokerKind::kafka:
      return std::make_unique<Over<messaging::kafka::Topic>>(parts.runtime, parts.metrics,
                                                             parts.log.logger("kafka"),
                                                             kafka_options(broker.kafka, settings.messaging));
  }
  return nullptr;
}

/// Subscribes so that handlers get whole messages.
class ClaimingSubscriber final : public messaging::Subscriber {
 public:
  ClaimingSubscriber(messaging::Subscriber& inner, blob::ClaimCheck& claims)
      : inner_(inner), claims_(claims) {}
  void subscribe(messaging::SubscriptionOptions options, messaging::Handler handler) override {
    options.completion = claims_.completion();
    inner_.subscribe(std::move(options), std::move(handler));
  }

 private:
  messaging::Subscriber& inner_;
  blob::ClaimCheck& claims_;
};

std::optional<messaging::SlotOptions> slot_options(const Settings& settings) {
  if (settings.messaging.relay == RelayKind::poll) return std::nullopt;
  auto postgres = postgres_of(settings, "relay");
  if (!postgres) {
    throw Error(
        ErrorCode::invalid_argument,
        "messaging.relay (HOLDFAST_MESSAGING_RELAY): pgoutput needs a PostgreSQL; set database.url, or "
        "leave it at poll.")
        .reason("invalid_configuration");
  }
  messaging::SlotOptions options;
  options.postgres = std::move(*postgres);
  options.warn_bytes = static_cast<std::int64_t>(settings.messaging.slot_warn.bytes);
  return options;
}

}  // namespace

struct BrokerWiring::State {
  State(const Settings& settings, const Parts& the_parts)
      : parts(the_parts), logger(parts.log.logger("messaging")) {
    const messaging::BrokerOptions options = broker_options(settings.messaging);
    outside = make_outside(settings, parts);
    if (!outside) {
      broker = std::make_unique<messaging::EmbeddedBroker>(parts.runtime, parts.database, parts.outbox,
                                                           parts.metrics, logger, options);
      subscriber.emplace(*broker, parts.claims);
      return;
    }
    sink.emplace(parts.claims, outside->sink());
    messaging::RelayOptions relaying;
    relaying.broker = options;
    relaying.slot = slot_options(settings);
    relay = std::make_unique<messaging::Relay>(parts.runtime, parts.database, parts.outbox, *sink,
                                               parts.metrics, logger, relaying);
    broker = std::make_unique<messaging::Broker>(parts.runtime, parts.database, outside->source(),
                                                 parts.metrics, logger, options);
    subscriber.emplace(*broker, parts.claims);
  }

  const Parts parts;
  const observe::Logger logger;
  // In the order in which they depend on each other; only `broker` with the embedded one.
  std::unique_ptr<Outside> outside;
  std::optional<blob::ClaimedSink> sink;
  std::unique_ptr<messaging::Relay> relay;
  std::unique_ptr<messaging::Broker> broker;
  std::optional<ClaimingSubscriber> subscriber;
};

BrokerWiring::BrokerWiring(const Settings& settings, const Parts& parts)
    : state_(std::make_unique<State>(settings, parts)) {}

BrokerWiring::~BrokerWiring() = default;

messaging::Subscriber& BrokerWiring::subscriber() noexcept { return *state_->subscriber; }

void BrokerWiring::start(const Context& ctx) {
  State& state = *state_;
  if (!state.relay) {
    // A relay of former days would keep the outbox from being trimmed.
    if (!messaging::Relay::retire(ctx, state.parts.database)) {
      state.logger.warn(ctx,
                        "another process still takes the outbox to a broker; stop it, or configure this "
                        "one's broker.kind likewise");
    }
    return state.broker->start(ctx);
  }
  state.outside->connect(ctx);
  state.relay->start(ctx);
  state.broker->start(ctx);
}

void BrokerWiring::stop(const Context& ctx) {
  State& state = *state_;
  state.broker->stop(ctx);
  if (!state.relay) return;
  state.relay->stop(ctx);
  state.outside->close(ctx);
}

observe::HealthState BrokerWiring::health() const {
  const State& state = *state_;
  if (!state.relay) return {.readiness = observe::Readiness::ready};
  const messaging::RelayState relay = state.relay->state();
  const std::string problem = state.outside->problem();
  if (problem.empty() && relay.error.empty() && !relay.late) {
    if (relay.slot.problem.empty()) return {.readiness = observe::Readiness::ready};
    return {.readiness = observe::Readiness::degraded, .reason = relay.slot.problem};
  }
  std::string reason = "Events wait in the outbox";
  if (relay.oldest) reason += " since " + format_rfc3339(*relay.oldest);
  reason += ": " + (problem.empty() ? relay.error : problem);
  if (problem.empty() && relay.error.empty()) reason += "the broker takes them more slowly than they come.";
  if (!relay.slot.problem.empty()) reason += " " + relay.slot.problem;
  return {.readiness = observe::Readiness::degraded, .reason = std::move(reason)};
}

}  // namespace holdfast::orders
