// The contract's BrokerKind over RabbitMQ, and a link that tests of RabbitMQ itself use.
#pragma once

#include <poll.h>

#include <chrono>
#include <memory>
#include <string>

#include "holdfast/messaging/rabbitmq/streams.hpp"
#include "holdfast/messaging/testing/broker_contract.hpp"
#include "holdfast/messaging/testing/rabbit_server.hpp"

namespace holdfast::messaging {

struct RabbitLink final : BrokerLink {
  RabbitLink(runtime::Runtime& runtime, observe::Metrics& metrics, const rabbitmq::Options& options)
      : streams(runtime, metrics, observe::Logger(), options) {}
  Sink& sink() override { return streams; }
  Source& source() override { return streams; }
  void close(const Context& ctx) override { streams.close(ctx); }
  rabbitmq::Streams streams;
};

inline rabbitmq::Options rabbit_options(const RabbitServer& server, const std::string& log) {
  rabbitmq::Options options;
  options.servers = {server.url()};
  options.prefix = log;
  options.heartbeat = std::chrono::seconds(3);  // the machine of a test may be busy
  options.verify_every = std::chrono::milliseconds(500);
  options.reconnect = {.base = std::chrono::milliseconds(10), .cap = std::chrono::milliseconds(100)};
  return options;
}

/// When the server was last told to make something; it is given the time to write it down.
inline Instant& rabbit_made_at() {
  static Instant at;
  return at;
}

inline const BrokerKind kRabbit{
    .name = "rabbitmq",
    .connect = [](const Context& ctx, runtime::Runtime& runtime, observe::Metrics& metrics,
                  const std::string& log) -> std::unique_ptr<BrokerLink> {
      auto link = std::make_unique<RabbitLink>(runtime, metrics, rabbit_options(RabbitServer::shared(), log));
      link->streams.connect(ctx);
      rabbit_made_at() = SystemClock().now();
      return link;
    },
    .kill_server =
        [] {
          const Duration left = rabbit_made_at() + RabbitServer::kWritesWithin - SystemClock().now();
          if (left > Duration(0))
            ::poll(nullptr, 0, static_cast<int>(left / std::chrono::milliseconds(1)) + 1);
          RabbitServer::shared().kill_hard();
        },
    .start_server = [] { RabbitServer::shared().start(); },
    .lose_store = [] { RabbitServer::shared().lose_store(); },
    .installed = &RabbitServer::installed,
    .missing = RabbitServer::kMissing,
    .takes_the_largest = true};

}  // namespace holdfast::messaging
