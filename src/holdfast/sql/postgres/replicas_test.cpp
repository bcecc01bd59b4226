// Replicas on a real primary and its real standby.
#include "holdfast/sql/postgres/replicas.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>

#include "holdfast/runtime/fiber.hpp"
#include "holdfast/sql/testing/postgres_server.hpp"

namespace holdfast::sql::postgres {
namespace {

using namespace std::chrono_literals;

TEST(Position, IsReadAndWrittenAsPostgresDoes) {
  EXPECT_EQ(to_string(Position{0x16'B374'D848}), "16/B374D848");
  EXPECT_EQ(parse_position("16/B374D848"), Position{0x16'B374'D848});
  EXPECT_EQ(parse_position("0/0"), Position{0});
  EXPECT_EQ(parse_position("FFFFFFFF/FFFFFFFF"), Position{~std::uint64_t{0}});
  for (const char* bad : {"", "/", "1", "1/", "/1", "1/2/3", "100000000/0", "g/0", "-1/0", " 1/0", "1/0 "})
    EXPECT_EQ(parse_position(bad), std::nullopt) << bad;
}

struct Pair {
  PostgresServer primary;
  PostgresServer standby{primary, {}};
};

class OnReplicas : public ::testing::Test {
 protected:
  static constexpr Duration kMaxLag = 1500ms;  // the machine of a test may be busy
  struct Parts {
    Database& primary;
    Replicas& replicas;
  };
  void SetUp() override {
    if (PostgresServer::not_wanted()) GTEST_SKIP() << PostgresServer::kNotWanted;
    if (pair_ == nullptr) pair_ = std::make_unique<Pair>();
    database_ = pair_->primary.create_database();
  }
  static void TearDownTestSuite() { pair_.reset(); }
  void run(const std::function<void(const Context&, const Parts&)>& test) {
    observe::Metrics metrics;
    runtime::Runtime runtime({.loops = 1}, clock_, random_);
    runtime.run([&](const Context& ctx) {
      const auto primary = open(runtime, pair_->primary.options(database_));
      primary->transact(ctx, [](Transaction& tx) { tx.execute_script("create table t(n integer)"); });
      Options standby = pair_->standby.options(database_);
      standby.reconnect_max = 50ms;
      Replicas replicas(runtime, *primary, {{.name = "a", .options = standby}}, metrics, {},
                        {.max_lag = kMaxLag});
      test(ctx, {*primary, replicas});
    });
  }
  static void insert(const Context& ctx, Database& db) {
    db.transact(ctx, [](Transaction& tx) { tx.execute("insert into t(n) values(1)"); });
  }
  static std::int64_t count(const Context& ctx, Database& db) {
    return db.query_value(ctx, "select count(*) from t");
  }
  /// Looks until the replica is in `wanted`.
  static bool becomes(const Context& ctx, Replicas& replicas, ReplicaState wanted) {
    for (const Instant until = ctx.now() + 20s; ctx.now() < until; runtime::sleep_for(ctx, 20ms)) {
      replicas.look(ctx);
      if (replicas.view().front().state == wanted) return true;
    }
    return false;
  }
  /// Looks until the replica has all that is written by now.
  static bool catches_up(const Context& ctx, Replicas& replicas) {
    const Position written = replicas.position(ctx);
    for (const Instant until = ctx.now() + 20s; ctx.now() < until; runtime::sleep_for(ctx, 20ms)) {
      replicas.look(ctx);
      const ReplicaView view = replicas.view().front();
      if (view.state == ReplicaState::used && parse_position(view.replayed) >= written) return true;
    }
    return false;
  }

  static inline std::unique_ptr<Pair> pair_;  // one for all: they take their time to start
  std::string database_;
  SystemClock clock_;
  SeededRandom random_{7};
};

TEST_F(OnReplicas, ReadsGoToOneAndSeeWhatTheyMust) {
  run([](const Context& ctx, const Parts& parts) {
    EXPECT_EQ(&parts.replicas.reads(), &parts.primary) << "nothing is known of it yet";
    ASSERT_TRUE(becomes(ctx, parts.replicas, ReplicaState::used));
    EXPECT_NE(&parts.replicas.reads(), &parts.primary);
    EXPECT_EQ(parts.replicas.reads().query_value<bool>(ctx, "select pg_is_in_recovery()"), true);
    for (int i = 1; i <= 50; ++i) {
      insert(ctx, parts.replicas.reads());  // transactions are the primary's
      const Position written = parts.replicas.position(ctx);
      EXPECT_EQ(count(ctx, parts.replicas.reads(written)), i) << "what this client wrote";
      EXPECT_EQ(parts.replicas.reads(written).read(
                    ctx, [](Snapshot& db) { return db.query_value("select count(*) from t"); }),
                i);
      parts.replicas.look(ctx);
    }
    EXPECT_GT(parts.replicas.view().front().reads, 0u);
  });
}

TEST_F(OnReplicas, OneThatIsTooLateIsLeftOutAndComesBackByItself) {
  run([&](const Context& ctx, const Parts& parts) {
    ASSERT_TRUE(becomes(ctx, parts.replicas, ReplicaState::used));
    pair_->standby.run_sql("postgres", "select pg_wal_replay_pause()");
    insert(ctx, parts.primary);
    const Position written = parts.replicas.position(ctx);
    EXPECT_EQ(&parts.replicas.reads(written), &parts.primary) << "it has not replayed that";
    ASSERT_TRUE(becomes(ctx, parts.replicas, ReplicaState::late));
    EXPECT_GT(parts.replicas.view().front().lag_seconds, 1.5);
    EXPECT_EQ(&parts.replicas.reads(), &parts.primary);
    EXPECT_EQ(count(ctx, parts.replicas.reads()), 1);
    pair_->standby.run_sql("postgres", "select pg_wal_replay_resume()");
    ASSERT_TRUE(becomes(ctx, parts.replicas, ReplicaState::used));
    EXPECT_NE(&parts.replicas.reads(written), &parts.primary);
    EXPECT_EQ(count(ctx, parts.replicas.reads(written)), 1);
  });
}

TEST_F(OnReplicas, AQuietPrimarysReplicaIsNotLate) {
  run([&](const Context& ctx, const Parts& parts) {
    ASSERT_TRUE(becomes(ctx, parts.replicas, ReplicaState::used));
    for (const Instant until = ctx.now() + 2 * kMaxLag; ctx.now() < until; runtime::sleep_for(ctx, 50ms)) {
      parts.replicas.look(ctx);
      EXPECT_EQ(parts.replicas.view().front().state, ReplicaState::used);
    }
  });
}

TEST_F(OnReplicas, OneThatIsKilledIsNotMissed) {
  run([&](const Context& ctx, const Parts& parts) {
    ASSERT_TRUE(becomes(ctx, parts.replicas, ReplicaState::used));
    EXPECT_EQ(count(ctx, parts.replicas.reads()), 0);
    pair_->standby.kill_hard();
    EXPECT_EQ(count(ctx, parts.replicas.reads()), 0) << "the primary's, unseen";
    EXPECT_EQ(parts.replicas.view().front().failed_over, 1u);
    EXPECT_EQ(&parts.replicas.reads(), &parts.primary);
    ASSERT_TRUE(becomes(ctx, parts.replicas, ReplicaState::away));
    pair_->standby.start();
    ASSERT_TRUE(becomes(ctx, parts.replicas, ReplicaState::used));
    EXPECT_EQ(count(ctx, parts.replicas.reads()), 0);
  });
}

TEST_F(OnReplicas, WhoHadCaughtUpAnswersWhileThePrimaryIsAway) {
  run([&](const Context& ctx, const Parts& parts) {
    insert(ctx, parts.primary);
    ASSERT_TRUE(catches_up(ctx, parts.replicas));
    pair_->primary.kill_hard();
    parts.replicas.look(ctx);
    EXPECT_EQ(count(ctx, parts.replicas.reads()), 1);
    pair_->primary.start();
    pair_->standby.run_sql("postgres", "select pg_promote()");
    ASSERT_TRUE(becomes(ctx, parts.replicas, ReplicaState::no_standby)) << "it goes its own way";
    EXPECT_EQ(&parts.replicas.reads(), &parts.primary);
  });
  pair_.reset();
}

}  // namespace
}  // namespace holdfast::sql::postgres
