#include "orders/wiring_broker.hpp"

#include <algorithm>

#include "holdfast/base/time_text.hpp"
#include "holdfast/messaging/embedded/broker.hpp"
#include "holdfast/messaging/nats/jetstream.hpp"
#include "holdfast/messaging/relay.hpp"

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

}  // namespace

struct BrokerWiring::State {
  State(const Settings& settings, const Parts& the_parts)
      : parts(the_parts), logger(parts.log.logger("messaging")) {
    const messaging::BrokerOptions options = broker_options(settings.messaging);
    if (settings.broker.kind == BrokerKind::embedded) {
      broker = std::make_unique<messaging::EmbeddedBroker>(parts.runtime, parts.database, parts.outbox,
                                                           parts.metrics, logger, options);
      return;
    }
    stream =
        std::make_unique<messaging::nats::JetStream>(parts.runtime, parts.metrics, parts.log.logger("nats"),
                                                     nats_options(settings.broker.nats, settings.messaging));
    messaging::RelayOptions relaying;
    relaying.broker = options;
    relay = std::make_unique<messaging::Relay>(parts.runtime, parts.database, parts.outbox, *stream,
                                               parts.metrics, logger, relaying);
    broker = std::make_unique<messaging::Broker>(parts.runtime, parts.database, *stream, parts.metrics,
                                                 logger, options);
  }

  const Parts parts;
  const observe::Logger logger;
  // In the order in which they depend on each other; only `broker` with the embedded one.
  std::unique_ptr<messaging::nats::JetStream> stream;
  std::unique_ptr<messaging::Relay> relay;
  std::unique_ptr<messaging::Broker> broker;
};

BrokerWiring::BrokerWiring(const Settings& settings, const Parts& parts)
    : state_(std::make_unique<State>(settings, parts)) {}

BrokerWiring::~BrokerWiring() = default;

messaging::Subscriber& BrokerWiring::subscriber() noexcept { return *state_->broker; }

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
  state.stream->connect(ctx);
  state.relay->start(ctx);
  state.broker->start(ctx);
}

void BrokerWiring::stop(const Context& ctx) {
  State& state = *state_;
  state.broker->stop(ctx);
  if (!state.relay) return;
  state.relay->stop(ctx);
  state.stream->close(ctx);
}

observe::HealthState BrokerWiring::health() const {
  const State& state = *state_;
  if (!state.relay) return {.readiness = observe::Readiness::ready};
  const messaging::RelayState relay = state.relay->state();
  const std::string problem = state.stream->problem();
  if (problem.empty() && relay.error.empty() && !relay.late) return {.readiness = observe::Readiness::ready};
  std::string reason = "Events wait in the outbox";
  if (relay.oldest) reason += " since " + format_rfc3339(*relay.oldest);
  reason += ": " + (problem.empty() ? relay.error : problem);
  if (problem.empty() && relay.error.empty()) reason += "the broker takes them more slowly than they come.";
  return {.readiness = observe::Readiness::degraded, .reason = std::move(reason)};
}

}  // namespace holdfast::orders
