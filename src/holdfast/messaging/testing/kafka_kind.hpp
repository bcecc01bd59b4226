// The contract's BrokerKind over Kafka, and a link that tests of Kafka itself use.
#pragma once

#include <memory>
#include <string>

#include "holdfast/messaging/kafka/topic.hpp"
#include "holdfast/messaging/testing/broker_contract.hpp"
#include "holdfast/messaging/testing/kafka_server.hpp"

namespace holdfast::messaging {

struct KafkaLink final : BrokerLink {
  KafkaLink(runtime::Runtime& runtime, observe::Metrics& metrics, const kafka::Options& options)
      : topic(runtime, metrics, observe::Logger(), options) {}
  Sink& sink() override { return topic; }
  Source& source() override { return topic; }
  void close(const Context& ctx) override { topic.close(ctx); }
  kafka::Topic topic;
};

inline kafka::Options kafka_options(const KafkaServer& server, const std::string& log) {
  kafka::Options options;
  options.servers = {server.address()};
  options.topic = log;
  options.partitions = 16;  // fewer than buckets, so that some share one
  options.replication = 1;
  options.connect_timeout = std::chrono::milliseconds(1000);
  options.request_timeout = std::chrono::seconds(2);
  options.fetch_wait = std::chrono::milliseconds(10);  // the mock keeps it though records come
  options.check_interval = std::chrono::milliseconds(100);
  options.reconnect = {.base = std::chrono::milliseconds(10), .cap = std::chrono::milliseconds(100)};
  return options;
}

inline const BrokerKind kKafka{
    .name = "kafka",
    .connect = [](const Context& ctx, runtime::Runtime& runtime, observe::Metrics& metrics,
                  const std::string& log) -> std::unique_ptr<BrokerLink> {
      KafkaServer& server = KafkaServer::shared();
      const kafka::Options options = kafka_options(server, log);
      server.make_topic(log, options.partitions);
      auto link = std::make_unique<KafkaLink>(runtime, metrics, options);
      link->topic.connect(ctx);
      return link;
    },
    // The mock's store lives as long as its process, so it goes away as if the network were gone.
    .kill_server = [] { KafkaServer::shared().down(); },
    .start_server = [] { KafkaServer::shared().up(); },
    .lose_store = [] { KafkaServer::shared().lose_store(); },
    .ours = KafkaServer::given() == nullptr};

}  // namespace holdfast::messaging
