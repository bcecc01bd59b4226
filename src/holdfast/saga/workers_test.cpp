// Several workers on one database, with real threads and a real file.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "holdfast/saga/sagas.hpp"
#include "holdfast/saga/testing/node.hpp"
#include "holdfast/sql/testing/test_database.hpp"

namespace holdfast::saga {
namespace {

using namespace std::chrono_literals;

struct Errand {
  int number = 0;
};
HOLDFAST_DESCRIBE(Errand, (number))

/// Whatever fails in a test, nobody waits for ever: workers are dropped with acts that can end.
struct Opened {
  std::vector<runtime::Latch*> latches;
  ~Opened() {
    for (runtime::Latch* latch : latches) latch->open();
  }
};

class SagaWorkers : public ::testing::Test {
 protected:
  void run(const std::function<void(const Context&, runtime::Runtime&)>& test) {
    runtime::Runtime runtime({.loops = 2}, clock_, random_);
    runtime.run([&](const Context& ctx) {
      {
        const auto db = open(runtime);
        sql::Migrator(*db, migrations()).up(ctx);
        db->transact(
            ctx, [](sql::Transaction& tx) { tx.execute_script("create table effects(what text not null)"); });
      }
      test(ctx, runtime);
      runtime::sleep_for(ctx, 1ms);
    });
  }

  std::unique_ptr<sql::Database> open(runtime::Runtime& runtime) { return database_.open(runtime); }

  /// call (outside, keyed), note (local); fails every seventh at the end.
  Definition<Errand> errand() {
    Definition<Errand> made("errand", 1);
    made.started("begin", compensate_local(note));
    made.step(
        "call", {},
        [this](const Context& ctx, Step<Errand>& step) {
          other_side_.call(step.key());
          if (step.state().number % 5 == 0) runtime::sleep_for(ctx, 1ms);
        },
        compensate([this](const Context&, Step<Errand>& step) { other_side_.call(step.key()); }));
    made.local("note", note, compensate_local(note));
    made.step(
        "end", {},
        [](const Context&, Step<Errand>& step) {
          if (step.state().number % 7 == 0) throw Failure("seventh", "Every seventh fails.");
        },
        nothing_to_undo("it does nothing"));
    return made;
  }
  static void note(const Context&, sql::Transaction& tx, Step<Errand>& step) {
    tx.execute("insert into effects(what) values($1)", step.key());
  }

  SystemClock clock_;
  SeededRandom random_{17};
  sql::TestDatabase database_;
  OtherSide other_side_;
};

TEST_F(SagaWorkers, TwoShareTheWorkAndEachEffectIsThereOnce) {
  run([&](const Context& ctx, runtime::Runtime& runtime) {
    constexpr int kSagas = 700;
    const auto first_db = open(runtime);
    const auto second_db = open(runtime);
    observe::Metrics first_metrics;
    observe::Metrics second_metrics;
    SagaOptions options;
    options.concurrency = 50;  // less than there are: the rest waits in the database
    options.lease = 3s;
    options.heartbeat = 200ms;
    Sagas first(runtime, *first_db, first_metrics, observe::Logger(), options);
    Sagas second(runtime, *second_db, second_metrics, observe::Logger(), options);
    const auto handle = first.add(errand());
    const auto other = second.add(errand());
    first.run(ctx);
    second.run(ctx);
    runtime::FiberGroup clients(ctx);
    for (int client = 0; client < 10; ++client) {
      clients.spawn("client", [&, client](const Context& inner) {
        for (int n = client; n < kSagas; n += 10) {
          const bool odd = n % 2 == 1;
          (odd ? *second_db : *first_db).transact(inner, "start", [&](sql::Transaction& tx) {
            (odd ? second : first).start(inner, tx, odd ? other : handle, Errand{n}, std::to_string(n));
          });
        }
      });
    }
    clients.wait();
    const auto unfinished = [&] {
      return first_db->query_value(ctx, "select count(*) from sagas where due_at is not null");
    };
    ASSERT_TRUE(eventually(ctx, [&] { return unfinished() == 0; })) << unfinished();
    first.stop(ctx.with_timeout(10s));
    second.stop(ctx.with_timeout(10s));

    constexpr int kFailed = (kSagas + 6) / 7;
    EXPECT_EQ(first_db->query_value(ctx, "select count(*) from sagas where status = 'compensated'"), kFailed);
    EXPECT_EQ(first_db->query_value(ctx, "select count(*) from sagas where status = 'completed'"),
              kSagas - kFailed);
    EXPECT_EQ(first_db->query_value(ctx, "select count(*) from effects"), kSagas + 2 * kFailed);
    EXPECT_EQ(first_db->query_value(ctx, "select count(distinct what) from effects"), kSagas + 2 * kFailed);
    EXPECT_EQ(other_side_.keys(), static_cast<std::size_t>(kSagas + kFailed));
    const auto done = [](observe::Metrics& metrics) {
      return metrics.counter("holdfast_sagas_completed_total", "", {{"definition", "errand"}}).value();
    };
    EXPECT_GT(done(first_metrics), 0U);
    EXPECT_GT(done(second_metrics), 0U);
    EXPECT_EQ(first_db->query_value(ctx, "select count(*) from saga_leases where owner is not null"), 0);
  });
}

TEST_F(SagaWorkers, OneThatWasSuspendedPastItsLeaseCommitsNothing) {
  run([&](const Context& ctx, runtime::Runtime& runtime) {
    const auto first_db = open(runtime);
    const auto second_db = open(runtime);
    observe::Metrics metrics;
    observe::Metrics second_metrics;
    SagaOptions options;
    options.lease = 2s;
    options.heartbeat = 100ms;
    std::atomic<int> acts = 0;
    runtime::Latch acting;
    runtime::Latch go_on;
    runtime::Latch second_acting;
    runtime::Latch second_go_on;
    const auto definition = [&](bool slow) {
      Definition<Errand> made("errand", 1);
      made.step(
          "call", {},
          [&, slow](const Context& inner, Step<Errand>& step) {
            ++acts;
            if (slow) {
              acting.open();
              go_on.wait(inner.detached(), "test");
            } else {
              second_acting.open();
              second_go_on.wait(inner.detached(), "test");
            }
            step.state().number = slow ? 1 : 2;
            step.record([slow](sql::Transaction& tx) {
              tx.execute("insert into effects(what) values($1)", slow ? "late" : "in time");
            });
          },
          nothing_to_undo("a test"));
      return made;
    };
    Sagas first(runtime, *first_db, metrics, observe::Logger(), options);
    Sagas second(runtime, *second_db, second_metrics, observe::Logger(), options);
    const Opened opened{{&go_on, &second_go_on}};
    const auto handle = first.add(definition(true));
    second.add(definition(false));
    first.run(ctx);
    const SagaId id = first_db->transact(
        ctx, [&](sql::Transaction& tx) { return first.start(ctx, tx, handle, Errand{}).id; });
    acting.wait(ctx.with_timeout(10s), "test");
    first.stall(true);
    second.run(ctx);
    // The second is at the act too: it has announced it, since the first may have died of it.
    second_acting.wait(ctx.with_timeout(10s), "test");
    const auto refused = metrics.counter("holdfast_saga_fence_refused_total", "");
    go_on.open();
    const auto late_committed = [&] {
      return first_db->query_value(ctx, "select count(*) from effects where what = 'late'") > 0;
    };
    ASSERT_TRUE(eventually(ctx, [&] { return refused.value() == 1 || late_committed(); }));
    ASSERT_FALSE(late_committed());
    second_go_on.open();
    ASSERT_TRUE(reaches(ctx, *second_db, id, Status::completed)) << timeline(ctx, *second_db, id);
    EXPECT_EQ(acts, 2);
    EXPECT_EQ(first_db->query_value<std::string>(ctx, "select what from effects"), "in time");
    EXPECT_EQ(details_of(ctx, *first_db, id)->state.text(), R"({"number":2})");
    first.stall(false);
    second.stop(ctx.with_timeout(5s));
    first.stop(ctx.with_timeout(5s));
  });
}

TEST_F(SagaWorkers, TheFenceAloneRefusesALateResult) {
  run([&](const Context& ctx, runtime::Runtime& runtime) {
    const auto first_db = open(runtime);
    const auto second_db = open(runtime);
    observe::Metrics metrics;
    observe::Metrics second_metrics;
    SagaOptions options;
    options.lease = 600ms;
    options.heartbeat = 100ms;
    runtime::Latch acting;
    runtime::Latch go_on;
    Definition<Errand> slow("slow", 1);
    slow.step(
        "call", {},
        [&](const Context& inner, Step<Errand>&) {
          acting.open();
          go_on.wait(inner.detached(), "test");
        },
        nothing_to_undo("a test"));
    Sagas first(runtime, *first_db, metrics, observe::Logger(), options);
    Sagas second(runtime, *second_db, second_metrics, observe::Logger(), options);
    const Opened opened{{&go_on}};
    const auto handle = first.add(slow);
    second.add(errand());  // it takes the leases, but does not know this saga: its row stays as it is
    first.run(ctx);
    const SagaId id = first_db->transact(
        ctx, [&](sql::Transaction& tx) { return first.start(ctx, tx, handle, Errand{}).id; });
    acting.wait(ctx.with_timeout(10s), "test");
    first.stall(true);
    second.run(ctx);
    ASSERT_TRUE(eventually(ctx, [&] {
      return second_db->query_value(ctx, "select count(*) from saga_leases where owner = $1",
                                    second.worker()) == 64;
    }));
    const auto refused = metrics.counter("holdfast_saga_fence_refused_total", "");
    go_on.open();
    const auto revision = [&] { return first_db->query_value(ctx, "select revision from sagas"); };
    ASSERT_TRUE(eventually(ctx, [&] { return refused.value() == 1 || revision() != 0; }));
    EXPECT_EQ(status_of(ctx, *first_db, id), Status::running);
    ASSERT_EQ(revision(), 0) << "the late result was recorded";
    first.stall(false);
    second.stop(ctx.with_timeout(5s));
    ASSERT_TRUE(reaches(ctx, *first_db, id, Status::completed)) << "once the leases are its own again";
    first.stop(ctx.with_timeout(5s));
  });
}

TEST_F(SagaWorkers, AProcessWithoutAWorkerStartsAndSignalsWhatAnotherRuns) {
  run([&](const Context& ctx, runtime::Runtime& runtime) {
    const auto serving = open(runtime);
    const auto working = open(runtime);
    observe::Metrics metrics;
    observe::Metrics other_metrics;
    Definition<Errand> made("errand", 1);
    made.wait(
        "go", {.event = "go"},
        [](const Context&, sql::Transaction&, Step<Errand>&, const JsonText&) { return Heard::done; },
        fail_with("late", "Late."), nothing_to_undo("a test"));
    Sagas server(runtime, *serving, metrics, observe::Logger());
    Sagas worker(runtime, *working, other_metrics, observe::Logger());
    const auto handle = server.add(made);
    worker.add(made);
    worker.run(ctx);
    const SagaId id = serving->transact(
        ctx, [&](sql::Transaction& tx) { return server.start(ctx, tx, handle, Errand{}).id; });
    serving->transact(ctx, [&](sql::Transaction& tx) { return server.signal(ctx, tx, id, "go"); });
    EXPECT_TRUE(reaches(ctx, *working, id, Status::completed)) << timeline(ctx, *working, id);
    worker.stop(ctx.with_timeout(5s));
  });
}

// Shards end on their own loops while the worker ends on its: whoever is last must not touch what is gone.
TEST_F(SagaWorkers, StoppedOrDroppedManyTimesTheyEndInOrder) {
  run([&](const Context& ctx, runtime::Runtime& runtime) {
    constexpr int kTimes = 40;
    const auto db = open(runtime);
    for (int round = 0; round < kTimes; ++round) {
      observe::Metrics metrics;
      SagaOptions options;
      options.heartbeat = 1min;  // nobody is woken by it
      options.lease = 3min;
      options.poll = 1min;
      options.loop = static_cast<std::size_t>(round % 2);
      Sagas sagas(runtime, *db, metrics, observe::Logger(), options);
      sagas.add(errand());
      sagas.run(ctx);
      const Instant began = ctx.now();
      if (round % 4 < 2) sagas.stop(ctx.with_timeout(30s));
      EXPECT_LT(ctx.now() - began, 20s) << "a wake-up was missed, or slept over";
    }
  });
}

}  // namespace
}  // namespace holdfast::saga
