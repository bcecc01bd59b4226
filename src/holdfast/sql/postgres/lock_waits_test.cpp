// What somebody who takes no turns has locked: who needs it is told in time, the others go on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>

#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/runtime/sync.hpp"
#include "holdfast/sql/migrations.hpp"
#include "holdfast/sql/postgres/database.hpp"
#include "holdfast/sql/testing/postgres_server.hpp"

namespace holdfast::sql::postgres {
namespace {

using namespace std::chrono_literals;

constexpr auto kLockTimeout = 300ms;
constexpr auto kSoon = 5s;  // on a busy machine; a statement may take 30 s

class LockWaits : public ::testing::Test {
 protected:
  void SetUp() override {
    if (PostgresServer::not_wanted()) GTEST_SKIP() << PostgresServer::kNotWanted;
  }
  /// A database with the tables `held` and `free`.
  void run(const std::function<void(const Context&, runtime::Runtime&, Database&, Database&)>& test) {
    SystemClock clock;
    SystemRandom random;
    runtime::Runtime runtime({.loops = 2}, clock, random);
    runtime.run([&](const Context& ctx) {
      Options options = PostgresServer::shared().options(PostgresServer::shared().create_database());
      options.lock_timeout = kLockTimeout;
      const auto db = open(runtime, options);
      db->transact(ctx, "schema", [](Transaction& tx) {
        tx.execute_script("create table held(n bigint); create table free(n bigint)");
      });
      options.writers = Writers::side_by_side;  // takes no turns
      const auto somebody = open(runtime, options);
      test(ctx, runtime, *db, *somebody);
    });
  }
  /// Holds the table until `body` is over.
  static void while_held(const Context& ctx, Database& somebody, const std::function<void()>& body) {
    runtime::Latch held;
    runtime::Latch over;
    runtime::FiberGroup fibers(ctx);
    fibers.spawn("somebody", [&](const Context& own) {
      try {
        somebody.read(own, [&](Snapshot& snapshot) {
          snapshot.query_value<std::int64_t>("select count(*) from held");  // against exclusive locks
          held.open();
          const runtime::NoWaitScope lifted(nullptr);
          over.wait(own, "the end of it");
        });
      } catch (const Error&) {
        held.open();
        throw;
      }
    });
    held.wait(ctx, "somebody's lock");
    body();
    over.open();
    fibers.wait();
  }
};

TEST_F(LockWaits, EachOfAGroupIsToldInTimeAndWhoNeedsNothingOfItGoesOn) {
  run([](const Context& ctx, runtime::Runtime&, Database& db, Database& somebody) {
    while_held(ctx, somebody, [&] {
      runtime::FiberGroup fibers(ctx);
      const Instant began = ctx.now();
      std::vector<Duration> took(6);
      std::vector<std::string> ended(took.size());
      for (std::size_t i = 0; i < took.size(); ++i) {
        fibers.spawn("caller", [&, i](const Context& own) {
          // The first and the last but one would have half a minute, and take all others with them.
          const bool patient = i == 0 || i == 4;
          const Context mine = own.with_timeout(patient ? 30s : 2s);
          const auto isolation = i < 3 ? Isolation::read_committed : Isolation::serial;
          try {
            db.transact(mine, "write", isolation, [&](Transaction& tx) {
              if (i == 2 || i == 5) {
                tx.execute("insert into free(n) values($1)", static_cast<std::int64_t>(i));
              } else {
                tx.execute("truncate held");
              }
            });
            ended[i] = "done";
          } catch (const Error& error) {
            ended[i] = std::string(to_string(error.code()));
          }
          took[i] = own.now() - began;
        });
      }
      fibers.wait();
      for (std::size_t i = 0; i < took.size(); ++i) {
        EXPECT_LT(took[i], kSoon) << i;
        EXPECT_EQ(ended[i], i == 2 || i == 5 ? "done" : "unavailable") << i;
      }
    });
    EXPECT_EQ(db.query_value(ctx, "select count(*) from free"), 2);
    db.transact(ctx, "write", [](Transaction& tx) { tx.execute("truncate held"); });
  });
}

TEST_F(LockWaits, AMigrationWaitsInTurnsAndLetsOthersGoOn) {
  run([](const Context& ctx, runtime::Runtime&, Database& db, Database& somebody) {
    runtime::FiberGroup fibers(ctx);
    runtime::Latch migrating;
    while_held(ctx, somebody, [&] {
      fibers.spawn("migration", [&](const Context& own) {
        const Migrator migrator(db, {{1, "column", "alter table held add column m bigint", "select 1"}});
        migrating.open();
        EXPECT_EQ(migrator.up(own).size(), 1U);
      });
      migrating.wait(ctx, "the migration");
      for (int i = 0; i < 20; ++i) {
        db.transact(ctx.with_timeout(kSoon), "write",
                    [](Transaction& tx) { tx.execute("insert into free(n) values(1)"); });
        runtime::sleep_for(ctx, 20ms);
      }
    });
    fibers.wait();
    EXPECT_EQ(db.query_value(ctx, "select count(m) from held"), 0);
  });
}

}  // namespace
}  // namespace holdfast::sql::postgres
