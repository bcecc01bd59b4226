// Bodies of Isolation::read_committed that run side by side: what each may rely on, and that a refused one
// is refused alone.
#include "holdfast/sql/postgres/interleaved.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/runtime/sync.hpp"
#include "holdfast/sql/postgres/database.hpp"
#include "holdfast/sql/testing/postgres_server.hpp"

namespace holdfast::sql::postgres {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::Lt;

constexpr int kMany = 48;
constexpr int kMostLooks = 4000;  // of 5 ms

class InterleavedTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (PostgresServer::not_wanted()) GTEST_SKIP() << PostgresServer::kNotWanted;
  }

  /// However slow the machine is, a group is not cut short, unless that is what `max_group_time` is for.
  void run(const std::function<void(const Context&, Database&)>& test, Duration max_group_time = 10s) {
    runtime::Runtime runtime({.loops = 2}, clock_, random_);
    runtime.run([&](const Context& ctx) {
      Options options = PostgresServer::shared().options(PostgresServer::shared().create_database());
      options.max_group_time = max_group_time;
      const auto db = open(runtime, options);
      db->transact(ctx, "schema", [](Transaction& tx) {
        tx.execute_script(
            "create table stock(sku text primary key, quantity integer not null check (quantity >= 0));"
            "create table sales(number integer primary key, sku text not null, buyer integer not null unique,"
            "  note text, weight real, photo blob)");
        tx.execute("insert into stock(sku, quantity) values('MUG', 30), ('CUP', 1000)");
      });
      test(ctx, *db);
    });
  }

  /// Runs `body(tx, n)` for n below `count` in one group, whose first is a body that waits for the others.
  template <class Body>
  static std::vector<std::string> together(const Context& ctx, Database& db, int count, const Body& body) {
    std::vector<std::string> failures(static_cast<std::size_t>(count));
    runtime::FiberGroup fibers(ctx);
    std::atomic<bool> held = false;
    fibers.spawn("holder", [&](const Context& own) {
      db.transact(own, "hold the lane", [&](Transaction& tx) {
        held = true;
        const auto all_wait = [&] {
          return db.statistics().queue_depth >= static_cast<std::uint64_t>(count);
        };
        for (int looks = 0; looks < kMostLooks && !all_wait(); ++looks)
          tx.query_value<std::string>("select cast(pg_sleep(0.005) as text)");
      });
    });
    while (!held) runtime::sleep_for(ctx, 1ms);
    for (int n = 0; n < count; ++n) {
      fibers.spawn("caller", [&, n](const Context& own) {
        try {
          db.transact(own, "buy", Isolation::read_committed, [&](Transaction& tx) { body(tx, n); });
        } catch (const Error& error) {
          failures[static_cast<std::size_t>(n)] = std::string(error.reason());
        }
      });
    }
    fibers.wait();
    return failures;
  }

  static bool take(Transaction& tx, std::string_view sku) {
    return tx.execute("update stock set quantity = quantity - 1 where sku = $1 and quantity >= 1", sku) == 1;
  }
  static void sell(Transaction& tx, std::string_view sku, int buyer) {
    tx.execute("insert into sales(sku, buyer) values($1, $2)", sku, buyer);
  }
  [[noreturn]] static void refuse(const char* reason) {
    throw Error(ErrorCode::conflict, "It was refused.").reason(reason);
  }
  static std::int64_t sold(const Context& ctx, Database& db) {
    return db.query_value(ctx, "select count(*) from sales");
  }
  static std::int64_t left(const Context& ctx, Database& db, std::string_view sku) {
    return db.query_value(ctx, "select quantity from stock where sku = $1", sku);
  }

  SystemClock clock_;
  SystemRandom random_;
};

TEST_F(InterleavedTest, OneHotRowIsNeverOversoldAndWhoComesTooLateIsRefusedAlone) {
  run([](const Context& ctx, Database& db) {
    const auto failures = together(ctx, db, kMany, [](Transaction& tx, int n) {
      EXPECT_EQ(tx.query_one<std::string>("select sku from stock where sku = $1", "MUG"), "MUG");
      if (!take(tx, "MUG")) refuse("sold_out");
      sell(tx, "MUG", n);
    });
    EXPECT_EQ(std::count(failures.begin(), failures.end(), "sold_out"), kMany - 30);
    EXPECT_EQ(std::count(failures.begin(), failures.end(), ""), 30);
    EXPECT_EQ(left(ctx, db, "MUG"), 0);
    EXPECT_EQ(sold(ctx, db), 30);
    const Statistics statistics = db.statistics();
    EXPECT_EQ(statistics.group_reruns, 0U);  // who has changed nothing has nothing to undo
    EXPECT_THAT(statistics.groups, Lt(static_cast<std::uint64_t>(kMany / 2)));
    EXPECT_EQ(statistics.rolled_back, static_cast<std::uint64_t>(kMany - 30));
  });
}

TEST_F(InterleavedTest, WhoThrowsAfterItHasWrittenIsUndoneAlone) {
  run([](const Context& ctx, Database& db) {
    const auto failures = together(ctx, db, kMany, [](Transaction& tx, int n) {
      take(tx, "CUP");
      sell(tx, "CUP", n);
      if (n % 8 == 3) refuse("changed_mind");
    });
    for (int n = 0; n < kMany; ++n)
      EXPECT_EQ(failures[static_cast<std::size_t>(n)], n % 8 == 3 ? "changed_mind" : "") << n;
    EXPECT_EQ(sold(ctx, db), kMany - 6);
    EXPECT_EQ(left(ctx, db, "CUP"), 1000 - (kMany - 6));
    EXPECT_EQ(db.query_value(ctx, "select count(*) from sales where buyer % 8 = 3"), 0);
    // Once without them, not once for each; a machine that is busy makes several groups of them.
    EXPECT_GE(db.statistics().group_reruns, 1U);
    EXPECT_THAT(db.statistics().group_reruns, Lt(static_cast<std::uint64_t>(kMany / 8)));
  });
}

TEST_F(InterleavedTest, ASavepointIsRolledBackAlone) {
  run([](const Context& ctx, Database& db) {
    const auto failures = together(ctx, db, kMany, [](Transaction& tx, int n) {
      try {
        tx.savepoint([&] {
          if (n % 8 != 5) take(tx, "CUP");
          if (n % 8 >= 4) refuse("not_this_one");  // of which 5 has changed nothing
        });
      } catch (const Error&) {
        sell(tx, "refused", n);
        return;
      }
      sell(tx, "CUP", n);
    });
    EXPECT_THAT(failures, ::testing::Each(""));
    EXPECT_EQ(left(ctx, db, "CUP"), 1000 - kMany / 2);
    EXPECT_EQ(db.query_value(ctx, "select count(*) from sales where sku = 'refused'"), kMany / 2);
    EXPECT_EQ(sold(ctx, db), kMany);
  });
}

TEST_F(InterleavedTest, AStatementThatFailsFailsItsBodyAlone) {
  run([](const Context& ctx, Database& db) {
    const auto failures = together(ctx, db, kMany, [](Transaction& tx, int n) {
      take(tx, "CUP");
      sell(tx, "CUP", n == 7 ? 8 : n);  // 7 and 8 are the same buyer: one of them is too many
    });
    EXPECT_EQ(std::count(failures.begin(), failures.end(), ""), kMany - 1);
    EXPECT_NE(failures[7].empty(), failures[8].empty());
    EXPECT_EQ(sold(ctx, db), kMany - 1);
    EXPECT_EQ(left(ctx, db, "CUP"), 1000 - (kMany - 1));
  });
}

TEST_F(InterleavedTest, ABodyMayGoOnAfterAStatementThatFailed) {
  run([](const Context& ctx, Database& db) {
    const auto failures = together(ctx, db, kMany, [](Transaction& tx, int n) {
      try {
        sell(tx, "CUP", n / 2);
      } catch (const DatabaseError& error) {
        EXPECT_EQ(error.kind(), FailureKind::unique);
        sell(tx, "second", 1000 + n);
      }
    });
    EXPECT_THAT(failures, ::testing::Each(""));
    EXPECT_EQ(db.query_value(ctx, "select count(*) from sales where sku = 'second'"), kMany / 2);
    EXPECT_EQ(sold(ctx, db), kMany);
  });
}

TEST_F(InterleavedTest, RowsInsertedTogetherAreThoseGiven) {
  run([](const Context& ctx, Database& db) {
    const auto failures = together(ctx, db, kMany, [](Transaction& tx, int n) {
      const std::vector<std::byte> photo(static_cast<std::size_t>(n), std::byte{0xAB});
      tx.execute("insert into sales(sku, buyer, note, weight, photo) values($2, $1, $2, $3, $4)", n,
                 n % 5 == 0 ? "" : "sku " + std::to_string(n),
                 n % 3 == 0 ? std::nullopt : std::optional(n / 4.0),
                 n % 2 == 0 ? std::nullopt : std::optional(photo));
    });
    EXPECT_THAT(failures, ::testing::Each(""));
    using Row = std::tuple<int, std::string, std::string, std::optional<double>,
                           std::optional<std::vector<std::byte>>>;
    const auto rows = db.query<Row>(ctx, "select buyer, sku, note, weight, photo from sales order by buyer");
    ASSERT_EQ(rows.size(), static_cast<std::size_t>(kMany));
    for (int n = 0; n < kMany; ++n) {
      const auto& [buyer, sku, note, weight, photo] = rows[static_cast<std::size_t>(n)];
      EXPECT_EQ(buyer, n);
      EXPECT_EQ(sku, n % 5 == 0 ? "" : "sku " + std::to_string(n));
      EXPECT_EQ(note, sku);
      EXPECT_EQ(weight, n % 3 == 0 ? std::nullopt : std::optional(n / 4.0));
      EXPECT_EQ(photo.has_value(), n % 2 == 1);
      if (photo) {
        EXPECT_EQ(*photo, std::vector<std::byte>(static_cast<std::size_t>(n), std::byte{0xAB}));
      }
    }
  });
}

// All of a column null, and of no known type: those are inserted one by one.
TEST_F(InterleavedTest, NothingAtAllIsInsertedToo) {
  run([](const Context& ctx, Database& db) {
    const auto failures = together(ctx, db, 8, [](Transaction& tx, int n) {
      tx.execute("insert into sales(sku, buyer, note) values($1, $2, $3)", "CUP", n, nullptr);
    });
    EXPECT_THAT(failures, ::testing::Each(""));
    EXPECT_EQ(db.query_value(ctx, "select count(*) from sales where note is null"), 8);
  });
}

TEST_F(InterleavedTest, ABodySeesWhatItHasWrittenAndMayAskWithinAnAnswer) {
  run([](const Context& ctx, Database& db) {
    const auto failures = together(ctx, db, kMany, [](Transaction& tx, int n) {
      sell(tx, "CUP", n);
      int seen = 0;
      tx.for_each<int>(
          "select buyer from sales where buyer = $1 order by buyer",
          [&](int buyer) {
            EXPECT_EQ(buyer, n);
            EXPECT_EQ(tx.query_value("select count(*) from sales where buyer = $1", n), 1);
            ++seen;
          },
          n);
      EXPECT_EQ(seen, 1);
      EXPECT_EQ(
          tx.query_value<int>("insert into sales(sku, buyer) values('x', $1) returning buyer", 1000 + n),
          1000 + n);
    });
    EXPECT_THAT(failures, ::testing::Each(""));
    EXPECT_EQ(sold(ctx, db), 2 * kMany);
  });
}

TEST_F(InterleavedTest, AScriptRunsByItself) {
  run([](const Context& ctx, Database& db) {
    const auto failures = together(ctx, db, 8, [](Transaction& tx, int n) {
      sell(tx, "CUP", n);
      if (n == 3) tx.execute_script("create table made(n integer)");
    });
    EXPECT_THAT(failures, ::testing::Each(""));
    EXPECT_EQ(sold(ctx, db), 8);
    EXPECT_EQ(db.query_value(ctx, "select count(*) from made"), 0);
  });
}

TEST_F(InterleavedTest, OnlyWhoCommitsIsToldOfTheCommitAndOnce) {
  run([](const Context& ctx, Database& db) {
    std::atomic<int> told = 0;
    std::atomic<int> told_of_savepoint = 0;
    runtime::Signal changed;
    const std::uint64_t before = changed.version();
    together(ctx, db, kMany, [&](Transaction& tx, int n) {
      sell(tx, "CUP", n);
      tx.on_commit([&] { ++told; });
      tx.after_commit(changed);
      try {
        tx.savepoint([&] {
          tx.on_commit([&] { ++told_of_savepoint; });
          if (n % 2 == 0) refuse("back");
        });
      } catch (const Error&) {
      }
      if (n % 4 == 1) refuse("no");
    });
    EXPECT_EQ(told, kMany * 3 / 4);
    EXPECT_EQ(told_of_savepoint, kMany / 4);
    EXPECT_NE(changed.version(), before);
  });
}

// A serial body reads, then writes what it has computed: nobody's statement may come in between.
TEST_F(InterleavedTest, SerialBodiesHaveNobodyBetweenTheirStatements) {
  run([](const Context& ctx, Database& db) {
    runtime::FiberGroup fibers(ctx);
    for (int n = 0; n < kMany; ++n) {
      fibers.spawn("serial", [&](const Context& own) {
        db.transact(own, "recount", [](Transaction& tx) {
          const auto quantity = tx.query_value("select quantity from stock where sku = 'CUP'");
          tx.execute("update stock set quantity = $1 where sku = 'CUP'", quantity - 1);
        });
      });
      fibers.spawn("guarded", [&](const Context& own) {
        db.transact(own, "buy", Isolation::read_committed, [](Transaction& tx) { take(tx, "CUP"); });
      });
    }
    fibers.wait();
    EXPECT_EQ(left(ctx, db, "CUP"), 1000 - 2 * kMany);
  });
}

TEST_F(InterleavedTest, AWaitForAnythingElseIsRefused) {
  run([](const Context& ctx, Database& db) {
    const auto failures = together(ctx, db, 4, [&](Transaction& tx, int n) {
      take(tx, "CUP");
      if (n == 2) runtime::sleep_for(ctx, 1ms);
    });
    EXPECT_THAT(failures, ElementsAre("", "", "internal", ""));
    EXPECT_EQ(left(ctx, db, "CUP"), 997);
  });
}

TEST_F(InterleavedTest, OneThatHasOnlyInsertedHasNothingToUndo) {
  run([](const Context& ctx, Database& db) {
    const auto failures = together(ctx, db, kMany, [](Transaction& tx, int n) {
      try {
        tx.savepoint([&] {
          sell(tx, "undone", 1000 + n);
          if (n % 8 == 1) refuse("not_this_one");
        });
      } catch (const Error&) {
      }
      sell(tx, "CUP", n);
      if (n % 8 == 3) refuse("changed_mind");
    });
    EXPECT_EQ(std::count(failures.begin(), failures.end(), "changed_mind"), kMany / 8);
    EXPECT_EQ(db.query_value(ctx, "select count(*) from sales where sku = 'CUP'"), kMany - kMany / 8);
    EXPECT_EQ(db.query_value(ctx, "select count(*) from sales where sku = 'undone'"), kMany * 6 / 8);
    EXPECT_EQ(db.statistics().group_reruns, 0U);
  });
}

// Of those before a savepoint, some are sent within it: rolling it back undoes none of them.
TEST_F(InterleavedTest, ASavepointRollsBackNoInsertFromBeforeIt) {
  run([](const Context& ctx, Database& db) {
    const auto failures = together(ctx, db, kMany, [](Transaction& tx, int n) {
      sell(tx, "before", n);
      try {
        tx.savepoint([&] {
          EXPECT_EQ(tx.query_one<int>("select buyer from sales where buyer = $1", n), n);
          sell(tx, "within", 1000 + n);
          refuse("back");
        });
      } catch (const Error&) {
      }
      sell(tx, "after", 2000 + n);
    });
    EXPECT_THAT(failures, ::testing::Each(""));
    EXPECT_EQ(db.query_value(ctx, "select count(*) from sales where sku = 'within'"), 0);
    EXPECT_EQ(sold(ctx, db), 2 * kMany);
    EXPECT_EQ(db.statistics().group_reruns, 0U);
  });
}

TEST_F(InterleavedTest, MoreInsertsThanAreKeptAreAllThere) {
  run([](const Context& ctx, Database& db) {
    const auto failures = together(ctx, db, 4, [](Transaction& tx, int n) {
      for (int i = 0; i < 700; ++i) sell(tx, "CUP", n * 1000 + i);
      tx.execute("insert into sales(sku, buyer) values($1, $2)", std::string(100'000, 'x'), n * 1000 + 999);
    });
    EXPECT_THAT(failures, ::testing::Each(""));
    EXPECT_EQ(sold(ctx, db), 4 * 701);
  });
}

TEST_F(InterleavedTest, EachGetsTheRowsItAskedFor) {
  run([](const Context& ctx, Database& db) {
    db.transact(ctx, "fill", [](Transaction& tx) {
      for (int n = 0; n < kMany; ++n)
        for (int i = 0; i < n % 3; ++i)
          tx.execute("insert into sales(sku, buyer, note) values($1, $2, $3)", "sku " + std::to_string(n),
                     n * 10 + i, i == 0 ? std::nullopt : std::optional<std::string>("second"));
    });
    const auto failures = together(ctx, db, kMany, [](Transaction& tx, int n) {
      using Row = std::tuple<int, std::optional<std::string>>;
      auto rows = tx.query<Row>("select buyer, note from sales where sku = $1", "sku " + std::to_string(n));
      std::sort(rows.begin(), rows.end());
      ASSERT_EQ(rows.size(), static_cast<std::size_t>(n % 3)) << n;
      for (int i = 0; i < n % 3; ++i) {
        EXPECT_EQ(std::get<0>(rows[static_cast<std::size_t>(i)]), n * 10 + i);
        EXPECT_EQ(std::get<1>(rows[static_cast<std::size_t>(i)]).has_value(), i == 1);
      }
    });
    EXPECT_THAT(failures, ::testing::Each(""));
  });
}

// What is taken from a row is added up only where that is the same: here two rows have one key.
TEST_F(InterleavedTest, WhereAKeyHasSeveralRowsEachTakesByItself) {
  run([](const Context& ctx, Database& db) {
    db.transact(ctx, "bins", [](Transaction& tx) {
      tx.execute_script("create table bins(sku text, quantity integer not null)");
      tx.execute("insert into bins(sku, quantity) values('MUG', 100), ('MUG', 3)");
    });
    const auto failures = together(ctx, db, kMany, [](Transaction& tx, int) {
      tx.execute("update bins set quantity = quantity - $2 where sku = $1 and quantity >= $2", "MUG", 1);
    });
    EXPECT_THAT(failures, ::testing::Each(""));
    EXPECT_THAT(db.query<int>(ctx, "select quantity from bins order by quantity"),
                ElementsAre(0, 100 - kMany));
  });
}

TEST_F(InterleavedTest, WhatSeveralTakeFromARowIsAddedUpAndTheFirstGetWhatThereIs) {
  run([](const Context& ctx, Database& db) {
    std::atomic<int> got = 0;
    const auto failures = together(ctx, db, kMany, [&](Transaction& tx, int n) {
      const int wanted = n % 4;
      const auto taken = tx.execute(
          "update stock set quantity = quantity - $2 where sku = $1 and quantity >= $2", "MUG", wanted);
      if (taken == 0) refuse("sold_out");
      tx.on_commit([&got, wanted] { got += wanted; });
    });
    EXPECT_EQ(left(ctx, db, "MUG"), 30 - got);
    EXPECT_GE(got, 28);  // less than what any of them wants is left
    EXPECT_EQ(std::count(failures.begin(), failures.end(), "sold_out"),
              kMany - std::count(failures.begin(), failures.end(), ""));
    together(ctx, db, kMany, [](Transaction& tx, int n) {  // and gives back
      tx.execute("update stock set quantity = quantity - $2 where sku = $1 and quantity >= $2", "CUP",
                 n % 2 == 0 ? 2 : -1);
    });
    EXPECT_EQ(left(ctx, db, "CUP"), 1000 - kMany / 2);
  });
}

// Side by side up to here, then one after the other: what it reads stays true, and it sees those before it.
TEST_F(InterleavedTest, WhoIsAloneHasNobodyBetweenItsStatements) {
  run([](const Context& ctx, Database& db) {
    std::vector<std::int64_t> before(kMany);
    runtime::FiberGroup others(ctx);
    for (int n = 0; n < kMany; ++n) {
      others.spawn("guarded", [&, n](const Context& own) {
        db.transact(own, "buy", Isolation::read_committed, [&](Transaction& tx) {
          take(tx, "CUP");
          sell(tx, "other", 10'000 + n);
        });
      });
    }
    const auto failures = together(ctx, db, kMany, [&](Transaction& tx, int n) {
      take(tx, "CUP");
      tx.alone();
      const auto quantity = tx.query_value("select quantity from stock where sku = 'CUP'");
      before[static_cast<std::size_t>(n)] = tx.query_value("select count(*) from sales where sku = 'CUP'");
      sell(tx, "CUP", n);
      tx.execute("update stock set quantity = $1 where sku = 'CUP'", quantity - 1);
    });
    others.wait();
    EXPECT_THAT(failures, ::testing::Each(""));
    EXPECT_EQ(left(ctx, db, "CUP"), 1000 - 3 * kMany);
    std::sort(before.begin(), before.end());
    for (int n = 0; n < kMany; ++n) EXPECT_EQ(before[static_cast<std::size_t>(n)], n);
    EXPECT_THAT(db.statistics().groups, Lt(static_cast<std::uint64_t>(kMany)));
  });
}

TEST_F(InterleavedTest, WhoThrowsWhileItIsAloneIsUndoneAlone) {
  run([](const Context& ctx, Database& db) {
    const auto failures = together(ctx, db, kMany, [](Transaction& tx, int n) {
      if (n % 6 == 0) take(tx, "CUP");
      tx.alone();
      if (n % 6 == 1) refuse("nothing_done");
      sell(tx, "CUP", n);
      take(tx, "CUP");
      if (n % 6 == 0) refuse("changed_mind");
    });
    for (int n = 0; n < kMany; ++n) {
      EXPECT_EQ(failures[static_cast<std::size_t>(n)], n % 6 == 0   ? "changed_mind"
                                                       : n % 6 == 1 ? "nothing_done"
                                                                    : "");
    }
    EXPECT_EQ(sold(ctx, db), kMany * 4 / 6);
    EXPECT_EQ(left(ctx, db, "CUP"), 1000 - kMany * 4 / 6);
  });
}

TEST_F(InterleavedTest, OfWhatIsToBeInsertedOnceEachIsToldWhetherItWas) {
  run([](const Context& ctx, Database& db) {
    db.transact(ctx, "some", [](Transaction& tx) { sell(tx, "old", 7); });
    constexpr const char* kNew = "insert into sales(sku, buyer) values($1, $2) on conflict(buyer) do nothing";
    std::vector<std::vector<std::int64_t>> changed(kMany);
    const auto failures = together(ctx, db, kMany, [&](Transaction& tx, int n) {
      std::vector<std::vector<Value>> rows;
      for (const int buyer : {n, n / 2, n}) rows.push_back({Value::text("CUP"), Value::integer(buyer)});
      changed[static_cast<std::size_t>(n)] = tx.execute_each(kNew, rows);
    });
    EXPECT_THAT(failures, ::testing::Each(""));
    std::int64_t told = 0;
    for (const auto& of_one : changed) {
      ASSERT_EQ(of_one.size(), 3U);
      for (const std::int64_t one : of_one) told += one;
    }
    EXPECT_EQ(told, kMany - 1);  // 7 was there
    EXPECT_EQ(sold(ctx, db), kMany);
    EXPECT_THAT(changed[7], ElementsAre(0, ::testing::_, 0));
  });
}

// A group that took long makes the next ones smaller.
TEST_F(InterleavedTest, SlowBodiesMakeSmallGroups) {
  run(
      [](const Context& ctx, Database& db) {
        const auto slow = [](Transaction& tx, int) {
          tx.alone();
          tx.query_value<std::string>("select cast(pg_sleep(0.005) as text)");
        };
        together(ctx, db, kMany, slow);
        const std::uint64_t before = db.statistics().groups;
        together(ctx, db, kMany, slow);
        EXPECT_GE(db.statistics().groups - before, 4U);
      },
      Options{}.max_group_time);
}

// The server ends the connection in the middle of a group: nothing of it has happened, it runs again.
TEST_F(InterleavedTest, AGroupWhoseConnectionIsLostRunsAgain) {
  run([](const Context& ctx, Database& db) {
    std::atomic<bool> ended = false;
    const auto failures = together(ctx, db, kMany, [&](Transaction& tx, int n) {
      take(tx, "CUP");
      if (n == 5 && !ended.exchange(true)) tx.execute("select pg_terminate_backend(pg_backend_pid())");
      sell(tx, "CUP", n);
    });
    EXPECT_TRUE(ended);
    EXPECT_THAT(failures, ::testing::Each(""));
    EXPECT_EQ(left(ctx, db, "CUP"), 1000 - kMany);
    EXPECT_EQ(sold(ctx, db), kMany);
  });
}

// One statement takes long: at the last of the callers' deadlines all is given up, and the lane goes on.
TEST_F(InterleavedTest, AGroupThatIsHeldUpEndsWithItsDeadline) {
  run([](const Context& ctx, Database& db) {
    const auto began = ctx.now();
    const Context soon = ctx.with_timeout(2s);
    const auto failures = together(soon, db, 8, [](Transaction& tx, int n) {
      take(tx, "CUP");
      if (n == 2) tx.execute("select pg_sleep(20)");
    });
    EXPECT_THAT(failures, ::testing::Each("deadline_exceeded"));
    EXPECT_THAT(ctx.now() - began, Lt(15s));
    EXPECT_EQ(left(ctx, db, "CUP"), 1000);
    db.transact(ctx, "buy", [](Transaction& tx) { take(tx, "CUP"); });
    EXPECT_EQ(left(ctx, db, "CUP"), 999);
  });
}

}  // namespace
}  // namespace holdfast::sql::postgres
