#include "support/fleet_broker.hpp"

#include "holdfast/messaging/testing/kafka_server.hpp"
#include "holdfast/messaging/testing/nats_server.hpp"
#include "holdfast/messaging/testing/rabbit_server.hpp"
#include "holdfast/redis/testing/server.hpp"

namespace holdfast::drills {

namespace {

FleetBroker nats() {
  const auto server = std::make_shared<messaging::NatsServer>();
  return {.environment = {{"HOLDFAST_BROKER_KIND", "nats"}, {"HOLDFAST_BROKER_NATS_SERVERS", server->url()}},
          .kill = [server] { server->kill_hard(); },
          .start = [server] { server->start(); }};
}

FleetBroker redis_streams() {
  const auto server = std::make_shared<redis::testing::RedisServer>(
      std::vector<std::string>{"--appendonly", "yes", "--appendfsync", "always"});
  return {.environment = {{"HOLDFAST_BROKER_KIND", "redis"}, {"HOLDFAST_BROKER_REDIS_URL", server->url()}},
          .kill = [server] { server->kill(); },
          .start = [server] { server->start(); }};
}

FleetBroker rabbitmq() {
  const auto server = std::make_shared<messaging::RabbitServer>();
  return {.environment = {{"HOLDFAST_BROKER_KIND", "rabbitmq"},
                          {"HOLDFAST_BROKER_RABBITMQ_SERVERS", server->url()}},
          .kill = [server] { server->kill_hard(); },
          .start = [server] { server->start(); }};
}

/// A mock: killed, it has lost its store.
FleetBroker kafka() {
  const auto server = std::make_shared<messaging::KafkaServer>();
  server->make_topic("holdfast", 64);
  return {.environment = {{"HOLDFAST_BROKER_KIND", "kafka"},
                          {"HOLDFAST_BROKER_KAFKA_SERVERS", server->address()}},
          .kill = [server] { server->kill_hard(); },
          .start = [server] { server->start(); }};
}

bool always() { return true; }

}  // namespace

const std::vector<FleetBrokerKind>& fleet_brokers() {
  static const std::vector<FleetBrokerKind> all{
      {"embedded", &always, "",
       [] {
         return FleetBroker{.environment = {{"HOLDFAST_BROKER_KIND", "embedded"}}};
       }},
      {"redis", [] { return !redis::testing::RedisServer::unwanted(); }, "redis-server is not wanted",
       &redis_streams},
      {"kafka", &always, "", &kafka},
      {"nats", &messaging::NatsServer::installed, messaging::NatsServer::kMissing, &nats},
      {"rabbitmq", &messaging::RabbitServer::installed, messaging::RabbitServer::kMissing, &rabbitmq},
  };
  return all;
}

}  // namespace holdfast::drills
