// The port's promises, asked of every adapter.
#include "holdfast/sql/database.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <string>
#include <tuple>
#include <vector>

#include "holdfast/base/id.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/loop.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/runtime/sync.hpp"
#include "holdfast/sql/sqlite/database.hpp"
#include "holdfast/sql/testing.hpp"

namespace holdfast::sql {

enum class Colour { red, green };
HOLDFAST_DESCRIBE_ENUM(Colour, red, green)

struct Item {
  std::string sku;
  std::int64_t quantity = 0;
  std::optional<std::string> note;
};
HOLDFAST_DESCRIBE(Item, (sku, quantity, note))

namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Adapter {
  const char* name;
  std::unique_ptr<Database> (*open)(runtime::Runtime&, const std::filesystem::path& folder);
  bool simulated = false;
};

constexpr const char* kSchema =
    "create table items(sku text primary key, quantity integer not null check(quantity >= 0), note text);"
    "create table log(n integer primary key, text text not null);"
    "create table parts(id integer primary key, sku text not null references items(sku));"
    "create table late(id integer primary key,"
    "                  sku text not null references items(sku) deferrable initially deferred)";

class DatabaseContract : public ::testing::TestWithParam<Adapter> {
 protected:
  /// Runs `test` as the main fiber with a database that has the schema.
  void run(const std::function<void(const Context&, Database&)>& test) {
    TemporaryFolder folder;
    runtime::Runtime::Options options{.loops = 2};
    if (GetParam().simulated) options = {.simulated = true, .manual_clock = &manual_clock_};
    const Clock& clock = GetParam().simulated ? static_cast<const Clock&>(manual_clock_) : system_clock_;
    runtime::Runtime runtime(options, clock, random_);
    runtime_ = &runtime;
    runtime.run([&](const Context& ctx) {
      const auto db = GetParam().open(runtime, folder.path());
      db->transact(ctx, "schema", [](Transaction& tx) { tx.execute_script(kSchema); });
      test(ctx, *db);
    });
  }

  static void add(Transaction& tx, std::string_view sku, std::int64_t quantity) {
    tx.execute("insert into items(sku, quantity) values($1, $2)", sku, quantity);
  }
  static std::int64_t count(const Context& ctx, Database& db) {
    return db.query_value(ctx, "select count(*) from items");
  }

  /// The DatabaseError that `call` throws.
  template <class Call>
  static DatabaseError failure_of(const Call& call) {
    try {
      call();
    } catch (const DatabaseError& failure) {
      return failure;
    }
    ADD_FAILURE() << "no DatabaseError was thrown";
    return DatabaseError(FailureKind::other, "none", "none");
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

  ManualClock manual_clock_;
  SystemClock system_clock_;
  SeededRandom random_{7};
  runtime::Runtime* runtime_ = nullptr;
};

TEST_P(DatabaseContract, WhatIsCommittedIsRead) {
  run([](const Context& ctx, Database& db) {
    const std::int64_t answer = db.transact(ctx, "add", [](Transaction& tx) {
      add(tx, "MUG", 3);
      return tx.query_value("select quantity from items where sku = $1", "MUG");
    });
    EXPECT_EQ(answer, 3);
    const auto item = db.query_one<Item>(ctx, "select note, quantity, sku from items where sku = $1", "MUG");
    ASSERT_TRUE(item);
    EXPECT_EQ(item->sku, "MUG");
    EXPECT_EQ(item->quantity, 3);
    EXPECT_EQ(item->note, std::nullopt);
    EXPECT_FALSE(db.query_one<Item>(ctx, "select sku, quantity, note from items where sku = 'CUP'"));
  });
}

TEST_P(DatabaseContract, PlaceholdersAreByNumberInAnyOrder) {
  run([](const Context& ctx, Database& db) {
    using Three = std::tuple<std::string, std::int64_t, std::string>;
    EXPECT_EQ(db.query_one<Three>(ctx, "select $3, $1, $2 || $3", 1, "b", "c"), (Three{"c", 1, "bc"}));
    EXPECT_THAT(failure_of([&] { db.query_value(ctx, "select $1 + $2", 1); }).cause(),
                HasSubstr("1 parameters for 2 placeholders"));
    EXPECT_EQ(failure_of([&] { db.query_value(ctx, "select ?1", 1); }).kind(), FailureKind::other);
  });
}

TEST_P(DatabaseContract, ValuesOfEveryKindComeBackAsTheyWent) {
  run([this](const Context& ctx, Database& db) {
    const auto id = IdGenerator(ctx.clock(), random_).make<Id<"itm">>();
    const WallTime at = ctx.clock().wall_now();
    const std::vector<std::byte> bytes{std::byte{0}, std::byte{255}};
    const auto json = JsonText::parse(R"({"a":1})");
    EXPECT_EQ(db.query_value<Id<"itm">>(ctx, "select $1", id), id);
    EXPECT_EQ(db.query_value<std::string>(ctx, "select $1", id), to_text(id));
    EXPECT_EQ(db.query_value<std::optional<Id<"itm">>>(ctx, "select $1", std::optional(id)), id);
    EXPECT_EQ(db.query_value<std::optional<Id<"itm">>>(ctx, "select $1", std::optional<Id<"itm">>()), std::nullopt);
    EXPECT_EQ(db.query_value<WallTime>(ctx, "select $1", at), at);
    EXPECT_EQ(db.query_value(ctx, "select $1", at), at.time_since_epoch().count());
    EXPECT_EQ(db.query_value<std::vector<std::byte>>(ctx, "select $1", bytes), bytes);
    EXPECT_EQ(db.query_value<JsonText>(ctx, "select $1", json), json);
    EXPECT_EQ(db.query_value<Colour>(ctx, "select $1", Colour::green), Colour::green);
    EXPECT_EQ(db.query_value<double>(ctx, "select $1", 0.5), 0.5);
    EXPECT_EQ(db.query_value<bool>(ctx, "select $1", true), true);
    EXPECT_EQ(db.query_value<std::string>(ctx, "select $1", std::string_view()), "");
    EXPECT_EQ(db.query_value<std::optional<int>>(ctx, "select $1", nullptr), std::nullopt);
    EXPECT_EQ(db.query_value<std::string>(ctx, "select $1", std::string("a\0b", 3)), std::string("a\0b", 3));
  });
}

TEST_P(DatabaseContract, ColumnsAndMembersThatDoNotMatchAreNamed) {
  run([](const Context& ctx, Database& db) {
    db.transact(ctx, [](Transaction& tx) { add(tx, "MUG", 3); });
    const auto cause = [&](std::string_view sql) {
      return error_of([&] { db.query<Item>(ctx, sql); }).cause();
    };
    EXPECT_THAT(cause("select sku, quantity from items"), HasSubstr("member 'note'"));
    EXPECT_THAT(cause("select sku, quantity from items where false"), HasSubstr("member 'note'"));
    EXPECT_THAT(cause("select sku, quantity, note, 1 as extra from items"), HasSubstr("column 'extra'"));
    EXPECT_THAT(cause("select null as sku, quantity, note from items"), HasSubstr("'sku'"));
    EXPECT_THAT(cause("select sku, 'many' as quantity, note from items"), HasSubstr("'quantity'"));
    EXPECT_THAT(error_of([&] { db.query_value<std::int8_t>(ctx, "select 128"); }).cause(), HasSubstr("128"));
    EXPECT_EQ(error_of([&] { db.query_value(ctx, "select 1 where false"); }).code(), ErrorCode::internal);
  });
}

TEST_P(DatabaseContract, ABodyThatThrowsLeavesNothingAndItsExceptionComesBack) {
  run([](const Context& ctx, Database& db) {
    struct Mine {};
    EXPECT_THROW(db.transact(ctx, "fails",
                             [](Transaction& tx) {
                               add(tx, "MUG", 3);
                               throw Mine();
                             }),
                 Mine);
    EXPECT_EQ(count(ctx, db), 0);
    db.transact(ctx, [](Transaction& tx) { add(tx, "MUG", 4); });
    EXPECT_EQ(count(ctx, db), 1);
    EXPECT_EQ(db.statistics().rolled_back, 1U);
  });
}

// Many fibers at once, every third failing: whatever groups form, the failures take nobody along.
TEST_P(DatabaseContract, FailingBodiesInAGroupLeaveTheOthersAlone) {
  run([](const Context& ctx, Database& db) {
    constexpr int kFibers = 90;
    std::atomic<int> succeeded = 0;
    std::atomic<int> failed = 0;
    runtime::FiberGroup group(ctx);
    for (int i = 0; i < kFibers; ++i) {
      group.spawn("order", [&, i](const Context& fiber) {
        try {
          const int echoed = db.transact(fiber, "add", [&](Transaction& tx) {
            add(tx, "sku-" + std::to_string(i), i);
            if (i % 3 == 0) throw Error(ErrorCode::conflict, "sold out");
            return i;
          });
          EXPECT_EQ(echoed, i);
          ++succeeded;
        } catch (const Error& error) {
          EXPECT_EQ(error.code(), ErrorCode::conflict);
          EXPECT_EQ(i % 3, 0);
          ++failed;
        }
      });
    }
    group.wait();
    EXPECT_EQ(succeeded, 60);
    EXPECT_EQ(failed, 30);
    EXPECT_EQ(count(ctx, db), 60);
    EXPECT_EQ(db.query_value(ctx, "select count(*) from items where quantity % 3 = 0"), 0);
    EXPECT_EQ(db.statistics().transactions, 61U);  // and the schema
  });
}

// What one transaction reads is what the one before it in the group wrote.
TEST_P(DatabaseContract, TransactionsAreSerialInTheOrderTheyCame) {
  run([](const Context& ctx, Database& db) {
    std::vector<std::int64_t> seen(50, -1);
    runtime::FiberGroup group(ctx);
    for (std::size_t i = 0; i < seen.size(); ++i) {
      group.spawn("append", [&, i](const Context& fiber) {
        seen[i] = db.transact(fiber, "append", [&](Transaction& tx) {
          const auto next = tx.query_value("select coalesce(max(n), 0) + 1 from log");
          tx.execute("insert into log(n, text) values($1, $2)", next, std::to_string(i));
          return next;
        });
      });
    }
    group.wait();
    for (std::size_t i = 0; i < seen.size(); ++i) {
      EXPECT_EQ(seen[i], static_cast<std::int64_t>(i) + 1) << "fibers of one loop queue in their order";
      EXPECT_EQ(db.query_value<std::string>(ctx, "select text from log where n = $1", seen[i]), std::to_string(i));
    }
  });
}

TEST_P(DatabaseContract, InsertReturningAndAffectedRows) {
  run([](const Context& ctx, Database& db) {
    db.transact(ctx, [](Transaction& tx) {
      EXPECT_EQ(tx.query_value("insert into log(text) values($1) returning n", "a"), 1);
      EXPECT_EQ(tx.query_value("insert into log(text) values($1), ($2) returning n", "b", "c"), 2);
      EXPECT_EQ(tx.execute("update log set text = 'x'"), 3);
      EXPECT_EQ(tx.execute("update log set text = 'y' where n = 99"), 0);
      EXPECT_EQ(tx.execute("select 1"), 0);
      EXPECT_EQ(tx.execute("delete from log where n > 1"), 2);
    });
    EXPECT_EQ(db.query_value(ctx, "select count(*) from log"), 1);
  });
}

TEST_P(DatabaseContract, SavepointsNest) {
  run([](const Context& ctx, Database& db) {
    int done = 0;
    runtime::Signal unwanted;
    db.transact(ctx, [&](Transaction& tx) {
      add(tx, "outer", 1);
      EXPECT_THROW(tx.savepoint([&] {
        add(tx, "lost", 1);
        tx.after_commit(unwanted);
        tx.savepoint([&] { add(tx, "lost-too", 1); });
        throw Error(ErrorCode::conflict, "no");
      }),
                   Error);
      EXPECT_EQ(tx.savepoint([&] {
        add(tx, "inner", 1);
        return 7;
      }),
                7);
      tx.on_commit([&] { ++done; });
    });
    EXPECT_THAT(db.query<std::string>(ctx, "select sku from items order by sku"), ElementsAre("inner", "outer"));
    EXPECT_EQ(done, 1);
    EXPECT_EQ(unwanted.version(), 0U);
  });
}

TEST_P(DatabaseContract, SignalsAndCallbacksComeOnlyAfterACommit) {
  run([](const Context& ctx, Database& db) {
    runtime::Signal signal;
    int called = 0;
    db.transact(ctx, [&](Transaction& tx) {
      tx.after_commit(signal);
      tx.after_commit(signal);
      tx.on_commit([&] { ++called; });
      EXPECT_EQ(signal.version(), 0U);
    });
    EXPECT_EQ(signal.version(), 1U);
    EXPECT_EQ(called, 1);
    EXPECT_ANY_THROW(db.transact(ctx, [&](Transaction& tx) {
      tx.after_commit(signal);
      tx.on_commit([&] { ++called; });
      throw 1;
    }));
    EXPECT_EQ(signal.version(), 1U);
    EXPECT_EQ(called, 1);
  });
}

TEST_P(DatabaseContract, FailuresAreToldApart) {
  run([](const Context& ctx, Database& db) {
    const auto failing = [&](std::string_view sql) {
      return failure_of([&] { db.transact(ctx, "fails", [&](Transaction& tx) { tx.execute(sql); }); });
    };
    db.transact(ctx, [](Transaction& tx) {
      add(tx, "MUG", 1);
      tx.execute("insert into parts values(1, 'MUG')");
    });
    const auto unique = failing("insert into items values('MUG', 1, null)");
    EXPECT_EQ(unique.kind(), FailureKind::unique);
    EXPECT_EQ(unique.constraint(), "items.sku");
    EXPECT_EQ(unique.code(), ErrorCode::conflict);
    EXPECT_EQ(failing("insert into parts values(2, 'CUP')").kind(), FailureKind::foreign_key);
    EXPECT_EQ(failing("delete from items").kind(), FailureKind::foreign_key);
    EXPECT_EQ(failing("update items set quantity = -1").kind(), FailureKind::check);
    EXPECT_EQ(failing("insert into log(text) values(null)").kind(), FailureKind::not_null);
    const auto wrong = failing("selekt 1");
    EXPECT_EQ(wrong.kind(), FailureKind::other);
    EXPECT_EQ(wrong.code(), ErrorCode::internal);
    EXPECT_EQ(db.statistics().failures[static_cast<std::size_t>(FailureKind::foreign_key)], 2U);
  });
}

// A deferred key is checked at the commit, which is everybody's; so its transaction is asked before.
TEST_P(DatabaseContract, ADeferredForeignKeyFailsItsOwnTransactionOnly) {
  run([](const Context& ctx, Database& db) {
    std::atomic<int> succeeded = 0;
    runtime::FiberGroup group(ctx);
    for (int i = 0; i < 10; ++i) {
      group.spawn("insert", [&, i](const Context& fiber) {
        try {
          db.transact(fiber, [&](Transaction& tx) {
            tx.execute("insert into late values($1, $2)", i, "sku-" + std::to_string(i));
            if (i != 4) add(tx, "sku-" + std::to_string(i), 1);
          });
          ++succeeded;
        } catch (const DatabaseError& failure) {
          EXPECT_EQ(failure.kind(), FailureKind::foreign_key);
          EXPECT_EQ(i, 4);
        }
      });
    }
    group.wait();
    EXPECT_EQ(succeeded, 9);
    EXPECT_EQ(db.query_value(ctx, "select count(*) from late"), 9);
  });
}

TEST_P(DatabaseContract, ACaughtFailureInsideABodyLetsItGoOn) {
  run([](const Context& ctx, Database& db) {
    db.transact(ctx, [](Transaction& tx) { add(tx, "MUG", 1); });
    const bool existed = db.transact(ctx, [](Transaction& tx) {
      try {
        add(tx, "MUG", 2);
        return false;
      } catch (const DatabaseError& failure) {
        if (failure.kind() != FailureKind::unique) throw;
        tx.execute("update items set quantity = quantity + 2 where sku = 'MUG'");
        return true;
      }
    });
    EXPECT_TRUE(existed);
    EXPECT_EQ(db.query_value(ctx, "select quantity from items"), 3);
  });
}

TEST_P(DatabaseContract, WaitingInsideATransactionIsRefusedNamingBoth) {
  run([](const Context& ctx, Database& db) {
    const auto refused = [&](const std::function<void()>& wait) {
      const Error error = error_of([&] { db.transact(ctx, "place order", [&](Transaction&) { wait(); }); });
      EXPECT_EQ(error.code(), ErrorCode::internal);
      EXPECT_THAT(error.what(), HasSubstr("place order"));
      return std::string(error.what());
    };
    EXPECT_THAT(refused([&] { db.transact(ctx, "inner", [](Transaction&) {}); }), HasSubstr("inner"));
    EXPECT_THAT(refused([&] { db.query_value(ctx, "select 1"); }), HasSubstr("query"));
    refused([&] { runtime::sleep_for(ctx, 1ms); });
    runtime::Signal signal;
    refused([&] { signal.wait_past(ctx, signal.version(), "a signal"); });
    db.transact(ctx, [](Transaction& tx) { add(tx, "after", 1); });
    EXPECT_EQ(count(ctx, db), 1);
  });
}

TEST_P(DatabaseContract, ABodyCannotCommitByItself) {
  run([](const Context& ctx, Database& db) {
    for (const char* sql : {"commit", "rollback", "begin", "savepoint x", "release s"}) {
      EXPECT_EQ(failure_of([&] { db.transact(ctx, [&](Transaction& tx) { tx.execute(sql); }); }).kind(),
                FailureKind::other)
          << sql;
    }
    EXPECT_ANY_THROW(db.transact(ctx, [&](Transaction& tx) { tx.execute_script("select 1; commit"); }));
  });
}

TEST_P(DatabaseContract, TheSchemaMayChangeInTheMiddleOfATransaction) {
  run([](const Context& ctx, Database& db) {
    EXPECT_EQ(db.query_value(ctx, "select count(*) from items"), 0);
    for (int round = 0; round < 3; ++round) {
      db.transact(ctx, [&](Transaction& tx) {
        tx.execute_script("create table t" + std::to_string(round) + "(a integer)");
        tx.savepoint([&] {
          for (int i = 0; i < 100; ++i) tx.execute("insert into t" + std::to_string(round) + " values($1)", i);
        });
        tx.execute_script("alter table items add column c" + std::to_string(round) + " integer");
        add(tx, "sku-" + std::to_string(round), 1);
      });
      EXPECT_EQ(db.query_value(ctx, "select count(*) from items"), round + 1);
    }
  });
}

TEST_P(DatabaseContract, ReadsDoNotWrite) {
  run([](const Context& ctx, Database& db) {
    EXPECT_ANY_THROW(db.query<std::int64_t>(ctx, "insert into log(text) values('x') returning n"));
    EXPECT_ANY_THROW(db.read(ctx, [](Snapshot& snapshot) {
      snapshot.query<std::int64_t>("insert into log(text) values('x') returning n");
    }));
    EXPECT_EQ(db.query_value(ctx, "select count(*) from log"), 0);
  });
}

TEST_P(DatabaseContract, ManyRowsAreStreamedUntilTheReceiverHasEnough) {
  run([](const Context& ctx, Database& db) {
    constexpr const char* kNumbers =
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < $1) select i from n";
    std::int64_t sum = 0;
    db.for_each<std::int64_t>(ctx, kNumbers, [&](std::int64_t i) { sum += i; }, 100'000);
    EXPECT_EQ(sum, 5'000'050'000);
    int received = 0;
    db.for_each<std::int64_t>(ctx, kNumbers, [&](std::int64_t) { return ++received < 3; }, 100'000'000);
    EXPECT_EQ(received, 3);
    EXPECT_EQ(db.read(ctx, {.offload = true}, [&](Snapshot& s) { return s.query<std::int64_t>(kNumbers, 10).size(); }),
              10U);
  });
}

TEST_P(DatabaseContract, ATransactionWhoseTimeIsOverIsNotBegun) {
  run([](const Context& ctx, Database& db) {
    bool ran = false;
    const auto body = [&](Transaction&) { ran = true; };
    EXPECT_EQ(error_of([&] { db.transact(ctx.with_timeout(0ns), "late", body); }).code(), ErrorCode::deadline_exceeded);
    runtime::CancellationSource source;
    source.cancel();
    EXPECT_EQ(error_of([&] { db.transact(ctx.with_cancellation(source.token()), "gone", body); }).code(),
              ErrorCode::cancelled);
    EXPECT_FALSE(ran);
  });
}

TEST_P(DatabaseContract, StatementsBeyondTheCacheStillRun) {
  run([](const Context& ctx, Database& db) {
    for (std::int64_t i = 0; i < 500; ++i) {
      EXPECT_EQ(db.query_value(ctx, "select $1 + " + std::to_string(i), 1), i + 1);
    }
    EXPECT_EQ(db.query_value(ctx, "select $1 + 0", 1), 1);
  });
}

// A statement may be run again while its rows are being read.
TEST_P(DatabaseContract, AStatementMayBeUsedInsideItself) {
  run([](const Context& ctx, Database& db) {
    constexpr const char* kTwo = "select $1 union all select $1 + 1";
    std::vector<std::int64_t> seen;
    db.transact(ctx, [&](Transaction& tx) {
      seen.clear();
      tx.for_each<std::int64_t>(kTwo, [&](std::int64_t outer) {
        for (const auto inner : tx.query<std::int64_t>(kTwo, outer * 10)) seen.push_back(inner);
      }, 1);
    });
    EXPECT_THAT(seen, ElementsAre(10, 11, 20, 21));
  });
}

const Adapter kAdapters[] = {
    {"File",
     [](runtime::Runtime& runtime, const std::filesystem::path& folder) {
       return sqlite::open_file(runtime, {.path = folder / "test.db"});
     }},
    {"Memory", [](runtime::Runtime& runtime, const std::filesystem::path&) { return sqlite::open_memory(runtime); }},
    {"SimulatedFile",
     [](runtime::Runtime& runtime, const std::filesystem::path& folder) {
       return sqlite::open_file(runtime, {.path = folder / "test.db"});
     },
     true},
    {"SimulatedMemory",
     [](runtime::Runtime& runtime, const std::filesystem::path&) { return sqlite::open_memory(runtime); }, true},
};

INSTANTIATE_TEST_SUITE_P(Adapters, DatabaseContract, ::testing::ValuesIn(kAdapters),
                         [](const auto& adapter) { return adapter.param.name; });

}  // namespace
}  // namespace holdfast::sql
