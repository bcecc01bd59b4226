#include "holdfast/webhooks/incoming.hpp"

#include <gtest/gtest.h>

#include "holdfast/base/error.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/sql/migrations.hpp"
#include "holdfast/sql/testing/test_database.hpp"
#include "holdfast/webhooks/schema.hpp"

namespace holdfast::webhooks {
namespace {

using namespace std::chrono_literals;

class IncomingTest : public ::testing::Test {
 protected:
  void run(const std::function<void(const Context&, sql::Database&)>& test) {
    runtime::Runtime runtime(sql::by_hand(clock), clock, random);
    runtime.run([&](const Context& ctx) {
      {
        const auto database = database_.open_alone(runtime);
        sql::Migrator(*database, migrations()).up(ctx);
        database->transact(ctx, [](sql::Transaction& tx) { tx.execute("create table effects(event text)"); });
        test(ctx, *database);
      }
      // The database's own fibers see that it is closed.
      if (runtime.simulated()) runtime::sleep_for(ctx, 1ms);
    });
  }
  bool take(const Context& ctx, sql::Database& db, const std::string& id) {
    return incoming.once(ctx, db, id,
                         [&](sql::Transaction& tx) { tx.execute("insert into effects values($1)", id); });
  }
  static std::int64_t effects(const Context& ctx, sql::Database& db) {
    return db.query_value<std::int64_t>(ctx, "select count(*) from effects");
  }
  std::uint64_t counted(const char* outcome) {
    return metrics
        .counter("holdfast_webhooks_received_total", "", {{"source", "stripe"}, {"outcome", outcome}})
        .value();
  }

  sql::TestDatabase database_;
  ManualClock clock;
  SeededRandom random{3};
  observe::Metrics metrics;
  Incoming incoming{"stripe", metrics};
};

TEST_F(IncomingTest, GivesAnEventItsEffectOnce) {
  run([&](const Context& ctx, sql::Database& db) {
    const auto known = [&] {
      return db.read(ctx, [&](sql::Snapshot& snapshot) { return incoming.known(snapshot, "evt_1"); });
    };
    EXPECT_FALSE(known());
    EXPECT_TRUE(take(ctx, db, "evt_1"));
    EXPECT_TRUE(known());
    EXPECT_FALSE(take(ctx, db, "evt_1"));
    EXPECT_TRUE(take(ctx, db, "evt_2"));
    EXPECT_EQ(effects(ctx, db), 2);
    EXPECT_EQ(counted("accepted"), 2U);
    EXPECT_EQ(counted("duplicate"), 1U);
  });
}

TEST_F(IncomingTest, AnEffectThatFailsMayBeTriedAgain) {
  run([&](const Context& ctx, sql::Database& db) {
    EXPECT_THROW(incoming.once(ctx, db, "evt_1",
                               [](sql::Transaction& tx) {
                                 tx.execute("insert into effects values('half')");
                                 throw Error(ErrorCode::conflict, "not yet");
                               }),
                 Error);
    EXPECT_EQ(effects(ctx, db), 0);
    EXPECT_EQ(counted("failed"), 1U);
    EXPECT_TRUE(take(ctx, db, "evt_1"));
    EXPECT_EQ(effects(ctx, db), 1);
  });
}

TEST_F(IncomingTest, SourcesHaveIdsOfTheirOwn) {
  run([&](const Context& ctx, sql::Database& db) {
    Incoming other("carrier", metrics);
    EXPECT_TRUE(take(ctx, db, "evt_1"));
    EXPECT_TRUE(other.once(ctx, db, "evt_1", [](sql::Transaction&) {}));
  });
}

TEST_F(IncomingTest, CountsWhatItRefuses) {
  incoming.require(Verdict::genuine);
  for (const Verdict verdict : {Verdict::malformed, Verdict::bad_signature, Verdict::stale}) {
    try {
      incoming.require(verdict);
      ADD_FAILURE() << to_string(verdict) << " was taken";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
      EXPECT_EQ(error.reason(), verdict == Verdict::stale ? "stale_signature" : "bad_signature");
    }
    EXPECT_EQ(counted(std::string(to_string(verdict)).c_str()), 1U);
  }
}

TEST_F(IncomingTest, RefusesIdsThatAreNone) {
  run([&](const Context& ctx, sql::Database& db) {
    EXPECT_THROW(take(ctx, db, ""), Error);
    EXPECT_THROW(take(ctx, db, std::string(256, 'x')), Error);
    EXPECT_TRUE(take(ctx, db, std::string(255, 'x')));
  });
}

TEST_F(IncomingTest, ForgetsAfterTheRetentionAndNotBefore) {
  run([&](const Context& ctx, sql::Database& db) {
    Incoming small("stripe", metrics, {.retention = 24h, .sweep_batch = 2});
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(take(ctx, db, "evt_" + std::to_string(i)));
    clock.advance(23h);
    EXPECT_TRUE(take(ctx, db, "evt_young"));
    EXPECT_EQ(small.sweep(ctx, db), 0);
    clock.advance(1h + 1s);
    EXPECT_EQ(small.sweep(ctx, db), 5);
    EXPECT_FALSE(take(ctx, db, "evt_young"));
    EXPECT_TRUE(take(ctx, db, "evt_0"));
  });
}

TEST_F(IncomingTest, AsksForARetentionThatHasASense) {
  EXPECT_THROW(Incoming("stripe", metrics, {.retention = 10min}), Error);
  EXPECT_THROW(Incoming("", metrics), Error);
}

}  // namespace
}  // namespace holdfast::webhooks
