// The Order System on outside brokers, by settings alone: its server, its workers and the broker itself are
// killed in the middle of orders, and each order has one receipt all the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <thread>

#include "drills/frame/shop.hpp"
#include "drills/frame/shoppers.hpp"
#include "holdfast/messaging/testing/kafka_server.hpp"
#include "holdfast/messaging/testing/nats_server.hpp"
#include "holdfast/messaging/testing/rabbit_server.hpp"
#include "holdfast/redis/testing/server.hpp"

namespace holdfast::drills {
namespace {

using namespace std::chrono_literals;
using messaging::KafkaServer;
using messaging::NatsServer;
using messaging::RabbitServer;
using redis::testing::RedisServer;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// A broker's server, and how the Order System is told to use it.
struct OutsideBroker {
  virtual ~OutsideBroker() = default;
  virtual std::map<std::string, std::string> settings() const = 0;
  virtual void kill() = 0;
  virtual void start() = 0;
  virtual void freeze() = 0;
  virtual void thaw() = 0;
};

struct OutsideKind {
  const char* name;       ///< in broker.kind
  const char* when_away;  ///< in the metrics
  bool (*installed)();
  const char* missing;
  std::unique_ptr<OutsideBroker> (*make)();
};

struct Nats final : OutsideBroker {
  std::map<std::string, std::string> settings() const override {
    return {{"HOLDFAST_BROKER_KIND", "nats"}, {"HOLDFAST_BROKER_NATS_SERVERS", server.url()}};
  }
  void kill() override { server.kill_hard(); }
  void start() override { server.start(); }
  void freeze() override { server.freeze(); }
  void thaw() override { server.thaw(); }
  NatsServer server;
};

struct RedisStreams final : OutsideBroker {
  std::map<std::string, std::string> settings() const override {
    return {{"HOLDFAST_BROKER_KIND", "redis"}, {"HOLDFAST_BROKER_REDIS_URL", server.url()}};
  }
  void kill() override { server.kill(); }
  void start() override { server.start(); }
  void freeze() override { server.stop(); }
  void thaw() override { server.resume(); }
  RedisServer server{{"--appendonly", "yes"}};
};

/// It takes seconds to start: one for all, each with an exchange of its own.
struct RabbitMq final : OutsideBroker {
  std::map<std::string, std::string> settings() const override {
    return {{"HOLDFAST_BROKER_KIND", "rabbitmq"},
            {"HOLDFAST_BROKER_RABBITMQ_SERVERS", server.url()},
            {"HOLDFAST_BROKER_RABBITMQ_PREFIX", prefix}};
  }
  void kill() override {
    std::this_thread::sleep_for(RabbitServer::kWritesWithin);
    server.kill_hard();
  }
  void start() override { server.start(); }
  void freeze() override { server.freeze(); }
  void thaw() override { server.thaw(); }
  RabbitServer& server = RabbitServer::shared();
  const std::string prefix =
      "t" + std::to_string(std::chrono::steady_clock::now().time_since_epoch().count());
};

/// A mock, whose store goes with its process; so each start is with an empty one.
struct Kafka final : OutsideBroker {
  Kafka() { server.make_topic("holdfast", 64); }
  std::map<std::string, std::string> settings() const override {
    return {{"HOLDFAST_BROKER_KIND", "kafka"}, {"HOLDFAST_BROKER_KAFKA_SERVERS", server.address()}};
  }
  void kill() override { server.kill_hard(); }
  void start() override { server.start(); }
  void freeze() override { server.freeze(); }
  void thaw() override { server.thaw(); }
  KafkaServer server;
};

template <class Broker>
std::unique_ptr<OutsideBroker> make() {
  return std::make_unique<Broker>();
}

const OutsideKind kNats{.name = "nats",
                        .when_away = "holdfast_nats_connected 0",
                        .installed = &NatsServer::installed,
                        .missing = NatsServer::kMissing,
                        .make = &make<Nats>};
const OutsideKind kRedis{.name = "redis",
                         .when_away = "holdfast_redis_streams_connected 0",
                         .installed = [] { return !RedisServer::unwanted(); },
                         .missing = "HOLDFAST_EMBEDDED_ONLY=1: no redis-server",
                         .make = &make<RedisStreams>};

const OutsideKind kRabbitMq{.name = "rabbitmq",
                            .when_away = "holdfast_rabbitmq_connected 0",
                            .installed = &RabbitServer::installed,
                            .missing = RabbitServer::kMissing,
                            .make = &make<RabbitMq>};

const OutsideKind kKafka{.name = "kafka",
                         .when_away = "holdfast_kafka_connected 0",
                         .installed = [] { return true; },
                         .missing = "",
                         .make = &make<Kafka>};

bool eventually(const std::function<bool()>& holds) {
  const auto until = std::chrono::steady_clock::now() + 30s;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(10ms);
  }
  return true;
}

class OnBroker : public ::testing::TestWithParam<const OutsideKind*> {
 protected:
  void SetUp() override {
    if (GetParam()->installed()) return;
    if (std::getenv("HOLDFAST_EMBEDDED_ONLY") != nullptr) GTEST_SKIP() << GetParam()->missing;
    FAIL() << GetParam()->missing;
  }
  static std::string ready(Shop& shop) { return shop.connect().get("/health/ready").body; }
};

TEST_P(OnBroker, EachOrderHasOneReceiptWhateverIsKilled) {
  const auto broker = GetParam()->make();
  auto settings = broker->settings();
  settings["HOLDFAST_BLOB_MAX_INLINE"] = "400B";  // so that larger orders leave their messages on the way
  Shop shop({.environment = settings, .lease = "1s"});
  Journal journal;
  auto worker = shop.server().spawn({"worker"});
  Shoppers shoppers(shop, journal, {.seed = test_seed(), .threads = 2, .pause = 10ms});
  const auto orders_go_on = [&] {
    const std::size_t placed = journal.placed();
    EXPECT_TRUE(eventually([&] { return journal.placed() > placed + 30; }));
  };
  orders_go_on();

  broker->kill();
  orders_go_on();  // the outbox has them
  EXPECT_TRUE(eventually([&] { return ready(shop).find("Events wait in the outbox") != std::string::npos; }))
      << ready(shop);
  EXPECT_TRUE(eventually(
      [&] { return shop.connect().get("/metrics").body.find(GetParam()->when_away) != std::string::npos; }));
  broker->start();
  EXPECT_TRUE(eventually([&] { return ready(shop).find("Events wait") == std::string::npos; }))
      << ready(shop);

  worker->kill();
  orders_go_on();
  worker = shop.server().spawn({"worker"});
  orders_go_on();

  broker->freeze();
  orders_go_on();
  broker->thaw();
  shoppers.finish();
  EXPECT_THAT(shop.faults(journal), IsEmpty());
  EXPECT_FALSE(std::filesystem::is_empty(shop.server().data() / "blobs" / "blobs" / "claims"));
  worker->terminate();
  EXPECT_EQ(worker->wait(20s).code, 0) << worker->err();
}

TEST_P(OnBroker, AndBackIsASettingToo) {
  const auto broker = GetParam()->make();
  Shop shop({.environment = broker->settings()});
  Journal journal;
  for (const std::string kind : {"embedded", GetParam()->name, "embedded"}) {
    const std::string name = "before-" + std::to_string(journal.placed());
    Shoppers shoppers(shop, journal, {.seed = test_seed(), .threads = 2, .name = name, .pause = 5ms});
    const std::size_t placed = journal.placed();
    EXPECT_TRUE(eventually([&] { return journal.placed() > placed + 30; }));
    shoppers.finish();
    shop.server().stop();  // whatever is not handled yet
    shop.server().options().environment["HOLDFAST_BROKER_KIND"] = kind;
    shop.server().start();
  }
  EXPECT_THAT(shop.faults(journal), IsEmpty());
  EXPECT_THAT(shop.server().run({"outbox", "status"}).out, ::testing::Not(HasSubstr("outbox-relay")));
}

INSTANTIATE_TEST_SUITE_P(Kinds, OnBroker, ::testing::Values(&kNats, &kRabbitMq, &kRedis, &kKafka),
                         [](const auto& kind) { return std::string(kind.param->name); });

/// What `serve` says before it ends.
std::string refusal(const std::map<std::string, std::string>& settings) {
  ServerProcess server({.environment = settings, .start = false});
  server.launch();
  const ExitStatus status = server.process().wait(20s);
  EXPECT_NE(status.code, 0);
  return server.process().err() + server.process().out();
}

TEST(OnNats, AWrongSettingIsNamedAtTheStart) {
  if (!NatsServer::installed()) GTEST_SKIP() << NatsServer::kMissing;
  NatsServer closed("authorization { user: orders, password: sesame }\njetstream { store_dir: \"store\" }");
  EXPECT_THAT(refusal({{"HOLDFAST_BROKER_KIND", "nats"}, {"HOLDFAST_BROKER_NATS_SERVERS", closed.url()}}),
              HasSubstr("check broker.nats.user and password"));
}

TEST(OnRabbitMq, AWrongSettingIsNamedAtTheStart) {
  if (!RabbitServer::installed()) GTEST_SKIP() << RabbitServer::kMissing;
  const RabbitServer& server = RabbitServer::shared();
  const auto said_with = [&](const char* name, const char* value) {
    return refusal({{"HOLDFAST_BROKER_KIND", "rabbitmq"},
                    {"HOLDFAST_BROKER_RABBITMQ_SERVERS", server.url()},
                    {name, value}});
  };
  EXPECT_THAT(said_with("HOLDFAST_BROKER_RABBITMQ_PASSWORD", "wrong"),
              HasSubstr("check broker.rabbitmq.user and password"));
  EXPECT_THAT(said_with("HOLDFAST_BROKER_RABBITMQ_VHOST", "nowhere"),
              HasSubstr("check broker.rabbitmq.vhost"));
}

TEST(OnKafka, AWrongSettingIsNamedAtTheStart) {
  KafkaServer server;
  server.make_topic("holdfast", 64);
  const auto said_with = [&](const char* name, const char* value) {
    return refusal({{"HOLDFAST_BROKER_KIND", "kafka"},
                    {"HOLDFAST_BROKER_KAFKA_SERVERS", server.address()},
                    {"HOLDFAST_BROKER_KAFKA_TLS_REQUIRED", "true"},
                    {name, value}});
  };
  EXPECT_THAT(said_with("HOLDFAST_BROKER_KAFKA_TLS_CA_FILE", "/nowhere.pem"),
              HasSubstr("broker.kafka.tls.ca_file"));
  EXPECT_THAT(said_with("HOLDFAST_BROKER_KAFKA_SASL_MECHANISM", "GUESS"),
              HasSubstr("broker.kafka.sasl.mechanism"));
  EXPECT_THAT(said_with("HOLDFAST_BROKER_KAFKA_COMPRESSION", "rar"), HasSubstr("broker.kafka.compression"));
}

TEST(OnRedis, AWrongSettingIsNamedAtTheStart) {
  if (RedisServer::unwanted()) GTEST_SKIP() << kRedis.missing;
  EXPECT_THAT(refusal({{"HOLDFAST_BROKER_KIND", "redis"}}), HasSubstr("broker.redis.url"));
  RedisServer cache({"--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"});
  EXPECT_THAT(refusal({{"HOLDFAST_BROKER_KIND", "redis"}, {"HOLDFAST_REDIS_URL", cache.url()}}),
              HasSubstr("name another server in broker.redis.url"));
}

}  // namespace
}  // namespace holdfast::drills
