// The contract's BrokerKind over NATS JetStream, and a link that tests of NATS itself use.
#pragma once

#include <memory>
#include <string>

#include "holdfast/messaging/nats/jetstream.hpp"
#include "holdfast/messaging/testing/broker_contract.hpp"
#include "holdfast/messaging/testing/nats_server.hpp"

namespace holdfast::messaging {

struct NatsLink final : BrokerLink {
  NatsLink(runtime::Runtime& runtime, observe::Metrics& metrics, const nats::Options& options)
      : stream(runtime, metrics, observe::Logger(), options) {}
  Sink& sink() override { return stream; }
  Source& source() override { return stream; }
  void close(const Context& ctx) override { stream.close(ctx); }
  nats::JetStream stream;
};

inline nats::Options nats_options(const NatsServer& server, const std::string& log) {
  nats::Options options;
  options.servers = {server.url()};
  options.stream = log;
  options.prefix = log;
  options.duplicate_window = std::chrono::milliseconds(100);  // so that the inbox and positions have to do it
  options.request_timeout = std::chrono::seconds(2);
  options.reconnect = {.base = std::chrono::milliseconds(10), .cap = std::chrono::milliseconds(100)};
  return options;
}

inline const BrokerKind kNats{
    .name = "nats",
    .connect = [](const Context& ctx, runtime::Runtime& runtime, observe::Metrics& metrics,
                  const std::string& log) -> std::unique_ptr<BrokerLink> {
      auto link = std::make_unique<NatsLink>(runtime, metrics, nats_options(NatsServer::shared(), log));
      link->stream.connect(ctx);
      return link;
    },
    .kill_server = [] { NatsServer::shared().kill_hard(); },
    .start_server = [] { NatsServer::shared().start(); },
    .lose_store = [] { NatsServer::shared().lose_store(); },
    .installed = &NatsServer::installed,
    .missing = NatsServer::kMissing};

}  // namespace holdfast::messaging
