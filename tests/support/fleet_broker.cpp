#include "support/fleet_broker.hpp"

#include "holdfast/messaging/testing/nats_server.hpp"

namespace holdfast::drills {

namespace {

/// For servers of tests as they all are: kill_hard(), start().
template <class Server>
FleetBroker broker_of(std::shared_ptr<Server> server, std::map<std::string, std::string> environment) {
  return {.environment = std::move(environment),
          .kill = [server] { server->kill_hard(); },
          .start = [server] { server->start(); },
          .server = server};
}

FleetBroker nats() {
  auto server = std::make_shared<messaging::NatsServer>();
  return broker_of(server,
                   {{"HOLDFAST_BROKER_KIND", "nats"}, {"HOLDFAST_BROKER_NATS_SERVERS", server->url()}});
}

bool always() { return true; }

}  // namespace

const std::vector<FleetBrokerKind>& fleet_brokers() {
  static const std::vector<FleetBrokerKind> all{
      {"embedded", &always, "",
       [] {
         return FleetBroker{.environment = {{"HOLDFAST_BROKER_KIND", "embedded"}}};
       }},
      {"nats", &messaging::NatsServer::installed, messaging::NatsServer::kMissing, &nats},
  };
  return all;
}

}  // namespace holdfast::drills
