// What every subscriber promises, asked of the embedded broker on SQLite and PostgreSQL.
#include "holdfast/messaging/embedded/broker.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "holdfast/messaging/dead_letters.hpp"
#include "holdfast/messaging/outbox_status.hpp"
#include "holdfast/messaging/schema.hpp"
#include "holdfast/messaging/testing/node.hpp"
#include "holdfast/sql/sqlite/database.hpp"
#include "holdfast/sql/testing/test_database.hpp"

namespace holdfast::messaging {
namespace {

using namespace std::chrono_literals;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

enum class Adapter { memory, file };

class Broker : public ::testing::TestWithParam<Adapter> {
 protected:
  void run(const std::function<void(const Context&, runtime::Runtime&, Node&)>& test,
           BrokerOptions options = {}) {
    runtime::Runtime::Options settings{.loops = 1};
    const bool memory = GetParam() == Adapter::memory;
    if (memory) settings = {.simulated = true, .manual_clock = &manual_clock_};
    const Clock& clock = memory ? static_cast<const Clock&>(manual_clock_) : system_clock_;
    runtime::Runtime runtime(settings, clock, random_);
    runtime.run([&](const Context& ctx) {
      {
        Node node(runtime, open(runtime), options);
        sql::Migrator(*node.db, migrations()).up(ctx);
        test(ctx, runtime, node);
        node.broker->stop(ctx.with_timeout(10s));
      }
      runtime::sleep_for(ctx, 1ms);  // the database's own fibers see that it is closed
    });
  }

  std::unique_ptr<sql::Database> open(runtime::Runtime& runtime) {
    if (GetParam() == Adapter::memory) return sql::sqlite::open_memory(runtime);
    return database_.open(runtime);
  }

  sql::TestDatabase database_;
  ManualClock manual_clock_;
  SystemClock system_clock_;
  SeededRandom random_{7};
};

constexpr resilience::BackoffOptions kQuick{.base = 2ms, .cap = 5ms, .jitter = resilience::Jitter::equal};

TEST_P(Broker, PassesOverWhatAGroupDoesNotWant) {
  BrokerOptions options;
  options.heartbeat = 20ms;  // writes down how far it is
  run(
      [](const Context& ctx, runtime::Runtime&, Node& node) {
        Seen seen;
        node.broker->subscribe(
            {.group = "picky",
             .topics = {"orders"},
             .wanted = [](const Message& message) { return message.payload != "0"; }},
            transactional([&](const Context&, sql::Transaction&, const Message& m) { seen.add(m); }));
        node.broker->start(ctx);
        for (int i = 0; i < 6; ++i) publish(ctx, node, "k" + std::to_string(i), std::to_string(i % 2));
        const auto done = [&] {
          const auto status = outbox_status(ctx, *node.db);
          return status.groups.size() == 1 && status.groups.front().lag == 0;
        };
        EXPECT_TRUE(eventually(ctx, done)) << "its progress goes past them";
        EXPECT_EQ(seen.total, 3u);
        EXPECT_EQ(node.db->query_value(ctx, "select count(*) from inbox"), 3);
      },
      options);
}

TEST_P(Broker, HandsAMessageToEachGroupOnceWithAllThatWasPublished) {
  run([](const Context& plain, runtime::Runtime& runtime, Node& node) {
    std::vector<Message> first;
    std::atomic<std::size_t> second = 0;
    std::vector<std::string> trace_ids;
    node.broker->subscribe({.group = "first", .topics = {"orders"}},
                           external([&](const Context& ctx, const Message& message) {
                             first.push_back(message);
                             trace_ids.push_back(ctx.trace().trace_id_hex());
                             EXPECT_EQ(ctx.request_id(), "req-1");
                           }));
    node.broker->subscribe({.group = "second", .topics = {"orders", "stock"}},
                           transactional([&](const Context&, sql::Transaction&, const Message& message) {
                             EXPECT_EQ(message.group, "second");
                             ++second;
                           }));
    node.broker->start(plain);
    const auto trace = observe::TraceContext::start(runtime.random());
    const Context ctx = plain.with_trace(trace).with_request_id("req-1");
    const std::string id = publish(ctx, node, "ord_1", R"({"total":5})");
    publish(ctx, node, "sku", "2", "stock");
    publish(ctx, node, "x", "3", "elsewhere");
    ASSERT_TRUE(eventually(ctx, [&] { return first.size() == 1 && second == 2; }));

    EXPECT_EQ(first[0].id, id);
    EXPECT_EQ(first[0].topic, "orders");
    EXPECT_EQ(first[0].key, "ord_1");
    EXPECT_EQ(first[0].type, "order.placed");
    EXPECT_EQ(first[0].payload, R"({"total":5})");
    EXPECT_EQ(first[0].attempt, 1);
    EXPECT_EQ(first[0].group, "first");
    EXPECT_EQ(first[0].header("traceparent"), trace.traceparent());
    EXPECT_THAT(trace_ids, Each(trace.trace_id_hex()));
    runtime::sleep_for(ctx, 20ms);
    EXPECT_THAT(first, SizeIs(1));
    EXPECT_EQ(second.load(), 2U);
  });
}

TEST_P(Broker, SendsNothingOfATransactionThatIsUndone) {
  run([](const Context& ctx, runtime::Runtime&, Node& node) {
    Seen seen;
    node.broker->subscribe({.group = "g", .topics = {"orders"}},
                           external([&](const Context&, const Message& message) { seen.add(message); }));
    node.broker->start(ctx);
    EXPECT_THROW(node.db->transact(ctx, "fails",
                                   [&](sql::Transaction& tx) {
                                     node.outbox.publish(ctx, tx,
                                                         {.topic = "orders", .key = "a", .type = "t"});
                                     throw Error(ErrorCode::conflict, "No.");
                                   }),
                 Error);
    publish(ctx, node, "b");
    ASSERT_TRUE(eventually(ctx, [&] { return seen.total > 0; }));
    EXPECT_FALSE(seen.by_key.contains("a"));
  });
}

TEST_P(Broker, KeepsEachKeysOrderWhileHandlersFail) {
  run([this](const Context& ctx, runtime::Runtime&, Node& node) {
    constexpr int kKeys = 20;
    constexpr int kEach = 15;
    Seen seen;
    node.broker->subscribe({.group = "g",
                            .topics = {"orders"},
                            .max_attempts = 50,
                            .backoff = kQuick,
                            .batch = 7,
                            .read_ahead = 10},
                           external([&](const Context& inner, const Message& message) {
                             if (random_.below(4) == 0) runtime::sleep_for(inner, 1ms);
                             if (random_.below(4) == 0) throw Error(ErrorCode::unavailable, "Not now.");
                             seen.add(message);
                           }));
    node.broker->start(ctx);
    for (int n = 0; n < kEach; ++n) {
      for (int key = 0; key < kKeys; ++key)
        publish(ctx, node, "key" + std::to_string(key), std::to_string(n));
    }
    ASSERT_TRUE(eventually(ctx, [&] { return seen.total >= kKeys * kEach; })) << seen.total;
    for (const auto& [key, payloads] : seen.by_key) {
      ASSERT_THAT(payloads, SizeIs(kEach)) << key;
      for (int n = 0; n < kEach; ++n)
        EXPECT_EQ(payloads[static_cast<std::size_t>(n)], std::to_string(n)) << key;
    }
  });
}

TEST_P(Broker, APoisonPillBecomesADeadLetterAndItsKeyGoesOn) {
  run([](const Context& ctx, runtime::Runtime&, Node& node) {
    Seen seen;
    std::atomic<int> attempts = 0;
    node.broker->subscribe({.group = "g", .topics = {"orders"}, .max_attempts = 3, .backoff = kQuick},
                           transactional([&](const Context&, sql::Transaction& tx, const Message& message) {
                             if (message.payload == R"("poison")") {
                               attempts = message.attempt;
                               tx.execute("insert into effects(key) values('half done')");
                               throw Error(ErrorCode::internal, "Can't read it.").cause("byte 7");
                             }
                             seen.add(message);
                           }));
    node.db->transact(ctx, [](sql::Transaction& tx) { tx.execute_script("create table effects(key text)"); });
    node.broker->start(ctx);
    publish(ctx, node, "a", R"("poison")");
    publish(ctx, node, "a", "2");
    publish(ctx, node, "a", "3");
    publish(ctx, node, "b", "1");
    ASSERT_TRUE(eventually(ctx, [&] { return seen.total == 3; }));
    ASSERT_TRUE(eventually(ctx, [&] { return node.count("holdfast_messaging_handled_total", "g") == 3; }));
    EXPECT_THAT(seen.by_key["a"], ElementsAre("2", "3"));
    EXPECT_EQ(attempts.load(), 3);
    EXPECT_EQ(node.db->query_value<std::int64_t>(ctx, "select count(*) from effects"), 0);

    DeadLetters dead(*node.db);
    const auto letters = dead.list(ctx, {.group = "g"});
    ASSERT_THAT(letters, SizeIs(1));
    EXPECT_EQ(letters[0].payload.text(), R"("poison")");
    EXPECT_THAT(letters[0].error, HasSubstr("Can't read it. (byte 7)"));
    EXPECT_THAT(JsonDocument::parse(letters[0].attempts.text()).root().items(), SizeIs(3));
    EXPECT_TRUE(eventually(ctx, [&] { return node.count("holdfast_messaging_dead_total", "g") == 1; }));
    EXPECT_EQ(node.db->query_value<std::int64_t>(ctx, "select count(*) from parked_messages"), 0);
  });
}

TEST_P(Broker, RedrivesWhatMatchesOnceAtTheRateAskedFor) {
  run([](const Context& ctx, runtime::Runtime&, Node& node) {
    std::atomic<bool> broken = true;
    Seen seen;
    node.broker->subscribe({.group = "g", .topics = {"orders"}, .max_attempts = 1},
                           transactional([&](const Context&, sql::Transaction&, const Message& message) {
                             if (broken) throw Error(ErrorCode::unavailable, "Down: " + message.payload);
                             seen.add(message);
                           }));
    node.broker->start(ctx);
    for (int n = 0; n < 10; ++n) publish(ctx, node, "key" + std::to_string(n), std::to_string(n));
    DeadLetters dead(*node.db);
    ASSERT_TRUE(eventually(ctx, [&] { return dead.count(ctx, {.group = "g"}) == 10; }));
    EXPECT_EQ(dead.count(ctx, {.group = "other"}), 0);
    EXPECT_EQ(dead.count(ctx, {.error_contains = "down: 3"}), 1);
    EXPECT_THAT(dead.list(ctx, {}, dead.list(ctx, {}, {}, 4).back().id, 100), SizeIs(6));

    broken = false;
    EXPECT_EQ(dead.redrive(ctx, {.group = "g"}, {.dry_run = true}).matched, 10U);
    EXPECT_EQ(dead.count(ctx, {.group = "g"}), 10);
    EXPECT_EQ(dead.redrive(ctx, {.error_contains = "Down: 3"}).redriven, 1U);
    ASSERT_TRUE(eventually(ctx, [&] { return seen.total == 1; }));
    EXPECT_THAT(seen.by_key["key3"], ElementsAre("3"));

    const Instant begun = ctx.now();
    EXPECT_EQ(dead.redrive(ctx, {.group = "g"}, {.rate_per_second = 40}).redriven, 9U);
    EXPECT_GE(ctx.now() - begun, 125ms);  // nine in batches of four, at 25 ms each
    ASSERT_TRUE(eventually(ctx, [&] { return seen.total == 10; }));
    EXPECT_EQ(dead.redrive(ctx, {.group = "g"}).redriven, 0U);
    EXPECT_EQ(dead.count(ctx, {.group = "g", .redriven_too = true}), 10);
  });
}

TEST_P(Broker, TheInboxStopsASecondEffectOfOneMessage) {
  run([](const Context& ctx, runtime::Runtime&, Node& node) {
    Seen seen;
    node.broker->subscribe(
        {.group = "g", .topics = {"orders"}},
        transactional([&](const Context&, sql::Transaction&, const Message& message) { seen.add(message); }));
    node.broker->start(ctx);
    publish(ctx, node, "a", "1");
    ASSERT_TRUE(eventually(ctx, [&] { return seen.total == 1; }));
    node.db->transact(
        ctx, [&](sql::Transaction& tx) {  // the same message a second time, as a relay may send it
          tx.execute(
              "insert into outbox(id, topic, key, bucket, type, version, headers, payload, occurred_at) "
              "select id, topic, key, bucket, type, version, headers, payload, occurred_at from outbox");
          tx.after_commit(node.outbox.committed());
        });
    ASSERT_TRUE(eventually(ctx, [&] { return node.count("holdfast_messaging_duplicates_total", "g") == 1; }));
    EXPECT_EQ(seen.total, 1U);
  });
}

TEST_P(Broker, StopsGracefullyAndGoesOnWhereItWas) {
  run([](const Context& ctx, runtime::Runtime& runtime, Node& node) {
    Seen seen;
    const auto subscribe = [&](EmbeddedBroker& broker) {
      broker.subscribe({.group = "g", .topics = {"orders"}, .concurrency = 2},
                       external([&](const Context& inner, const Message& message) {
                         runtime::sleep_for(inner, 1ms);
                         seen.add(message);
                       }));
    };
    subscribe(*node.broker);
    node.broker->start(ctx);
    for (int n = 0; n < 50; ++n) publish(ctx, node, "key" + std::to_string(n % 10), std::to_string(n / 10));
    ASSERT_TRUE(eventually(ctx, [&] { return seen.total >= 5; }));
    node.broker->stop(ctx.with_timeout(5s));
    const std::size_t before = seen.total.load();
    runtime::sleep_for(ctx, 20ms);
    EXPECT_EQ(seen.total, before);
    EXPECT_EQ(outbox_status(ctx, *node.db).groups[0].lag, 50 - static_cast<std::int64_t>(before));

    EmbeddedBroker next(runtime, *node.db, node.outbox, node.metrics, observe::Logger());
    subscribe(next);
    next.start(ctx);
    ASSERT_TRUE(eventually(ctx, [&] { return seen.total >= 50; }));
    next.stop(ctx.with_timeout(5s));
    EXPECT_EQ(seen.total, 50U);
    for (const auto& [key, payloads] : seen.by_key)
      EXPECT_THAT(payloads, ElementsAre("0", "1", "2", "3", "4"));
  });
}

TEST_P(Broker, AHandlerThatDoesNotStopInTimeIsCancelledAndItsMessageComesAgain) {
  run([](const Context& ctx, runtime::Runtime& runtime, Node& node) {
    int begun = 0;
    node.broker->subscribe({.group = "g", .topics = {"orders"}, .max_attempts = 1},
                           external([&](const Context& inner, const Message&) {
                             ++begun;
                             runtime::sleep_for(inner, 20s);
                           }));
    node.broker->start(ctx);
    publish(ctx, node, "a");
    ASSERT_TRUE(eventually(ctx, [&] { return begun == 1; }));
    const Instant before = ctx.now();
    node.broker->stop(ctx.with_timeout(50ms));
    EXPECT_LT(ctx.now() - before, 5s);
    EXPECT_EQ(DeadLetters(*node.db).count(ctx, {}), 0);

    Seen seen;
    EmbeddedBroker next(runtime, *node.db, node.outbox, node.metrics, observe::Logger());
    next.subscribe({.group = "g", .topics = {"orders"}},
                   external([&](const Context&, const Message& message) { seen.add(message); }));
    next.start(ctx);
    EXPECT_TRUE(eventually(ctx, [&] { return seen.total == 1; }));
    next.stop(ctx.with_timeout(5s));
  });
}

/// What takes hours, on a clock that jumps.
class BrokerInVirtualTime : public Broker {};

TEST_P(BrokerInVirtualTime, TrimsWhatIsOldAndReadByAllAndNothingElse) {
  run(
      [](const Context& ctx, runtime::Runtime&, Node& node) {
        Seen seen;
        node.broker->subscribe({.group = "fast", .topics = {"orders"}},
                               external([&](const Context&, const Message& message) { seen.add(message); }));
        node.broker->start(ctx);
        for (int n = 0; n < 20; ++n) publish(ctx, node, "key" + std::to_string(n));
        ASSERT_TRUE(eventually(ctx, [&] { return seen.total == 20; }));
        const auto rows = [&] {
          return node.db->query_value<std::int64_t>(ctx, "select count(*) from outbox");
        };
        runtime::sleep_for(ctx, 3s);
        EXPECT_EQ(node.broker->trim(ctx), 0);              // read by all, but young
        node.db->transact(ctx, [](sql::Transaction& tx) {  // a group that has not read position 8 yet
          tx.execute_script(
              "insert into outbox_groups(group_name, topics, created_at) values('slow', '[\"orders\"]', 0);"
              "insert into outbox_groups(group_name, topics, created_at) values('other', '[\"stock\"]', 0);"
              "insert into outbox_leases(group_name, bucket, owner, fence, position) select g.group_name, "
              "l.bucket, null, 0, 7 from outbox_leases l join outbox_groups g on g.group_name <> "
              "l.group_name "
              "where l.group_name = 'fast';");
        });
        runtime::sleep_for(ctx, 2h);
        EXPECT_EQ(rows(), 13);
        node.db->transact(ctx, [](sql::Transaction& tx) {
          tx.execute("delete from outbox_leases where group_name = 'slow'");
        });
        runtime::sleep_for(ctx, 2min);
        EXPECT_EQ(rows(), 0);
        publish(ctx, node, "after");
        EXPECT_TRUE(eventually(ctx, [&] { return seen.total == 21; }));
      },
      {.log_retention = 1h, .inbox_retention = 1h, .trim_batch = 3});
}

TEST_P(Broker, ANewGroupStartsAtTheBeginningUnlessItAsksForNow) {
  run([](const Context& ctx, runtime::Runtime&, Node& node) {
    publish(ctx, node, "a", "old");
    Seen all;
    Seen recent;
    node.broker->subscribe({.group = "all", .topics = {"orders"}},
                           external([&](const Context&, const Message& message) { all.add(message); }));
    node.broker->subscribe({.group = "recent", .topics = {"orders"}, .start_from = StartFrom::now},
                           external([&](const Context&, const Message& message) { recent.add(message); }));
    node.broker->start(ctx);
    publish(ctx, node, "a", "new");
    ASSERT_TRUE(eventually(ctx, [&] { return all.total == 2 && recent.total == 1; }));
    EXPECT_THAT(recent.by_key["a"], ElementsAre("new"));
  });
}

TEST_P(BrokerInVirtualTime, GoesOnWhenTheDatabaseWasAwayForLongerThanItsLease) {
  run([](const Context& ctx, runtime::Runtime&, Node& node) {
    Seen seen;
    node.broker->subscribe({.group = "g", .topics = {"orders"}},
                           external([&](const Context&, const Message& message) { seen.add(message); }));
    node.broker->start(ctx);
    const auto rename = [&](const char* sql) {
      node.db->transact(ctx, [&](sql::Transaction& tx) { tx.execute_script(sql); });
    };
    rename("alter table outbox_workers rename to away");
    publish(ctx, node, "a");
    runtime::sleep_for(ctx, 20s);
    publish(ctx, node, "b");
    runtime::sleep_for(ctx, 1s);
    EXPECT_FALSE(seen.by_key.contains("b"));  // no heartbeat, no right to work
    rename("alter table away rename to outbox_workers");
    EXPECT_TRUE(eventually(ctx, [&] { return seen.by_key.contains("b"); }));
  });
}

INSTANTIATE_TEST_SUITE_P(Adapters, BrokerInVirtualTime, ::testing::Values(Adapter::memory));
INSTANTIATE_TEST_SUITE_P(Adapters, Broker, ::testing::Values(Adapter::memory, Adapter::file),
                         [](const auto& adapter) {
                           return adapter.param == Adapter::memory ? "memory" : "file";
                         });

}  // namespace
}  // namespace holdfast::messaging
