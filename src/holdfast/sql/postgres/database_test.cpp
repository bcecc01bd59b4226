// What only a server has to show: deadlines, deaths, silence, refusals, other processes. The port's own
// promises are asked in ../database_test.cpp and ../transaction_test.cpp.
#include "holdfast/sql/postgres/database.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/runtime/sync.hpp"
#include "holdfast/sql/migrations.hpp"
#include "holdfast/sql/testing/postgres_server.hpp"

namespace holdfast::sql::postgres {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class PostgresTest : public ::testing::Test {
 protected:
  using Test = std::function<void(const Context&, Database&)>;

  void SetUp() override {
    if (PostgresServer::not_wanted()) GTEST_SKIP() << PostgresServer::kNotWanted;
  }

  void run(PostgresServer& server, const std::function<void(Options&)>& change, const Test& test) {
    Options options = server.options(server.create_database());
    change(options);
    on_fiber([&](const Context& ctx, runtime::Runtime& runtime) {
      options_ = options;
      const auto db = open(runtime, options);
      db->transact(ctx, "schema", [](Transaction& tx) {
        tx.execute_script("create table t(n integer primary key, hits integer not null default 0)");
        tx.execute("insert into t(n) values(1)");
      });
      test(ctx, *db);
    });
  }
  void run(const Test& test) {
    run(
        PostgresServer::shared(), [](Options&) {}, test);
  }
  void on_fiber(const std::function<void(const Context&, runtime::Runtime&)>& body) {
    runtime::Runtime runtime({.loops = 2}, clock_, random_);
    runtime_ = &runtime;
    runtime.run([&](const Context& ctx) { body(ctx, runtime); });
  }

  template <class Call>
  static Error error_of(const Call& call) {
    try {
      call();
    } catch (const Error& error) {
      return error;
    }
    ADD_FAILURE() << "no Error was thrown";
    return Error(ErrorCode::internal, "none");
  }
  static std::int64_t hit(const Context& ctx, Database& db) {
    return db.transact(ctx, "hit", [](Transaction& tx) {
      return tx.query_value("update t set hits = hits + 1 where n = 1 returning hits");
    });
  }
  static std::int64_t hits(const Context& ctx, Database& db) {
    return db.query_value(ctx, "select hits from t where n = 1");
  }
  /// Whether writing and reading work again within half a minute.
  static void expect_recovery(const Context& ctx, Database& db) {
    const Context soon = ctx.with_timeout(30s);
    for (;;) {
      try {
        hit(soon, db);
        hits(soon, db);
        return;
      } catch (const DatabaseError&) {
        runtime::sleep_for(soon, 20ms);
      }
    }
  }

  SystemClock clock_;
  SystemRandom random_;
  Options options_;
  runtime::Runtime* runtime_ = nullptr;
};

TEST_F(PostgresTest, TextsAreOrderedByTheirBytesWhateverTheDatabasesOrderIs) {
  on_fiber([](const Context& ctx, runtime::Runtime& runtime) {
    PostgresServer& server = PostgresServer::shared();
    const auto db = open(runtime, server.options(server.create_database(
                                      {"--locale-provider=icu", "--icu-locale=en", "--lc-collate=C"})));
    db->transact(ctx, "schema", [](Transaction& tx) {
      tx.execute_script("create table words(word text primary key)");
      tx.execute("insert into words values('b'), ('a'), ('B'), ('_')");
    });
    EXPECT_THAT(
        db->query<std::string>(ctx, "select 'b' as word union select 'B' union select '_' order by word"),
        ElementsAre("_", "b", "B"));  // or this says nothing
    EXPECT_THAT(db->query<std::string>(ctx, "select word from words order by word"),
                ElementsAre("B", "_", "a", "b"));
    EXPECT_THAT(db->query<std::string>(ctx, "select word from words where word > $1 order by word", "B"),
                ElementsAre("_", "a", "b"));
  });
}

TEST_F(PostgresTest, ProcessesThatMigrateAtOnceApplyEachStepOnce) {
  for (const Writers writers : {Writers::one_at_a_time, Writers::side_by_side}) {
    const std::string name = PostgresServer::shared().create_database();
    on_fiber([&](const Context& ctx, runtime::Runtime& runtime) {
      std::vector<Migration> steps;
      for (int n = 1; n <= 5; ++n)
        steps.push_back({n, "step", "create table t" + std::to_string(n) + "(n integer)", ""});
      steps[2].postgres_up_sql = "create table only_here(n bigint)";
      std::atomic<std::size_t> applied = 0;
      runtime::FiberGroup processes(ctx);
      for (int p = 0; p < 4; ++p) {
        processes.spawn("process", [&](const Context& own) {
          Options options = PostgresServer::shared().options(name);
          options.writers = writers;
          const auto db = open(runtime, options);
          applied += Migrator(*db, steps).up(own).size();
        });
      }
      processes.wait();
      EXPECT_EQ(applied, steps.size());
      const auto db = open(runtime, PostgresServer::shared().options(name));
      EXPECT_EQ(db->query_value(ctx, "select count(*) from only_here"), 0);
      EXPECT_EQ(db->query_value(ctx,
                                "select count(*) from pg_locks where locktype = 'advisory' and "
                                "classid = 807975642"),
                0)
          << "somebody kept the lock";
    });
  }
}

TEST_F(PostgresTest, ADeadlineStopsAStatementOnTheServerAndKeepsTheConnection) {
  run([](const Context& ctx, Database& db) {
    const Instant began = ctx.now();
    const Context bounded = ctx.with_timeout(200ms);
    EXPECT_EQ(error_of([&] { db.query<std::string>(bounded, "select pg_sleep(20)::text"); }).code(),
              ErrorCode::deadline_exceeded);
    const Context again = ctx.with_timeout(200ms);
    const auto sleep = [](Transaction& tx) { tx.query<std::string>("select pg_sleep(20)::text"); };
    EXPECT_EQ(error_of([&] { db.transact(again, "sleep", sleep); }).code(), ErrorCode::deadline_exceeded);
    EXPECT_LT(ctx.now() - began, 10s) << "of forty that they would have slept";
    EXPECT_EQ(db.query_value(ctx,
                             "select count(*) from pg_stat_activity where query like 'select pg_sleep%' "
                             "and state = 'active' and pid <> pg_backend_pid()"),
              0);
    EXPECT_EQ(hit(ctx, db), 1);
  });
}

TEST_F(PostgresTest, AStatementThatTakesTooLongIsStoppedWithoutADeadline) {
  run(
      PostgresServer::shared(), [](Options& options) { options.statement_timeout = 200ms; },
      [](const Context& ctx, Database& db) {
        const Error error = error_of([&] { db.query<std::string>(ctx, "select pg_sleep(20)::text"); });
        EXPECT_EQ(error.code(), ErrorCode::unavailable);
        EXPECT_THAT(error.cause(), HasSubstr("57014"));
      });
}

TEST_F(PostgresTest, OneBodyWhoseTimeRunsOutTakesNobodyAlong) {
  run([](const Context& ctx, Database& db) {
    std::atomic<int> done = 0;
    runtime::FiberGroup group(ctx);
    for (int i = 0; i < 10; ++i) {
      group.spawn("body", [&, i](const Context& fiber) {
        if (i == 3) {
          const Context bounded = fiber.with_timeout(300ms);
          const auto sleep = [](Transaction& tx) { tx.query<std::string>("select pg_sleep(20)::text"); };
          EXPECT_EQ(error_of([&] { db.transact(bounded, "sleep", sleep); }).code(),
                    ErrorCode::deadline_exceeded);
        } else {
          hit(fiber, db);
          ++done;
        }
      });
    }
    group.wait();
    EXPECT_EQ(done, 9);
    EXPECT_EQ(hits(ctx, db), 9);
  });
}

TEST_F(PostgresTest, AnExhaustedPoolRefusesInsideTheDeadline) {
  run(
      PostgresServer::shared(), [](Options& options) { options.readers_per_loop = 1; },
      [](const Context& ctx, Database& db) {
        runtime::FiberGroup group(ctx);
        runtime::Latch in_use;
        runtime::Latch over;
        group.spawn("slow", [&](const Context& fiber) {
          db.read(fiber, [&](Snapshot& snapshot) {
            snapshot.query_value("select 1");
            in_use.open();
            const runtime::NoWaitScope lifted(nullptr);
            over.wait(fiber, "the test");
          });
        });
        in_use.wait(ctx.with_timeout(20s), "the only connection");
        const Context bounded = ctx.with_timeout(2s);
        const Error error = error_of([&] { db.query_value(bounded, "select 1"); });
        EXPECT_EQ(error.code(), ErrorCode::unavailable);
        EXPECT_EQ(error.reason(), "database_pool_exhausted");
        EXPECT_TRUE(error.retry_after());
        EXPECT_GT(bounded.remaining(), Duration::zero());
        over.open();
        group.wait();
        EXPECT_EQ(db.query_value(ctx, "select 1"), 1);
      });
}

TEST_F(PostgresTest, WhatIsWrongWithTheSettingsIsNamedAtTheStart) {
  on_fiber([&](const Context&, runtime::Runtime& runtime) {
    const auto cause = [&](const std::function<void(Options&)>& spoil) {
      Options options = PostgresServer::shared().options();
      spoil(options);
      const Error error = error_of([&] { open(runtime, options); });
      EXPECT_EQ(error.code(), ErrorCode::unavailable);
      EXPECT_THAT(error.cause(), HasSubstr(options.host));
      return error.cause();
    };
    EXPECT_THAT(cause([](Options& options) { options.password = "wrong"; }), HasSubstr("`password`"));
    EXPECT_THAT(cause([](Options& options) { options.user = "nobody"; }), HasSubstr("`user`"));
    EXPECT_THAT(cause([](Options& options) { options.dbname = "nowhere"; }), HasSubstr("`dbname`"));
    EXPECT_THAT(cause([](Options& options) { options.port = 1; }), HasSubstr("`port`"));
    EXPECT_THAT(cause([](Options& options) { options.host = "/nowhere"; }), HasSubstr("`host`"));
    EXPECT_THAT(cause([](Options& options) { options.sslmode = "require"; }), HasSubstr("`sslmode`"));
  });
}

// Each acknowledged hit is there; each that failed otherwise than "not known" is not.
TEST_F(PostgresTest, AServerKilledUnderLoadLosesNothingAcknowledgedAndComesBack) {
  PostgresServer server;
  run(
      server, [](Options&) {},
      [&](const Context& ctx, Database& db) {
        std::atomic<bool> stop = false;
        std::int64_t acknowledged = 0;
        std::int64_t unknown = 0;
        std::int64_t refused = 0;
        runtime::FiberGroup group(ctx);
        for (int i = 0; i < 8; ++i) {
          group.spawn("load", [&](const Context& fiber) {
            while (!stop) {
              try {
                hit(fiber.with_timeout(10s), db);
                ++acknowledged;
              } catch (const DatabaseError& failure) {
                failure.kind() == FailureKind::commit_unknown ? ++unknown : ++refused;
                EXPECT_EQ(failure.code(), ErrorCode::unavailable) << failure.what();
                EXPECT_TRUE(failure.retry_after());
                runtime::sleep_for(fiber, 5ms);
              }
            }
          });
        }
        runtime::sleep_for(ctx, 300ms);
        server.kill_hard();
        runtime::sleep_for(ctx, 200ms);
        server.start();
        expect_recovery(ctx, db);
        acknowledged += 1;  // of expect_recovery
        stop = true;
        group.wait();
        const std::int64_t there = hits(ctx, db);
        EXPECT_GE(there, acknowledged);
        EXPECT_LE(there, acknowledged + unknown);
        EXPECT_GT(refused, 0);
        std::printf("    %ld acknowledged, %ld not known, %ld refused, %ld there\n", acknowledged, unknown,
                    refused, there);
      });
}

// libpq closes a lost connection's socket, and the one that replaces it gets the same number.
TEST_F(PostgresTest, AConnectionThatReplacesALostOneIsToldOfItsAnswers) {
  run([](const Context& ctx, Database& db) {
    for (int n = 0; n < 3; ++n) {
      hits(ctx, db);
      const std::int64_t ended = db.transact(ctx, "end the idle", [](Transaction& tx) {
        return tx.query_value(
            "select count(pg_terminate_backend(pid, 5000)) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()");
      });
      ASSERT_GE(ended, 1);
      EXPECT_EQ(db.query_value(ctx.with_timeout(5s), "select n from t, pg_sleep(0.05) where n = 1"), 1);
    }
  });
}

TEST_F(PostgresTest, ASilentServerIsGivenUpWithinTheDeadline) {
  PostgresServer server;
  run(
      server, [](Options& options) { options.connect_timeout = 3s; },
      [&](const Context& ctx, Database& db) {
        hit(ctx, db);
        hits(ctx, db);
        server.freeze();
        const Instant began = ctx.now();
        EXPECT_NE(error_of([&] { hits(ctx.with_timeout(300ms), db); }).code(), ErrorCode::internal);
        EXPECT_NE(error_of([&] { hit(ctx.with_timeout(300ms), db); }).code(), ErrorCode::internal);
        EXPECT_LT(ctx.now() - began, 10s) << "a statement may take 30 s";
        server.thaw();
        expect_recovery(ctx, db);
      });
}

TEST_F(PostgresTest, AnotherProcessesCommitIsHeardAndOnesOwnIsNot) {
  run(
      PostgresServer::shared(), [](Options& options) { options.external_poll = 20s; },
      [&](const Context& ctx, Database& db) {
        Options options = options_;
        const auto other = open(*runtime_, options);  // as another process would
        runtime::Signal signal;
        const ExternalWatch watch = db.watch_external_changes(signal);
        const Context soon = ctx.with_timeout(15s);  // before it would look by itself
        ASSERT_EQ(signal.wait_past(soon, 0, "the listener"), runtime::Woken::by_event);
        const std::uint64_t seen = signal.version();
        hit(ctx, db);
        EXPECT_EQ(signal.wait_past(ctx.with_timeout(300ms), seen, "silence"), runtime::Woken::by_deadline);
        hit(ctx, *other);
        EXPECT_EQ(signal.wait_past(soon, seen, "the other's commit"), runtime::Woken::by_event);
      });
}

TEST_F(PostgresTest, GroupsOfTwoProcessesTakeTurns) {
  run([&](const Context& ctx, Database& db) {
    const auto other = open(*runtime_, options_);
    runtime::FiberGroup group(ctx);
    for (int i = 0; i < 40; ++i) {
      group.spawn("hit", [&, i](const Context& fiber) {
        // Read, then write: right only where nobody writes in between.
        (i % 2 == 0 ? db : *other).transact(fiber, "hit", [](Transaction& tx) {
          const auto before = tx.query_value("select hits from t where n = 1");
          tx.execute("update t set hits = $1 where n = 1", before + 1);
        });
      });
    }
    group.wait();
    EXPECT_EQ(hits(ctx, db), 40);
  });
}

TEST_F(PostgresTest, SideBySideWhatLosesIsRunAgain) {
  run(
      PostgresServer::shared(),
      [](Options& options) {
        options.writers = Writers::side_by_side;
        options.max_attempts = 50;
      },
      [&](const Context& ctx, Database& db) {
        const auto other = open(*runtime_, options_);
        runtime::FiberGroup group(ctx);
        for (int i = 0; i < 20; ++i) {
          group.spawn("hit", [&, i](const Context& fiber) {
            (i % 2 == 0 ? db : *other).transact(fiber, "hit", [](Transaction& tx) {
              const auto before = tx.query_value("select hits from t where n = 1");
              tx.execute("update t set hits = $1 where n = 1", before + 1);
            });
          });
        }
        group.wait();
        EXPECT_EQ(hits(ctx, db), 20);
      });
}

TEST_F(PostgresTest, MigrationsRunOnceWhoeverRunsThemAtTheSameTime) {
  run([&](const Context& ctx, Database& db) {
    const auto other = open(*runtime_, options_);
    std::vector<Migration> migrations;
    for (int i = 1; i <= 10; ++i) {
      migrations.push_back({i, "step",
                            "create table s" + std::to_string(i) +
                                "(a integer primary key, b blob) strict;"
                                "create table r" +
                                std::to_string(i) + "(a text primary key) without rowid",
                            "drop table s" + std::to_string(i) + "; drop table r" + std::to_string(i)});
    }
    std::size_t applied = 0;
    runtime::FiberGroup group(ctx);
    for (Database* each : {&db, other.get()}) {
      group.spawn("migrate",
                  [&, each](const Context& own) { applied += Migrator(*each, migrations).up(own).size(); });
    }
    group.wait();
    EXPECT_EQ(applied, 10U);
    EXPECT_EQ(Migrator(db, migrations).down(ctx, 10).size(), 10U);
    EXPECT_EQ(Migrator(db, migrations).plan_up(ctx).size(), 10U);
  });
}

// One hot row: what 64 fibers do through groups, beside 64 SERIALIZABLE connections that fight for it.
TEST_F(PostgresTest, GroupsBeatConnectionsThatFightForOneRow) {
  constexpr int kFibers = 64;
  const auto rate = [&](const std::function<void(const Context&)>& increment, const Context& ctx, int each) {
    const Instant began = ctx.now();
    runtime::FiberGroup group(ctx);
    for (int i = 0; i < kFibers; ++i) {
      group.spawn("increment", [&](const Context& fiber) {
        for (int n = 0; n < each; ++n) increment(fiber);
      });
    }
    group.wait();
    return kFibers * each / std::chrono::duration<double>(ctx.now() - began).count();
  };
  run([&](const Context& ctx, Database& db) {
    std::vector<std::unique_ptr<Database>> fighters;
    Options options = options_;
    options.writers = Writers::side_by_side;
    options.max_attempts = 1000;
    for (int i = 0; i < kFibers; ++i) fighters.push_back(open(*runtime_, options));
    const double groups = rate([&](const Context& fiber) { hit(fiber, db); }, ctx, 50);
    std::atomic<std::size_t> next = 0;
    const double fights =
        rate([&](const Context& fiber) { hit(fiber, *fighters[next++ % fighters.size()]); }, ctx, 2);
    EXPECT_EQ(hits(ctx, db), kFibers * 52);
    EXPECT_GT(groups, fights);
    std::printf("    one hot row: %.0f/s in groups, %.0f/s on %d SERIALIZABLE connections, ratio %.1f\n",
                groups, fights, kFibers, groups / fights);
  });
}

}  // namespace
}  // namespace holdfast::sql::postgres
