// Transactions, on every adapter.
#include "holdfast/sql/testing/database_contract.hpp"

namespace holdfast::sql {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class TransactionContract : public DatabaseContract {};

TEST_P(TransactionContract, ABodyThatThrowsLeavesNothingAndItsExceptionComesBack) {
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

TEST_P(TransactionContract, AStatementForEachOfSeveralRowsTellsWhatEachChanged) {
  run([](const Context& ctx, Database& db) {
    db.transact(ctx, [](Transaction& tx) { add(tx, "MUG", 3); });
    const auto add_new = [](Transaction& tx) {
      std::vector<std::vector<Value>> rows;
      for (const char* sku : {"CUP", "MUG", "CUP", "JAR"})
        rows.push_back({Value::text(sku), Value::integer(1)});
      return tx.execute_each("insert into items(sku, quantity) values($1, $2) on conflict(sku) do nothing",
                             rows);
    };
    EXPECT_THAT(db.transact(ctx, add_new), ElementsAre(1, 0, 0, 1));
    EXPECT_THAT(db.transact(ctx, "again", Isolation::read_committed, add_new), ElementsAre(0, 0, 0, 0));
    db.transact(ctx, "none", Isolation::read_committed, [](Transaction& tx) {
      EXPECT_THAT(tx.execute_each("delete from items where sku = $1", {}), ElementsAre());
      tx.alone();
      EXPECT_EQ(tx.query_value("select count(*) from items"), 3);
    });
    EXPECT_EQ(count(ctx, db), 3);
  });
}

// Many fibers at once, every third failing: whatever groups form, the failures take nobody along.
TEST_P(TransactionContract, FailingBodiesInAGroupLeaveTheOthersAlone) {
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
TEST_P(TransactionContract, TransactionsAreSerialInTheOrderTheyCame) {
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
      EXPECT_EQ(db.query_value<std::string>(ctx, "select text from log where n = $1", seen[i]),
                std::to_string(i));
    }
  });
}

TEST_P(TransactionContract, SavepointsNest) {
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
    EXPECT_THAT(db.query<std::string>(ctx, "select sku from items order by sku"),
                ElementsAre("inner", "outer"));
    EXPECT_EQ(done, 1);
    EXPECT_EQ(unwanted.version(), 0U);
  });
}

TEST_P(TransactionContract, SignalsAndCallbacksComeOnlyAfterACommit) {
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

// A deferred key is checked at the commit, which is everybody's; so its transaction is asked before.
TEST_P(TransactionContract, ADeferredForeignKeyFailsItsOwnTransactionOnly) {
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

TEST_P(TransactionContract, ACaughtFailureInsideABodyLetsItGoOn) {
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

TEST_P(TransactionContract, WaitingInsideATransactionIsRefusedNamingBoth) {
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

TEST_P(TransactionContract, ABodyCannotCommitByItself) {
  run([](const Context& ctx, Database& db) {
    for (const char* sql : {"commit", "rollback", "begin", "savepoint x", "release s"}) {
      EXPECT_EQ(failure_of([&] { db.transact(ctx, [&](Transaction& tx) { tx.execute(sql); }); }).kind(),
                FailureKind::other)
          << sql;
    }
    EXPECT_ANY_THROW(db.transact(ctx, [&](Transaction& tx) { tx.execute_script("select 1; commit"); }));
  });
}

TEST_P(TransactionContract, TheSchemaMayChangeInTheMiddleOfATransaction) {
  run([](const Context& ctx, Database& db) {
    EXPECT_EQ(db.query_value(ctx, "select count(*) from items"), 0);
    for (int round = 0; round < 3; ++round) {
      db.transact(ctx, [&](Transaction& tx) {
        tx.execute_script("create table t" + std::to_string(round) + "(a integer)");
        tx.savepoint([&] {
          for (int i = 0; i < 100; ++i)
            tx.execute("insert into t" + std::to_string(round) + " values($1)", i);
        });
        tx.execute_script("alter table items add column c" + std::to_string(round) + " integer");
        add(tx, "sku-" + std::to_string(round), 1);
      });
      EXPECT_EQ(db.query_value(ctx, "select count(*) from items"), round + 1);
    }
  });
}

TEST_P(TransactionContract, ATransactionWhoseTimeIsOverIsNotBegun) {
  run([](const Context& ctx, Database& db) {
    bool ran = false;
    const auto body = [&](Transaction&) { ran = true; };
    EXPECT_EQ(error_of([&] { db.transact(ctx.with_timeout(0ns), "late", body); }).code(),
              ErrorCode::deadline_exceeded);
    runtime::CancellationSource source;
    source.cancel();
    EXPECT_EQ(error_of([&] { db.transact(ctx.with_cancellation(source.token()), "gone", body); }).code(),
              ErrorCode::cancelled);
    EXPECT_FALSE(ran);
  });
}

// A statement may be run again while its rows are being read.

INSTANTIATE_TEST_SUITE_P(Adapters, TransactionContract, ::testing::ValuesIn(kAdapters),
                         [](const auto& adapter) { return adapter.param.name; });

}  // namespace
}  // namespace holdfast::sql
