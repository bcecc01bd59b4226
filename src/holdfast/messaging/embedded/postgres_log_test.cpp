// The outbox as a log on PostgreSQL, where several transactions are open at a time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "holdfast/messaging/embedded/broker.hpp"
#include "holdfast/messaging/schema.hpp"
#include "holdfast/messaging/testing/node.hpp"
#include "holdfast/sql/testing/postgres_server.hpp"

namespace holdfast::messaging {
namespace {

using namespace std::chrono_literals;
using sql::PostgresServer;
using sql::postgres::Writers;
using ::testing::ElementsAre;
using ::testing::Field;

class PostgresLog : public ::testing::TestWithParam<Writers> {
 protected:
  void SetUp() override {
    if (PostgresServer::not_wanted()) GTEST_SKIP() << PostgresServer::kNotWanted;
    name_ = PostgresServer::shared().create_database();
  }
  void run(const std::function<void(const Context&)>& test) {
    runtime::Runtime runtime({.loops = 1}, clock_, random_);
    runtime_ = &runtime;
    runtime.run([&](const Context& ctx) { test(ctx.with_timeout(60s)); });
  }
  std::unique_ptr<sql::Database> open(Writers writers) const {
    auto options = PostgresServer::shared().options(name_);
    options.writers = writers;
    options.max_attempts = 1000;  // on a busy machine the same one may lose very often
    return sql::postgres::open(*runtime_, options);
  }
  Node node() const { return Node(*runtime_, open(GetParam()), {.poll = 50ms}); }

  SystemClock clock_;
  SystemRandom random_;
  std::string name_;
  runtime::Runtime* runtime_ = nullptr;
};

// The first transaction publishes, and commits only when it is let go; the second publishes meanwhile. Had it
// got a higher position and committed at once, the reader would go on from there and never see the first.
TEST_P(PostgresLog, ATransactionThatCommitsLateIsNotPassed) {
  run([&](const Context& ctx) {
    Node late = node();
    Node quick = node();
    Node reader = node();
    const auto gate = open(Writers::side_by_side);
    sql::Migrator(*reader.db, migrations()).up(ctx);
    const auto at_gate = [&](const char* verb) {
      gate->transact(ctx, "gate", [&](sql::Transaction& tx) {
        tx.query_value<std::int64_t>(std::string("select 1 from ") + verb + "(42)");
      });
    };
    const auto waiting = [&] {
      return reader.db->query_value<std::int64_t>(
          ctx,
          "select count(*) from pg_locks where locktype = 'advisory' and not granted and database = "
          "(select oid from pg_database where datname = current_database())");
    };
    std::vector<Message> seen;
    reader.broker->subscribe(
        {.group = "g", .topics = {"orders"}},
        external([&](const Context&, const Message& message) { seen.push_back(message); }));
    std::vector<std::string> seen_too;  // two groups share what is read of the log's end
    reader.broker->subscribe(
        {.group = "h", .topics = {"orders"}},
        external([&](const Context&, const Message& message) { seen_too.push_back(message.payload); }));
    reader.broker->start(ctx);
    at_gate("pg_advisory_lock");

    runtime::FiberGroup writers(ctx);
    writers.spawn("late", [&](const Context& own) {
      late.db->transact(own, "late", [&](sql::Transaction& tx) {
        late.outbox.publish(own, tx,
                            {.topic = "orders", .key = "a", .type = "order.placed", .payload = "late"});
        tx.query_value<std::int64_t>("select 1 from pg_advisory_xact_lock_shared(42)");
      });
    });
    ASSERT_TRUE(eventually(ctx, [&] { return waiting() == 1; }));
    bool committed = false;
    writers.spawn("quick", [&](const Context& own) {
      publish(own, quick, "b", "quick");
      committed = true;
    });
    ASSERT_TRUE(eventually(ctx, [&] { return committed || waiting() == 2; }));
    EXPECT_FALSE(committed) << "it has a later position, so it must not be visible before";
    if (committed) {
      EXPECT_TRUE(eventually(ctx, [&] { return !seen.empty(); }));
    }

    at_gate("pg_advisory_unlock");
    writers.wait();
    EXPECT_TRUE(eventually(ctx, [&] { return seen.size() == 2 && seen_too.size() == 2; }))
        << "one was passed over";
    std::ranges::sort(seen, {}, &Message::position);
    EXPECT_THAT(seen, ElementsAre(Field(&Message::payload, "late"), Field(&Message::payload, "quick")));
    reader.broker->stop(ctx.with_timeout(5s));
  });
}

// Whatever order they come in, and whoever has to be run again.
TEST_P(PostgresLog, EveryMessageOfManyWritersIsReadOnce) {
  run([&](const Context& ctx) {
    constexpr std::size_t kWriters = 4;
    constexpr std::size_t kEach = 25;
    Node reader = node();
    sql::Migrator(*reader.db, migrations()).up(ctx);
    reader.db->transact(ctx, [](sql::Transaction& tx) {
      tx.execute_script("create table counters(n integer primary key, value integer not null)");
      tx.execute("insert into counters(n, value) values(1, 0)");
    });
    std::vector<std::int64_t> positions;
    reader.broker->subscribe(
        {.group = "g", .topics = {"orders"}},
        external([&](const Context&, const Message& message) { positions.push_back(message.position); }));
    reader.broker->start(ctx);
    runtime::FiberGroup writers(ctx);
    for (std::size_t w = 0; w < kWriters; ++w) {
      writers.spawn("writer", [&, w](const Context& own) {
        Node writer = node();
        for (std::size_t n = 0; n < kEach; ++n) {
          writer.db->transact(own, "count and publish", [&](sql::Transaction& tx) {
            writer.outbox.publish(own, tx, {.topic = "orders", .key = "k" + std::to_string(w), .type = "t"});
            tx.execute("update counters set value = value + 1 where n = 1");
          });
        }
      });
    }
    writers.wait();
    EXPECT_TRUE(eventually(ctx, [&] { return positions.size() >= kWriters * kEach; })) << positions.size();
    EXPECT_EQ(positions.size(), kWriters * kEach);
    EXPECT_EQ(reader.db->query_value<std::int64_t>(ctx, "select value from counters"),
              static_cast<std::int64_t>(kWriters * kEach));
    reader.broker->stop(ctx.with_timeout(5s));
  });
}

INSTANTIATE_TEST_SUITE_P(Writers, PostgresLog,
                         ::testing::Values(Writers::one_at_a_time, Writers::side_by_side),
                         [](const auto& writers) {
                           return writers.param == Writers::one_at_a_time ? "one_at_a_time" : "side_by_side";
                         });

}  // namespace
}  // namespace holdfast::messaging
