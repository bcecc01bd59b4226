#include "holdfast/sql/transfer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <tuple>

#include "holdfast/runtime/runtime.hpp"
#include "holdfast/sql/postgres/database.hpp"
#include "holdfast/sql/sqlite/database.hpp"
#include "holdfast/sql/testing/postgres_server.hpp"
#include "holdfast/sql/testing/temporary_folder.hpp"

namespace holdfast::sql {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<Migration> schema() {
  return {{.version = 1,
           .name = "things",
           .up_sql = "create table things(n integer primary key autoincrement, name text not null, "
                     "weight real, raw blob);"
                     "create table pairs(a text not null, b integer not null, note text, "
                     "primary key (a, b)) without rowid;"
                     "create table keyless(k text not null, n integer not null, v text);"
                     "create unique index keyless_rows on keyless(k, n);",
           .down_sql = "drop table keyless; drop table pairs; drop table things;"},
          {.version = 2,
           .name = "places",
           .up_sql = "create table places(n integer primary key autoincrement);",
           .down_sql = "",
           .postgres_up_sql = "create sequence places_given; "
                              "create table places(n bigint primary key default nextval('places_given'));"}};
}

enum class Engines { to_postgres, to_sqlite, sqlite_both };

/// Two databases of the kinds that the test is for.
class TransferTest : public ::testing::TestWithParam<Engines> {
 protected:
  void SetUp() override {
    if (GetParam() == Engines::sqlite_both) return;
    if (PostgresServer::not_wanted()) GTEST_SKIP() << PostgresServer::kNotWanted;
    name_ = PostgresServer::shared().create_database();
  }

  void run(const std::function<void(const Context&)>& test) {
    runtime::Runtime runtime({.loops = 1}, clock_, random_);
    runtime.run([&](const Context& ctx) {
      source_ = open(runtime, GetParam() == Engines::to_sqlite, "source.db");
      target_ = open(runtime, GetParam() == Engines::to_postgres, "target.db");
      Migrator(*source_, schema()).up(ctx);
      test(ctx);
      source_.reset();
      target_.reset();
    });
  }
  std::unique_ptr<Database> open(runtime::Runtime& runtime, bool postgres, const char* file) const {
    if (postgres) return postgres::open(runtime, PostgresServer::shared().options(name_));
    return sqlite::open_file(runtime, {.path = folder_.path() / file});
  }
  TransferOptions options(std::size_t batch = 7) {
    return {.source_name = "source", .batch_rows = batch, .counters = {{"places", "n", "places_given"}}};
  }
  Transfer transfer(TransferOptions chosen) { return {*source_, *target_, schema(), std::move(chosen)}; }

  void fill(const Context& ctx, int count) {
    source_->transact(ctx, "fill", [&](Transaction& tx) {
      const std::string raw("\0\xff\x80", 3);
      const std::span<const std::byte> bytes = std::as_bytes(std::span(raw));
      for (int i = 1; i <= count; ++i) {
        tx.execute("insert into things(name, weight, raw) values($1, $2, $3)",
                   "Ding \"ä\" " + std::to_string(i), i % 3 == 0 ? std::optional<double>() : i / 3.0,
                   i % 2 == 0 ? std::optional(bytes) : std::nullopt);
        tx.execute("insert into pairs(a, b, note) values($1, $2, $3)", i % 5 == 0 ? "a" : "B_", -i,
                   i % 4 == 0 ? std::optional<std::string>() : "");
        tx.execute("insert into keyless(k, n, v) values($1, $2, 'v')", i % 2 == 0 ? "x" : "y", i);
        tx.execute("insert into places(n) values($1)", i);
      }
      tx.execute("delete from things where n > $1", count - 5);  // their numbers were given all the same
      tx.execute("delete from places");
      if (source_->dialect() == Dialect::postgres) {
        static_cast<void>(tx.query_value<std::int64_t>("select setval('places_given', $1)", count));
      }
    });
  }
  static std::int64_t next_thing(const Context& ctx, Database& db) {
    return db.transact(ctx, [](Transaction& tx) {
      return tx.query_value<std::int64_t>("insert into things(name) values('next') returning n");
    });
  }
  template <class Call>
  static std::string reason_of(const Call& call) {
    try {
      call();
    } catch (const Error& error) {
      return std::string(error.reason());
    }
    return "none";
  }

  TemporaryFolder folder_;
  std::string name_;
  SystemClock clock_;
  SystemRandom random_;
  std::unique_ptr<Database> source_;
  std::unique_ptr<Database> target_;
};

TEST_P(TransferTest, MovesEveryRowAsItIs) {
  run([&](const Context& ctx) {
    fill(ctx, 200);
    const TransferReport planned = transfer(options()).plan(ctx);
    ASSERT_EQ(planned.tables.size(), 4u);
    const TransferReport report = transfer(options()).run(ctx);
    EXPECT_EQ(report.copied, 195 + 200 + 200);
    EXPECT_FALSE(report.resumed);
    using Row =
        std::tuple<std::int64_t, std::string, std::optional<double>, std::optional<std::vector<std::byte>>>;
    const char* things = "select n, name, weight, raw from things order by n";
    EXPECT_EQ(source_->query<Row>(ctx, things), target_->query<Row>(ctx, things));
    using Pair = std::tuple<std::string, std::int64_t, std::optional<std::string>>;
    const char* pairs = "select a, b, note from pairs order by a, b";
    EXPECT_EQ(source_->query<Pair>(ctx, pairs), target_->query<Pair>(ctx, pairs));
    EXPECT_TRUE(Migrator(*target_, schema()).plan_up(ctx).empty()) << "it can be used";
  });
}

TEST_P(TransferTest, NumbersThatWereGivenAreNotGivenAgain) {
  run([&](const Context& ctx) {
    fill(ctx, 30);
    transfer(options()).run(ctx);
    EXPECT_EQ(next_thing(ctx, *target_), 31) << "of rows that are gone, too";
    const bool to_postgres = target_->dialect() == Dialect::postgres;
    EXPECT_EQ(target_->transact(ctx,
                                [&](Transaction& tx) {
                                  return tx.query_value<std::int64_t>(
                                      to_postgres ? "insert into places default values returning n"
                                                  : "insert into places(n) values(null) returning n");
                                }),
              31);
  });
}

TEST_P(TransferTest, GoesOnWhereItWas) {
  run([&](const Context& ctx) {
    fill(ctx, 100);
    struct Killed {};
    TransferOptions dying = options();
    dying.progress = [](const TransferProgress& progress) {
      if (progress.table == "things" && progress.rows >= 50) throw Killed();
    };
    EXPECT_THROW(transfer(dying).run(ctx), Killed);
    EXPECT_EQ(reason_of([&] { Migrator(*target_, schema()).up(ctx); }), "transfer_unfinished")
        << "nothing is served from the half of it";
    TransferOptions elsewhere = options();
    elsewhere.source_name = "another";
    EXPECT_EQ(reason_of([&] { transfer(elsewhere).run(ctx); }), "other_transfer");

    const TransferReport rest = transfer(options()).run(ctx);
    EXPECT_TRUE(rest.resumed);
    EXPECT_GT(rest.copied, 0);
    EXPECT_LT(rest.copied, 95);
    EXPECT_EQ(target_->query_value<std::int64_t>(ctx, "select count(*) from things"), 95);
  });
}

TEST_P(TransferTest, WhatChangesBehindItsBackIsNoticed) {
  run([&](const Context& ctx) {
    fill(ctx, 40);
    TransferOptions meddling = options();
    bool done = false;
    meddling.progress = [&](const TransferProgress& progress) {
      if (progress.table != "things" || std::exchange(done, true)) return;
      source_->transact(ctx, [](Transaction& tx) { tx.execute("update things set name = 'x' where n = 1"); });
    };
    EXPECT_EQ(reason_of([&] { transfer(meddling).run(ctx); }), "transfer_differs");
    EXPECT_EQ(reason_of([&] { Migrator(*target_, schema()).up(ctx); }), "transfer_unfinished");
  });
}

TEST_P(TransferTest, RefusesWhatItCouldSpoil) {
  run([&](const Context& ctx) {
    fill(ctx, 10);
    Migrator(*target_, schema()).up(ctx);
    next_thing(ctx, *target_);
    EXPECT_EQ(reason_of([&] { transfer(options()).plan(ctx); }), "target_not_empty");
    EXPECT_EQ(reason_of([&] { transfer(options()).run(ctx); }), "target_not_empty");
    target_->transact(ctx, [](Transaction& tx) { tx.execute("delete from things"); });
    std::vector<Migration> newer = schema();
    newer.push_back(
        {.version = 3, .name = "more", .up_sql = "create table more(n integer primary key)", .down_sql = ""});
    Transfer of_tomorrow(*source_, *target_, newer, options());
    EXPECT_EQ(reason_of([&] { of_tomorrow.run(ctx); }), "source_schema");
    transfer(options()).run(ctx);
    EXPECT_EQ(reason_of([&] { transfer(options()).run(ctx); }), "target_not_empty") << "not twice";
  });
}

TEST_P(TransferTest, ABatchIsBoundedInBytesToo) {
  run([&](const Context& ctx) {
    source_->transact(ctx, "large", [&](Transaction& tx) {
      for (int i = 0; i < 20; ++i)
        tx.execute("insert into things(name) values($1)", std::string(100'000, 'x'));
    });
    TransferOptions small = options(1000);
    small.batch_bytes = 250'000;
    std::vector<std::int64_t> steps;
    small.progress = [&](const TransferProgress& progress) {
      if (progress.doing == "copying") steps.push_back(progress.rows);
    };
    transfer(small).run(ctx);
    EXPECT_THAT(steps, ElementsAre(3, 6, 9, 12, 15, 18, 20));
  });
}

INSTANTIATE_TEST_SUITE_P(Between, TransferTest,
                         ::testing::Values(Engines::to_postgres, Engines::to_sqlite, Engines::sqlite_both),
                         [](const auto& engines) {
                           return engines.param == Engines::to_postgres ? "SqliteAndPostgres"
                                  : engines.param == Engines::to_sqlite ? "PostgresAndSqlite"
                                                                        : "SqliteAndSqlite";
                         });

}  // namespace
}  // namespace holdfast::sql
