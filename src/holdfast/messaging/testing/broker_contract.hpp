// The contract of Publisher and Subscriber over any broker: what a handler may rely on whichever is
// configured. An adapter gives a BrokerKind and instantiates the suite:
//
//   INSTANTIATE_TEST_SUITE_P(Over, BrokerContract, ::testing::Values(&kEmbedded, &kNats), name_of_kind);
//   INSTANTIATE_TEST_SUITE_P(Over, ServerContract, ::testing::Values(&kNats), name_of_kind);
//
// Each test has a database of its own, SQLite's or PostgreSQL's (HOLDFAST_TEST_DATABASE), and as many
// Processes on it as it likes.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "holdfast/messaging/broker.hpp"
#include "holdfast/messaging/dead_letters.hpp"
#include "holdfast/messaging/embedded/broker.hpp"
#include "holdfast/messaging/outbox.hpp"
#include "holdfast/messaging/outbox_status.hpp"
#include "holdfast/messaging/relay.hpp"
#include "holdfast/messaging/schema.hpp"
#include "holdfast/messaging/testing/node.hpp"
#include "holdfast/runtime/sync.hpp"
#include "holdfast/sql/testing/test_database.hpp"

namespace holdfast::messaging {

/// One process's connection to an outside broker.
struct BrokerLink {
  virtual ~BrokerLink() = default;
  /// Right after it was made: whose outbox it carries, for those who need to know.
  virtual void attach(const Context& /*ctx*/, sql::Database& /*database*/) {}
  virtual Sink& sink() = 0;
  virtual Source& source() = 0;
  virtual void close(const Context& ctx) = 0;
};

struct BrokerKind {
  const char* name;
  /// Null for the embedded one. `log` names this test's own stream, queues, topics …
  std::function<std::unique_ptr<BrokerLink>(const Context& ctx, runtime::Runtime& runtime,
                                            observe::Metrics& metrics, const std::string& log)>
      connect;
  std::function<void()> kill_server = [] {};
  std::function<void()> start_server = [] {};
  std::function<void()> lose_store = [] {};
  bool ours = true;  ///< the server is the tests' own: it may be killed
  std::function<bool()> installed = [] { return true; };
  const char* missing = "";
  /// Whether a message of kMaxPayloadBytes, and its headers, is within the server's own limit.
  bool takes_the_largest = false;
};

/// A process's worth of messaging: its own database handle, connection, relay and subscriber.
struct Process {
  Process(const Context& ctx, runtime::Runtime& runtime, std::unique_ptr<sql::Database> database,
          const BrokerKind& kind, const std::string& log, const BrokerOptions& options)
      : db(std::move(database)), outbox(runtime.clock(), runtime.random(), metrics) {
    if (!kind.connect) {
      broker = std::make_unique<EmbeddedBroker>(runtime, *db, outbox, metrics, observe::Logger(), options);
      return;
    }
    link = kind.connect(ctx, runtime, metrics, log);
    link->attach(ctx, *db);
    relay = std::make_unique<Relay>(
        runtime, *db, outbox, link->sink(), metrics, observe::Logger(),
        RelayOptions{.broker = options,
                     .send_timeout = std::chrono::seconds(1),
                     .backoff = {.base = std::chrono::milliseconds(5), .cap = std::chrono::milliseconds(50)},
                     .watch = std::chrono::milliseconds(20)});
    broker = std::make_unique<Broker>(runtime, *db, link->source(), metrics, observe::Logger(), options);
  }

  void start(const Context& ctx) {
    if (relay) relay->start(ctx);
    broker->start(ctx);
  }
  void stop(const Context& ctx) {
    broker->stop(ctx.with_timeout(std::chrono::seconds(5)));
    if (relay) relay->stop(ctx.with_timeout(std::chrono::seconds(5)));
    if (link) link->close(ctx);
  }
  /// As kill -9 would.
  void abandon(const Context& ctx) {
    broker->abandon();
    if (relay) relay->abandon();
    if (link) link->close(ctx);
  }

  std::uint64_t count(const char* name, const char* group) {
    return metrics.counter(name, "", {{"group", group}}).value();
  }
  std::string publish(const Context& ctx, std::string key, std::string payload,
                      std::string topic = "orders") {
    return db->transact(ctx, "publish", [&](sql::Transaction& tx) {
      return outbox.publish(ctx, tx, {.topic = topic, .key = key, .type = "t", .payload = payload});
    });
  }

  observe::Metrics metrics;
  std::unique_ptr<sql::Database> db;
  Outbox outbox;
  std::unique_ptr<BrokerLink> link;
  std::unique_ptr<Relay> relay;
  std::unique_ptr<Broker> broker;
};

class BrokerContract : public ::testing::TestWithParam<const BrokerKind*> {
 protected:
  // A machine that is late by less than the lease has no message handled twice.
  static constexpr BrokerOptions kImpatient{.lease = std::chrono::seconds(2),
                                            .heartbeat = std::chrono::milliseconds(100),
                                            .poll = std::chrono::milliseconds(100)};
  static constexpr resilience::BackoffOptions kQuick{.base = std::chrono::milliseconds(2),
                                                     .cap = std::chrono::milliseconds(5),
                                                     .jitter = resilience::Jitter::equal};

  void SetUp() override {
    if (GetParam()->installed()) return;
    if (std::getenv("HOLDFAST_EMBEDDED_ONLY") != nullptr) GTEST_SKIP() << GetParam()->missing;
    FAIL() << GetParam()->missing;
  }

  void run(const std::function<void(const Context&)>& test) {
    runtime_.emplace(runtime::Runtime::Options{.loops = 1}, clock_, random_);
    runtime_->run([&](const Context& ctx) {
      {
        auto db = open();
        sql::Migrator(*db, migrations()).up(ctx);
        db->transact(ctx, [](sql::Transaction& tx) {
          tx.execute_script(
              "create table effects(n integer primary key, id text not null, key text not null, payload text "
              "not null)");
        });
      }
      test(ctx);
      runtime::sleep_for(ctx, std::chrono::milliseconds(1));
    });
  }
  std::unique_ptr<sql::Database> open() { return database_.open(*runtime_); }
  std::unique_ptr<Process> process(const Context& ctx, const BrokerOptions& options = kImpatient) {
    return std::make_unique<Process>(ctx, *runtime_, open(), *GetParam(), log_, options);
  }
  std::unique_ptr<Process> embedded_process(const Context& ctx) {
    static const BrokerKind kEmbedded{.name = "embedded", .connect = nullptr};
    return std::make_unique<Process>(ctx, *runtime_, open(), kEmbedded, log_, kImpatient);
  }
  bool outside() const { return GetParam()->connect != nullptr; }

  /// Writes a row for each time it was run to its end; which are to be one a message, in order.
  static Handler effect(std::function<void(const Message&)> before = {}) {
    return transactional(
        [before = std::move(before)](const Context&, sql::Transaction& tx, const Message& message) {
          if (before) before(message);
          tx.execute("insert into effects(id, key, payload) values($1, $2, $3)", message.id, message.key,
                     message.payload);
        });
  }
  static std::int64_t effects(const Context& ctx, Process& process) {
    return process.db->query_value<std::int64_t>(ctx, "select count(*) from effects");
  }
  /// Waits for `count` effects; then checks that each key has 0, 1, 2 … once, in order.
  static void expect_once_in_order(const Context& ctx, Process& process, std::int64_t count) {
    EXPECT_TRUE(eventually(ctx, [&] { return effects(ctx, process) >= count; })) << effects(ctx, process);
    EXPECT_EQ(effects(ctx, process), count);
    std::map<std::string, int> next;
    using Row = std::tuple<std::string, std::string>;
    for (const auto& [key, payload] :
         process.db->query<Row>(ctx, "select key, payload from effects order by n")) {
      EXPECT_EQ(payload, std::to_string(next[key])) << key;
      ++next[key];
    }
  }
  /// Publishes `each` messages to each of `keys` keys, by turns: payloads 0, 1, 2 …
  static void publish_all(const Context& ctx, Process& process, int keys, int each, int from = 0) {
    for (int n = from; n < from + each; ++n) {
      process.db->transact(ctx, "publish", [&](sql::Transaction& tx) {
        for (int key = 0; key < keys; ++key) {
          process.outbox.publish(ctx, tx,
                                 {.topic = "orders",
                                  .key = "key" + std::to_string(key),
                                  .type = "t",
                                  .payload = std::to_string(n)});
        }
      });
    }
  }

  sql::TestDatabase database_;
  SystemClock clock_;
  SystemRandom random_;
  std::optional<runtime::Runtime> runtime_;
  const std::string log_ = "t" + std::to_string(random_.next() % 1'000'000'000);
};

/// What is asked of brokers that are servers only.
class ServerContract : public BrokerContract {};

}  // namespace holdfast::messaging
