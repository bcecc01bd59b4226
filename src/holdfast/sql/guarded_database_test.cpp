#include "holdfast/sql/guarded_database.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <stdexcept>
#include <string>

#include "holdfast/observe/metrics.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/sql/sqlite/database.hpp"

namespace holdfast::sql {
namespace {

using namespace std::chrono_literals;
using resilience::BreakerState;

/// Answers as the test says, before the database behind it is asked.
class Troubled final : public Database {
 public:
  using Trouble = std::function<void(const Context&)>;
  explicit Troubled(std::unique_ptr<Database> database) : database_(std::move(database)) {}
  Trouble reading = [](const Context&) {};
  Trouble writing = [](const Context&) {};
  int asked = 0;

  ExternalWatch watch_external_changes(runtime::Signal& signal) override {
    return database_->watch_external_changes(signal);
  }
  Statistics statistics() const override { return database_->statistics(); }
  Dialect dialect() const noexcept override { return database_->dialect(); }

 private:
  void run_query(const Context& ctx, std::string_view sql, std::span<const Param> params,
                 RowSink& sink) override {
    ++asked;
    reading(ctx);
    run_query_of(*database_, ctx, sql, params, sink);
  }
  void run_read(const Context& ctx, ReadOptions options, FunctionRef<void(Snapshot&)> body) override {
    ++asked;
    reading(ctx);
    database_->read(ctx, options, body);
  }
  void run_transaction(const Context& ctx, const char* name, Isolation isolation,
                       FunctionRef<void(Transaction&)> body) override {
    ++asked;
    writing(ctx);
    database_->transact(ctx, name, isolation, body);
  }
  std::unique_ptr<Database> database_;
};

void lost(const Context&) {
  throw DatabaseError(FailureKind::unavailable, "away", "the connection was lost");
}
void silent(const Context& ctx) {
  runtime::sleep_for(ctx.detached(), ctx.remaining());
  ctx.check("waiting for nothing");
}

class GuardedDatabase : public ::testing::Test {
 protected:
  struct Parts {
    Database& db;
    Troubled& behind;
    resilience::Pipeline& reads;
    resilience::Pipeline& writes;
    runtime::Runtime& runtime;
  };
  void run(const std::function<void(const Context&, const Parts&)>& test) {
    observe::Metrics metrics;
    runtime::Runtime runtime({.simulated = true, .manual_clock = &clock_}, clock_, random_);
    const resilience::PipelineParts parts{clock_, random_, metrics};
    resilience::Pipeline reads("database", guard_defaults(), parts);
    resilience::Pipeline writes("database_writes", guard_defaults(), parts);
    runtime.run([&](const Context& ctx) {
      auto troubled = std::make_unique<Troubled>(sqlite::open_memory(runtime));
      Troubled& behind = *troubled;
      const auto db = guard(std::move(troubled), reads, writes);
      db->transact(ctx, "schema", [](Transaction& tx) { tx.execute_script("create table t(n integer)"); });
      test(ctx, {*db, behind, reads, writes, runtime});
    });
  }
  static BreakerState state(const resilience::Pipeline& pipeline) { return pipeline.view().breaker.state; }
  static void insert(Transaction& tx) { tx.execute("insert into t(n) values(1)"); }
  template <class Call>
  static Error error_of(const Call& call) {
    try {
      call();
    } catch (const Error& error) {
      return error;
    }
    ADD_FAILURE() << "nothing was thrown";
    return Error(ErrorCode::internal, "none");
  }

  ManualClock clock_;
  SeededRandom random_{7};
};

TEST_F(GuardedDatabase, PassesOnWhatTheDatabaseSays) {
  run([](const Context& ctx, const Parts& parts) {
    parts.db.transact(ctx, insert);
    EXPECT_EQ(parts.db.query_value(ctx, "select count(*) from t"), 1);
    EXPECT_EQ(parts.db.read(ctx, [](Snapshot& s) { return s.query_value("select count(*) from t"); }), 1);
  });
}

TEST_F(GuardedDatabase, IsLeftInPeaceWhileItIsAwayAndAskedAgainAfterwards) {
  run([](const Context& ctx, const Parts& parts) {
    parts.behind.reading = lost;
    for (int i = 0; i < 20; ++i) {
      const Error error = error_of([&] { parts.db.query_value(ctx, "select 1"); });
      EXPECT_EQ(error.code(), ErrorCode::unavailable);
      EXPECT_TRUE(error.retry_after());
    }
    EXPECT_EQ(state(parts.reads), BreakerState::open);
    EXPECT_LE(parts.behind.asked, 8) << "of 20, and the schema's transaction";
    EXPECT_EQ(state(parts.writes), BreakerState::closed) << "what is written is another matter";
    parts.db.transact(ctx, insert);
    parts.behind.reading = [](const Context&) {};
    runtime::sleep_for(ctx, 3s);
    EXPECT_EQ(parts.db.query_value(ctx, "select count(*) from t"), 1);
  });
}

TEST_F(GuardedDatabase, WhoWaitsIsToldWithinItsTime) {
  run([](const Context& ctx, const Parts& parts) {
    parts.behind.writing = silent;
    for (int i = 0; i < 4; ++i) {  // of five calls, with the one that made the schema
      const Context own = ctx.with_timeout(2s);
      const Error error = error_of([&] { parts.db.transact(own, insert); });
      EXPECT_EQ(error.code(), ErrorCode::unavailable) << error.what();
      EXPECT_TRUE(error.retry_after());
      EXPECT_EQ(own.remaining(), 500ms);
    }
    EXPECT_EQ(state(parts.writes), BreakerState::open);
  });
}

TEST_F(GuardedDatabase, AReadWithoutADeadlineGivesUpInTheEnd) {
  run([](const Context& ctx, const Parts& parts) {
    parts.behind.reading = silent;
    const Instant began = ctx.now();
    EXPECT_EQ(error_of([&] { parts.db.query_value(ctx, "select 1"); }).code(), ErrorCode::unavailable);
    EXPECT_EQ(ctx.now() - began, GuardOptions{}.patience);
  });
}

TEST_F(GuardedDatabase, WhatTakesTooLongWhileOthersAreAnsweredSaysNothing) {
  run([](const Context& ctx, const Parts& parts) {
    for (int i = 0; i < 20; ++i) {
      runtime::FiberGroup group(ctx);
      group.spawn("quick", [&](const Context& own) {
        runtime::sleep_for(own, 1s);
        parts.db.query_value(own, "select 1");
      });
      parts.behind.reading = [asked = 0](const Context& own) mutable {
        if (asked++ == 0) silent(own);
      };
      EXPECT_EQ(error_of([&] { parts.db.query_value(ctx.with_timeout(2s), "select 1"); }).code(),
                ErrorCode::unavailable);
      group.wait();
    }
    EXPECT_EQ(state(parts.reads), BreakerState::closed);
  });
}

TEST_F(GuardedDatabase, WhatABodyThrowsIsItsOwn) {
  run([](const Context& ctx, const Parts& parts) {
    for (int i = 0; i < 20; ++i) {
      EXPECT_THROW(parts.db.transact(ctx, [](Transaction&) { throw std::runtime_error("mine"); }),
                   std::runtime_error);
      try {
        parts.db.transact(
            ctx, [](Transaction&) { throw Error(ErrorCode::unavailable, "a body's").reason("of_the_body"); });
        ADD_FAILURE();
      } catch (const Error& error) {
        EXPECT_EQ(error.reason(), "of_the_body");
      }
      try {
        parts.db.transact(ctx, [](Transaction& tx) { tx.execute("insert into nowhere values(1)"); });
        ADD_FAILURE();
      } catch (const DatabaseError& failure) {
        EXPECT_EQ(failure.kind(), FailureKind::other);
      }
    }
    EXPECT_EQ(state(parts.writes), BreakerState::closed);
    EXPECT_EQ(parts.writes.view().counters.failed, 0u);
  });
}

TEST_F(GuardedDatabase, ItsProbesFindOutThatItIsBack) {
  run([](const Context& ctx, const Parts& parts) {
    runtime::FiberGroup group(ctx);
    const auto write = [](Transaction& tx) { insert(tx); };
    group.spawn("probes", [&](const Context& own) {
      run_guard_probes(own, parts.db, parts.reads, parts.writes, write);
    });
    parts.behind.reading = parts.behind.writing = lost;
    for (int i = 0; i < 5; ++i) {
      error_of([&] { parts.db.query_value(ctx, "select 1"); });
      error_of([&] { parts.db.transact(ctx, insert); });
    }
    runtime::sleep_for(ctx, 30s);
    EXPECT_NE(state(parts.reads), BreakerState::closed);
    parts.behind.reading = parts.behind.writing = [](const Context&) {};
    runtime::sleep_for(ctx, 4s);
    EXPECT_EQ(state(parts.reads), BreakerState::closed);
    EXPECT_EQ(state(parts.writes), BreakerState::closed);
    group.cancel();
    group.wait();
  });
}

}  // namespace
}  // namespace holdfast::sql
