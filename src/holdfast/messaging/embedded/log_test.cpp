// Several groups of a process read the outbox through one look at it.
#include "holdfast/messaging/embedded/log.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "holdfast/messaging/schema.hpp"
#include "holdfast/messaging/subscription.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/sql/migrations.hpp"
#include "holdfast/sql/sqlite/database.hpp"

namespace holdfast::messaging::embedded {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::SizeIs;

constexpr BucketMask kAll = ~BucketMask{0};

class OutboxLogTest : public ::testing::Test {
 protected:
  struct World {
    const Context& ctx;
    sql::Database& db;
    Outbox& outbox;
    OutboxLog& log;

    void publish(const std::string& topic, int count = 1) {
      db.transact(ctx, [&](sql::Transaction& tx) {
        for (int i = 0; i < count; ++i)
          outbox.publish(ctx, tx, {.topic = topic, .key = std::to_string(i), .type = "t", .payload = topic});
      });
    }
    /// The payloads after `cohort`, which goes on to the last.
    std::vector<std::string> read(Reader& reader, Cohort& cohort, std::int64_t* head = nullptr) {
      std::vector<std::string> payloads;
      for (bool more = true; more;) {
        std::int64_t known = 0;
        ReadResult result = std::move(reader.read(ctx, {cohort}, known).front());
        for (const Message& message : result.messages) payloads.push_back(message.payload);
        EXPECT_GE(result.read_to, cohort.read_to);
        cohort.read_to = result.read_to;
        more = result.more;
        if (head != nullptr) *head = known;
      }
      return payloads;
    }
  };

  void run(const std::function<void(World&)>& test) {
    runtime::Runtime runtime({.simulated = true, .manual_clock = &clock_}, clock_, random_);
    runtime.run([&](const Context& ctx) {
      const auto db = sql::sqlite::open_memory(runtime);
      sql::Migrator(*db, migrations()).up(ctx);
      Outbox outbox(clock_, random_, metrics_);
      OutboxLog log(*db, outbox, 100'000);
      World world{.ctx = ctx, .db = *db, .outbox = outbox, .log = log};
      test(world);
    });
  }
  static SubscriptionOptions of(std::string topic) { return {.group = topic, .topics = {std::move(topic)}}; }

  ManualClock clock_;
  SeededRandom random_{3};
  observe::Metrics metrics_;
};

TEST_F(OutboxLogTest, EachGroupGetsItsTopicsWhetherItIsBehindOrNot) {
  run([](World& world) {
    const SubscriptionOptions apples = of("apples"), pears = of("pears"),
                              every = of(std::string(kEveryTopic));
    const auto a = world.log.reader(apples);
    const auto p = world.log.reader(pears);
    const auto e = world.log.reader(every);
    Cohort at_a{.buckets = kAll}, at_p{.buckets = kAll}, at_e{.buckets = kAll};
    world.publish("apples");
    world.publish("pears");
    EXPECT_THAT(world.read(*a, at_a), ElementsAre("apples"));  // before the process began: from the table
    world.publish("apples");
    std::int64_t head = 0;
    EXPECT_THAT(world.read(*a, at_a, &head), ElementsAre("apples"));
    EXPECT_EQ(head, 3);
    EXPECT_EQ(at_a.read_to, 3) << "also past what is not its own";
    EXPECT_THAT(world.read(*p, at_p), ElementsAre("pears"));
    EXPECT_THAT(world.read(*e, at_e), ElementsAre("apples", "pears", "apples"));
    world.publish("pears");
    EXPECT_THAT(world.read(*a, at_a), ElementsAre());
    EXPECT_THAT(world.read(*p, at_p), ElementsAre("pears"));
    EXPECT_THAT(world.read(*e, at_e), ElementsAre("pears"));
    EXPECT_EQ(at_a.read_to, 4);
  });
}

TEST_F(OutboxLogTest, OneLookServesAllGroups) {
  run([this](World& world) {
    const SubscriptionOptions one = of("orders"), other = of(std::string(kEveryTopic));
    const auto first = world.log.reader(one);
    const auto second = world.log.reader(other);
    Cohort at_first{.buckets = kAll}, at_second{.buckets = kAll};
    world.read(*first, at_first);
    world.publish("orders");
    EXPECT_THAT(world.read(*first, at_first), SizeIs(1));
    // Were it asked for again, it would not be found.
    world.db.transact(world.ctx, [](sql::Transaction& tx) { tx.execute("delete from outbox"); });
    EXPECT_THAT(world.read(*second, at_second), SizeIs(1));
    // What other processes commit is found by the next look, also where nobody told of it.
    world.db.transact(world.ctx, [](sql::Transaction& tx) {
      tx.execute(
          "insert into outbox(id, topic, key, bucket, type, version, headers, payload, occurred_at) "
          "values('x', 'orders', 'k', $1, 't', 1, '{}', 'theirs', 0)",
          bucket_of("k"));
    });
    clock_.advance(2ms);
    EXPECT_THAT(world.read(*second, at_second), ElementsAre("theirs"));
  });
}

TEST_F(OutboxLogTest, MoreThanALookTakesComesInSeveral) {
  run([](World& world) {
    const SubscriptionOptions one = of("orders"), other = of(std::string(kEveryTopic));
    const auto quick = world.log.reader(one);
    const auto slow = world.log.reader(other);
    Cohort at_quick{.buckets = kAll}, at_slow{.buckets = kAll};
    world.read(*quick, at_quick);
    world.read(*slow, at_slow);
    world.publish("orders", 3000);  // and only the latest 1,024 are kept in memory
    EXPECT_THAT(world.read(*quick, at_quick), SizeIs(3000));
    EXPECT_THAT(world.read(*slow, at_slow), SizeIs(3000));
    EXPECT_EQ(at_slow.read_to, 3000);
  });
}

}  // namespace
}  // namespace holdfast::messaging::embedded
