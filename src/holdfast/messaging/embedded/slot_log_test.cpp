// The outbox heard by its replication slot, on a real PostgreSQL.
#include "holdfast/messaging/embedded/slot_log.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "holdfast/messaging/embedded/internal/heard.hpp"
#include "holdfast/messaging/schema.hpp"
#include "holdfast/messaging/testing/node.hpp"
#include "holdfast/sql/postgres/replication.hpp"
#include "holdfast/sql/testing/postgres_server.hpp"

namespace holdfast::messaging {
namespace {

using namespace std::chrono_literals;
using sql::PostgresServer;

Message at(std::int64_t position, const std::string& key = "k") {
  Message message;
  message.position = position;
  message.key = key;
  message.topic = "orders";
  return message;
}

TEST(Heard, HasNoGapAndABound) {
  embedded::Heard heard(3, 1 << 20);
  EXPECT_FALSE(heard.covers(0));
  for (const std::int64_t position : {5, 6, 9}) heard.add(at(position));
  heard.add(at(6));  // again
  EXPECT_FALSE(heard.covers(3)) << "4 may have been committed before";
  EXPECT_TRUE(heard.covers(4));
  const std::vector<std::string> all{std::string(kEveryTopic)};
  const Cohort everything{.read_to = 4, .buckets = ~BucketMask{0}};
  auto read = heard.read(everything, all, 10);
  EXPECT_EQ(read.messages.size(), 3u);
  EXPECT_EQ(read.read_to, 9);
  EXPECT_FALSE(read.more);
  read = heard.read(everything, all, 2);
  EXPECT_EQ(read.read_to, 6);
  EXPECT_TRUE(read.more);
  EXPECT_TRUE(heard.read(everything, {"other"}, 2).messages.empty());
  EXPECT_TRUE(heard.read({.read_to = 4, .buckets = ~mask_of(bucket_of("k"))}, all, 2).messages.empty());
  EXPECT_EQ(heard.read({.read_to = 20, .buckets = ~BucketMask{0}}, all, 2).read_to, 20)
      << "the table was ahead";
  heard.add(at(10));
  EXPECT_FALSE(heard.covers(4)) << "the oldest was forgotten";
  EXPECT_TRUE(heard.covers(5));
  heard.forget();
  EXPECT_FALSE(heard.covers(10));
}

/// A process that relays, with nothing but the slot to tell it of others' messages.
struct Follower {
  Follower(runtime::Runtime& runtime, const sql::postgres::Options& options, SlotOptions slot)
      : db(sql::postgres::open(runtime, options)),
        outbox(runtime.clock(), runtime.random(), metrics),
        log(runtime, *db, outbox, metrics, {}, "g", 4096, std::move(slot)),
        broker(std::make_unique<Broker>(runtime, *db, log, metrics, observe::Logger(),
                                        BrokerOptions{.lease = 3s, .heartbeat = 100ms, .poll = 1h})) {}

  void start(const Context& ctx) {
    broker->subscribe({.group = "g", .topics = {std::string(kEveryTopic)}, .whole_bucket_in_order = true},
                      external([this](const Context& own, const Message& message) {
                        while (held) runtime::sleep_for(own, 5ms);
                        seen.push_back(message);
                      }));
    broker->start(ctx);
  }

  observe::Metrics metrics;
  std::unique_ptr<sql::Database> db;
  Outbox outbox;
  SlotLog log;
  std::unique_ptr<Broker> broker;
  std::vector<Message> seen;
  bool held = false;
};

class OnSlot : public ::testing::Test {
 protected:
  void SetUp() override {
    if (PostgresServer::not_wanted()) GTEST_SKIP() << PostgresServer::kNotWanted;
    if (server_ == nullptr) {
      server_ = std::make_unique<PostgresServer>(PostgresServer::Settings{
          .settings = {"wal_level=logical", "max_slot_wal_keep_size=32MB", "min_wal_size=32MB",
                       "max_wal_size=64MB", "checkpoint_timeout=1h"}});
    }
    name_ = server_->create_database();
  }
  static void TearDownTestSuite() { server_.reset(); }

  void run(const std::function<void(const Context&)>& test) {
    runtime::Runtime runtime({.loops = 1}, clock_, random_);
    runtime_ = &runtime;
    runtime.run([&](const Context& ctx) {
      const auto db = sql::postgres::open(runtime, options());
      sql::Migrator(*db, migrations()).up(ctx);
      test(ctx.with_timeout(60s));
    });
  }
  sql::postgres::Options options() const {
    auto made = server_->options(name_);
    made.external_poll = 1h;  // as if it were not there
    return made;
  }
  SlotOptions slot() const {
    SlotOptions made;
    made.postgres = options();
    made.slot = "slot_" + name_;
    made.look_every = 50ms;
    made.try_every = 100ms;
    return made;
  }
  /// By somebody who wakes nobody.
  void publish_unseen(int from, int to) const {
    server_->run_sql(
        name_,
        "insert into outbox(id, topic, key, bucket, type, version, headers, payload, occurred_at) "
        "select 'msg_' || n, 'orders', 'key', " +
            std::to_string(bucket_of("key")) +
            ", 'order.placed', 1, '{}', n::text, 5 from "
            "generate_series(" +
            std::to_string(from) + ", " + std::to_string(to) + ") n");
  }
  std::string confirmed() const {
    const auto db = sql::postgres::open(*runtime_, options());
    return db->query_value<std::string>(
        runtime_->context(),
        "select confirmed_flush_lsn::text from pg_replication_slots where slot_name = $1", "slot_" + name_);
  }
  static std::vector<std::string> payloads(const std::vector<Message>& messages) {
    std::vector<std::string> texts;
    for (const Message& message : messages) texts.push_back(message.payload);
    return texts;
  }
  static std::vector<std::string> numbers(int from, int to) {
    std::vector<std::string> texts;
    for (int n = from; n <= to; ++n) texts.push_back(std::to_string(n));
    return texts;
  }

  static inline std::unique_ptr<PostgresServer> server_;
  SystemClock clock_;
  SystemRandom random_;
  std::string name_;
  runtime::Runtime* runtime_ = nullptr;
};

TEST_F(OnSlot, HearsWhatIsCommittedWithoutAsking) {
  run([&](const Context& ctx) {
    Follower follower(*runtime_, options(), slot());
    follower.start(ctx);
    ASSERT_TRUE(eventually(ctx, [&] { return follower.log.state().following; }))
        << follower.log.state().problem;
    publish_unseen(1, 100);
    publish_unseen(101, 1500);
    EXPECT_TRUE(eventually(ctx, [&] { return follower.seen.size() >= 1500; })) << follower.seen.size();
    EXPECT_EQ(payloads(follower.seen), numbers(1, 1500));
    EXPECT_EQ(follower.seen.front().id, "msg_1");
    EXPECT_EQ(follower.seen.front().occurred_at, WallTime(std::chrono::microseconds(5)));
    follower.broker->stop(ctx.with_timeout(5s));
  });
}

TEST_F(OnSlot, NothingIsConfirmedBeforeItIsRecorded) {
  run([&](const Context& ctx) {
    Follower follower(*runtime_, options(), slot());
    follower.start(ctx);
    ASSERT_TRUE(eventually(ctx, [&] { return follower.log.state().following; }));
    publish_unseen(1, 1);
    ASSERT_TRUE(eventually(ctx, [&] { return follower.seen.size() == 1; }));
    follower.held = true;
    publish_unseen(2, 2);
    const auto end = follower.db->query_value<std::string>(ctx, "select pg_current_wal_lsn()::text");
    runtime::sleep_for(ctx, 500ms);  // that nothing happens can't be waited for
    EXPECT_LT(sql::postgres::parse_position(confirmed()), sql::postgres::parse_position(end));
    follower.held = false;
    EXPECT_TRUE(eventually(ctx, [&] {
      publish_unseen(3, 3);  // what is recorded is told at a heartbeat
      return sql::postgres::parse_position(confirmed()) >= sql::postgres::parse_position(end);
    }));
    follower.broker->stop(ctx.with_timeout(5s));
  });
}

TEST_F(OnSlot, AnotherTakesOverAndNothingIsMissed) {
  run([&](const Context& ctx) {
    auto first = std::make_unique<Follower>(*runtime_, options(), slot());
    first->start(ctx);
    ASSERT_TRUE(eventually(ctx, [&] { return first->log.state().following; }));
    Follower second(*runtime_, options(), slot());
    second.start(ctx);
    publish_unseen(1, 50);
    ASSERT_TRUE(eventually(ctx, [&] { return first->seen.size() + second.seen.size() >= 50; }));
    EXPECT_FALSE(second.log.state().following) << "one at a time has it";
    EXPECT_EQ(second.log.state().problem, "");
    first->broker->abandon();
    publish_unseen(51, 100);
    std::set<std::string> seen;
    for (const Message& message : first->seen) seen.insert(message.payload);
    first.reset();
    ASSERT_TRUE(eventually(ctx, [&] { return second.log.state().following; }));
    publish_unseen(101, 110);
    EXPECT_TRUE(eventually(ctx, [&] {
      for (const Message& message : second.seen) seen.insert(message.payload);
      return seen.size() >= 110;
    })) << seen.size();
    second.broker->stop(ctx.with_timeout(5s));
  });
}

TEST_F(OnSlot, AKilledPostgresLosesNothing) {
  run([&](const Context& ctx) {
    Follower follower(*runtime_, options(), slot());
    follower.start(ctx);
    ASSERT_TRUE(eventually(ctx, [&] { return follower.log.state().following; }));
    publish_unseen(1, 200);
    server_->kill_hard();
    server_->start();
    publish_unseen(201, 300);
    ASSERT_TRUE(eventually(ctx, [&] { return follower.log.state().following; }))
        << follower.log.state().problem;
    publish_unseen(301, 400);
    std::set<std::string> seen;
    EXPECT_TRUE(eventually(ctx, [&] {
      for (const Message& message : follower.seen) seen.insert(message.payload);
      return seen.size() >= 400;
    })) << seen.size();
    follower.broker->stop(ctx.with_timeout(5s));
  });
}

// The server forgets its log; the table bridges the gap, from the recorded positions.
TEST_F(OnSlot, ASlotThatWasGivenUpIsNoticedAndMadeAnew) {
  run([&](const Context& ctx) {
    {
      Follower follower(*runtime_, options(), slot());
      follower.start(ctx);
      ASSERT_TRUE(eventually(ctx, [&] { return follower.log.state().following; }));
      publish_unseen(1, 10);
      ASSERT_TRUE(eventually(ctx, [&] { return follower.seen.size() == 10; }));
      follower.broker->stop(ctx.with_timeout(5s));
    }
    publish_unseen(11, 20);
    const auto lost = [&] {
      server_->run_sql(name_,
                       "select pg_logical_emit_message(false, 'x', repeat('x', 1000000)) from "
                       "generate_series(1, 40)");
      server_->run_sql(name_, "select pg_switch_wal()");
      server_->run_sql(name_, "checkpoint");
      const auto db = sql::postgres::open(*runtime_, options());
      return sql::postgres::slot_state(ctx, *db, "slot_" + name_)->lost;
    };
    ASSERT_TRUE(lost() || lost() || lost());
    Follower follower(*runtime_, options(), slot());
    follower.start(ctx);
    ASSERT_TRUE(eventually(ctx, [&] { return follower.log.state().following; }))
        << follower.log.state().problem;
    publish_unseen(21, 30);
    EXPECT_TRUE(eventually(ctx, [&] { return follower.seen.size() >= 20; })) << follower.seen.size();
    EXPECT_EQ(payloads(follower.seen), numbers(11, 30));
    follower.broker->stop(ctx.with_timeout(5s));
  });
}

TEST_F(OnSlot, WhatIsKeptForItIsTold) {
  run([&](const Context& ctx) {
    SlotOptions options_of_it = slot();
    options_of_it.warn_bytes = 1'000'000;
    Follower follower(*runtime_, options(), options_of_it);
    follower.held = true;
    follower.start(ctx);
    ASSERT_TRUE(eventually(ctx, [&] { return follower.log.state().following; }));
    publish_unseen(1, 1);
    server_->run_sql(name_, "select pg_logical_emit_message(false, 'x', repeat('x', 2000000))");
    EXPECT_TRUE(eventually(ctx, [&] { return !follower.log.state().problem.empty(); }));
    EXPECT_GT(follower.log.state().retained_bytes, 1'000'000);
    follower.held = false;
    follower.broker->stop(ctx.with_timeout(5s));
  });
}

}  // namespace
}  // namespace holdfast::messaging
