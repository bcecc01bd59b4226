#include "holdfast/sql/migrations.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/sql/sqlite/database.hpp"
#include "holdfast/sql/testing/temporary_folder.hpp"

namespace holdfast::sql {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const Migration kProducts{1, "products", "create table products(sku text primary key)",
                          "drop table products"};
const Migration kStock{2, "stock", "create table stock(sku text); create index by_sku on stock(sku)",
                       "drop table stock"};
const Migration kSeed{5, "seed", "insert into products values('MUG')", ""};

class MigrationsTest : public ::testing::Test {
 protected:
  void run(const std::function<void(const Context&, Database&)>& test) {
    runtime::Runtime runtime({.loops = 1}, clock_, random_);
    runtime_ = &runtime;
    runtime.run([&](const Context& ctx) {
      const auto db = sqlite::open_file(runtime, {.path = folder_.path() / "test.db"});
      test(ctx, *db);
    });
  }

  static std::vector<std::int64_t> versions(const std::vector<Migration>& migrations) {
    std::vector<std::int64_t> made;
    for (const auto& migration : migrations) made.push_back(migration.version);
    return made;
  }
  static std::vector<std::string> tables(const Context& ctx, Database& db) {
    return db.query<std::string>(
        ctx,
        "select name from sqlite_master where type = 'table' and name not like 'holdfast%' order by name");
  }
  static Error refusal(const std::function<void()>& call) {
    try {
      call();
    } catch (const Error& error) {
      return error;
    }
    ADD_FAILURE() << "not refused";
    return Error(ErrorCode::internal, "none");
  }

  TemporaryFolder folder_;
  SystemClock clock_;
  SystemRandom random_;
  runtime::Runtime* runtime_ = nullptr;
};

TEST_F(MigrationsTest, UpAppliesWhatIsMissingInOrderAndOnce) {
  run([](const Context& ctx, Database& db) {
    EXPECT_THAT(versions(Migrator(db, {kProducts}).up(ctx)), ElementsAre(1));
    const Migrator all(db, {kSeed, kStock, kProducts});
    EXPECT_THAT(versions(all.plan_up(ctx)), ElementsAre(2, 5));
    EXPECT_THAT(tables(ctx, db), ElementsAre("products"));
    EXPECT_THAT(versions(all.up(ctx)), ElementsAre(2, 5));
    EXPECT_THAT(versions(all.up(ctx)), IsEmpty());
    EXPECT_THAT(tables(ctx, db), ElementsAre("products", "stock"));
    for (const auto& step : all.status(ctx)) EXPECT_TRUE(step.applied_at) << step.name;
  });
}

TEST_F(MigrationsTest, AnUntouchedDatabaseIsPlannedWithoutBeingTouched) {
  run([](const Context& ctx, Database& db) {
    const Migrator migrator(db, {kProducts});
    EXPECT_THAT(versions(migrator.plan_up(ctx)), ElementsAre(1));
    EXPECT_EQ(migrator.status(ctx).at(0).applied_at, std::nullopt);
    EXPECT_EQ(db.query_value(ctx, "select count(*) from sqlite_master"), 0);
  });
}

TEST_F(MigrationsTest, DownUndoesTheLatest) {
  run([](const Context& ctx, Database& db) {
    const Migrator migrator(db, {kProducts, kStock});
    migrator.up(ctx);
    EXPECT_THAT(versions(migrator.plan_down(ctx, 1)), ElementsAre(2));
    EXPECT_THAT(versions(migrator.down(ctx, 5)), ElementsAre(2, 1));
    EXPECT_THAT(tables(ctx, db), IsEmpty());
    EXPECT_THAT(versions(migrator.up(ctx)), ElementsAre(1, 2));
  });
}

TEST_F(MigrationsTest, WhatCannotBeUndoneIsRefusedBeforeAnythingIs) {
  run([](const Context& ctx, Database& db) {
    const Migrator migrator(db, {kProducts, kStock, kSeed});
    migrator.up(ctx);
    const Error error = refusal([&] { migrator.down(ctx, 3); });
    EXPECT_EQ(error.reason(), "migration_irreversible");
    EXPECT_THAT(error.detail(), HasSubstr("5 (seed)"));
    EXPECT_THAT(tables(ctx, db), ElementsAre("products", "stock"));
  });
}

TEST_F(MigrationsTest, AStepThatFailsLeavesNothingAndIsNamed) {
  run([](const Context& ctx, Database& db) {
    const Migration broken{2, "broken", "create table half(a integer); insert into nowhere values(1)", ""};
    const Error error = refusal([&] { Migrator(db, {kProducts, broken}).up(ctx); });
    EXPECT_THAT(error.detail(), HasSubstr("2 (broken)"));
    EXPECT_THAT(error.cause(), HasSubstr("nowhere"));
    EXPECT_THAT(tables(ctx, db), ElementsAre("products"));
    EXPECT_THAT(versions(Migrator(db, {kProducts, kStock}).up(ctx)), ElementsAre(2));
  });
}

TEST_F(MigrationsTest, HistoryIsNotRewritten) {
  run([](const Context& ctx, Database& db) {
    Migrator(db, {kProducts, kStock}).up(ctx);
    Migration edited = kProducts;
    edited.up_sql += " strict";
    const auto reason = [&](std::vector<Migration> known, const std::string& named) {
      const Migrator migrator(db, std::move(known));
      const Error error = refusal([&] { migrator.up(ctx); });
      EXPECT_THAT(error.detail(), HasSubstr(named));
      EXPECT_EQ(error.code(), ErrorCode::failed_precondition);
      EXPECT_EQ(refusal([&] { migrator.status(ctx); }).reason(), error.reason());
      return std::string(error.reason());
    };
    EXPECT_EQ(reason({edited, kStock, kSeed}, "1 (products)"), "migration_edited");
    EXPECT_EQ(reason({kProducts}, "2 (stock)"), "database_newer");
    EXPECT_EQ(reason({kProducts, kSeed}, "2 (stock)"), "database_newer");
    Migrator(db, {kProducts, kStock, kSeed}).up(ctx);
    EXPECT_EQ(reason({kProducts, kStock, {3, "late", "select 1", ""}, kSeed}, "3 (late)"), "migration_gap");
    EXPECT_THAT(tables(ctx, db), ElementsAre("products", "stock"));
  });
}

TEST_F(MigrationsTest, AnOlderBinaryGoesOnWhereNewerStepsOnlyAdd) {
  run([](const Context& ctx, Database& db) {
    const Migration expands{6, "expand: notes", "alter table products add column note text", ""};
    Migrator(db, {kProducts, kStock, kSeed, expands}).up(ctx);
    const Migrator older(db, {kProducts, kStock, kSeed});
    EXPECT_THAT(older.up(ctx), ::testing::IsEmpty());
    EXPECT_THAT(older.plan_up(ctx), ::testing::IsEmpty());
    EXPECT_EQ(older.status(ctx).size(), 4U);
    EXPECT_EQ(older.status(ctx).back().name, "expand: notes");
    EXPECT_EQ(refusal([&] { older.down(ctx, 1); }).reason(), "database_newer");
    EXPECT_EQ(refusal([&] {
                Migrator(db, {kProducts, kStock}).up(ctx);
              }).reason(),
              "database_newer")
        << "the seed is no step that only adds";
  });
}

TEST(OnlyAdds, TellsWhatAnOlderReleaseWouldNotice) {
  for (const char* adds :
       {"create table t(a integer not null); create unique index i on t(a); alter table t drop column a",
        "alter table orders add column note text", "create index i on orders (a, b)", "drop index i",
        "alter table orders add column n integer not null default 0; -- drop table orders\n",
        "insert into t(a) values('drop; table')",
        "create sequence s; create or replace function f() returns bigint language plpgsql as $$ begin "
        "delete from t; return 1; end $$;"}) {
    EXPECT_EQ(more_than_adds(adds), "") << adds;
  }
  for (const char* more :
       {"drop table orders", "alter table orders drop column note", "alter table orders rename to o",
        "ALTER TABLE orders RENAME COLUMN a TO b", "alter table orders alter column a type text",
        "alter table orders add column n integer not null", "create unique index i on orders(a)",
        "update orders set a = 1", "delete from orders", "create table t(a integer); drop table orders",
        "create trigger x before update on orders begin select 1; end"}) {
    EXPECT_NE(more_than_adds(more), "") << more;
  }
}

TEST_F(MigrationsTest, TwoMigrationsOfOneVersionAreADefect) {
  run([](const Context&, Database& db) {
    EXPECT_EQ(refusal([&] { Migrator(db, {kProducts, {1, "again", "", ""}}); }).code(), ErrorCode::internal);
    EXPECT_EQ(refusal([&] { Migrator(db, {{0, "zero", "", ""}}); }).code(), ErrorCode::internal);
  });
}

// Two databases on one file stand for two processes that start at once.
TEST_F(MigrationsTest, WhoeverRunsAtTheSameTimeEachStepIsAppliedOnce) {
  run([this](const Context& ctx, Database& db) {
    const auto other = sqlite::open_file(*runtime_, {.path = folder_.path() / "test.db"});
    std::vector<Migration> migrations;
    for (int i = 1; i <= 20; ++i) {
      migrations.push_back({i, "step", "create table t" + std::to_string(i) + "(a integer)", ""});
    }
    std::size_t applied = 0;
    runtime::FiberGroup group(ctx);
    for (Database* each : {&db, other.get()}) {
      group.spawn("migrate",
                  [&, each](const Context& own) { applied += Migrator(*each, migrations).up(own).size(); });
    }
    group.wait();
    EXPECT_EQ(applied, 20U);
    EXPECT_EQ(tables(ctx, db).size(), 20U);
  });
}

}  // namespace
}  // namespace holdfast::sql
