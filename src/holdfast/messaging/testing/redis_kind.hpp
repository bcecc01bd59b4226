// The contract's BrokerKind over Redis Streams, and a link that tests of them use.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "holdfast/messaging/redis/streams.hpp"
#include "holdfast/messaging/testing/broker_contract.hpp"
#include "holdfast/redis/testing/server.hpp"

namespace holdfast::messaging {

/// A server that keeps an append-only file; one for all tests of this process.
class StreamsServer {
 public:
  static holdfast::redis::testing::RedisServer& shared() {
    static holdfast::redis::testing::RedisServer server(
        {"--appendonly", "yes", "--repl-diskless-sync-delay", "0"});
    return server;
  }
  /// While it is down: everything it was told is gone.
  static void lose_store(const holdfast::redis::testing::RedisServer& server) {
    std::filesystem::remove_all(server.folder() / "appendonlydir");
  }
};

inline redis_streams::Options streams_options(const holdfast::redis::testing::RedisServer& server,
                                              const std::string& log) {
  redis_streams::Options options;
  options.address = server.tcp_address();
  options.prefix = log;
  options.watch = std::chrono::milliseconds(50);
  options.reconnect = {.base = std::chrono::milliseconds(10), .cap = std::chrono::milliseconds(100)};
  return options;
}

struct StreamsLink final : BrokerLink {
  StreamsLink(runtime::Runtime& the_runtime, observe::Metrics& the_metrics,
              redis_streams::Options the_options)
      : runtime(the_runtime), metrics(the_metrics), options(std::move(the_options)) {}
  void attach(const Context& ctx, sql::Database& database) override {
    streams.emplace(runtime, &database, metrics, observe::Logger(), options);
    streams->connect(ctx);
  }
  Sink& sink() override { return *streams; }
  Source& source() override { return *streams; }
  void close(const Context& ctx) override { streams->close(ctx); }

  runtime::Runtime& runtime;
  observe::Metrics& metrics;
  const redis_streams::Options options;
  std::optional<redis_streams::Streams> streams;
};

inline const BrokerKind kRedisStreams{
    .name = "redis",
    .connect = [](const Context&, runtime::Runtime& runtime, observe::Metrics& metrics,
                  const std::string& log) -> std::unique_ptr<BrokerLink> {
      return std::make_unique<StreamsLink>(runtime, metrics, streams_options(StreamsServer::shared(), log));
    },
    .kill_server = [] { StreamsServer::shared().kill(); },
    .start_server = [] { StreamsServer::shared().start(); },
    .lose_store = [] { StreamsServer::lose_store(StreamsServer::shared()); },
    .installed = [] { return !holdfast::redis::testing::RedisServer::unwanted(); },
    .missing = "HOLDFAST_EMBEDDED_ONLY=1: no redis-server",
    .takes_the_largest = true};

}  // namespace holdfast::messaging
