// A worker that lost its leases without noticing: it stood still, or its clock did. Whatever it still sends,
// nothing of a saga that another worker undoes stays behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "holdfast/saga/sagas.hpp"
#include "holdfast/saga/testing/node.hpp"
#include "holdfast/sql/sqlite/database.hpp"

namespace holdfast::saga {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

struct Trip {
  int number = 0;
};
HOLDFAST_DESCRIBE(Trip, (number))

class SagaTakeover : public ::testing::Test {
 protected:
  void run(const std::function<void(const Context&, sql::Database&, runtime::Runtime&)>& test) {
    runtime::Runtime runtime({.simulated = true, .manual_clock = &clock_}, clock_, random_);
    runtime.run([&](const Context& ctx) {
      const auto db = sql::sqlite::open_memory(runtime);
      sql::Migrator(*db, migrations()).up(ctx);
      test(ctx, *db, runtime);
    });
  }

  /// One act, which `sending` is called in, and what undoes it.
  Definition<Trip> trip(const std::string& who, const std::function<void()>& sending = {}) {
    Definition<Trip> made("trip", 1);
    made.started("begin", compensate_local([](const Context&, sql::Transaction&, Step<Trip>&) {}));
    made.step(
        "act", {},
        [this, who, sending](const Context&, Step<Trip>& step) {
          if (sending) sending();
          did_.push_back(who + (step.first_try() ? ": act, for the first time" : ": act"));
        },
        compensate([this, who](const Context&, Step<Trip>&) { did_.push_back(who + ": undo"); }));
    made.step(
        "wait", {}, [](const Context& ctx, Step<Trip>&) { runtime::sleep_for(ctx, 1s); },
        nothing_to_undo("a test"));
    return made;
  }

  static SagaId start(const Context& ctx, sql::Database& db, Sagas& sagas, const Handle<Trip>& handle) {
    return db.transact(ctx, "start",
                       [&](sql::Transaction& tx) { return sagas.start(ctx, tx, handle, Trip{}, "k").id; });
  }
  static CancelAnswer cancel(const Context& ctx, sql::Database& db, Sagas& sagas, const SagaId& saga) {
    return db.transact(ctx, "cancel", [&](sql::Transaction& tx) {
      return sagas.request_cancel(ctx, tx, saga, "Changed my mind.");
    });
  }
  static std::int64_t leases_of(const Context& ctx, sql::Database& db, const Sagas& sagas) {
    return db.query_value(ctx, "select count(*) from saga_leases where owner = $1", sagas.worker());
  }
  /// `sagas` looks dead to the others, whatever it believes itself.
  static void expire(const Context& ctx, sql::Database& db, const Sagas& sagas) {
    db.transact(ctx, [&](sql::Transaction& tx) {
      tx.execute("update saga_workers set expires_at = 1 where worker = $1", sagas.worker());
    });
  }

  ManualClock clock_;
  SeededRandom random_{3};
  std::vector<std::string> did_;
};

constexpr Duration kNeverBeats = 1min;

TEST_F(SagaTakeover, WhatAnotherMayHaveBegunIsUndoneEvenWhereNobodyHereBeganIt) {
  run([&](const Context& ctx, sql::Database& db, runtime::Runtime& runtime) {
    observe::Metrics metrics;
    observe::Metrics other_metrics;
    runtime::Latch sends;
    Sagas stale(runtime, db, metrics, observe::Logger(),
                {.lease = 3 * kNeverBeats, .heartbeat = kNeverBeats});
    Sagas owner(runtime, db, other_metrics, observe::Logger());
    const auto handle = stale.add(trip("stale", [&] { sends.wait(ctx, "test"); }));
    owner.add(trip("owner"));
    stale.run(ctx);
    expire(ctx, db, stale);
    owner.run(ctx);
    ASSERT_TRUE(eventually(ctx, [&] { return leases_of(ctx, db, owner) == 64; }));
    owner.stall(true);  // it has not looked at the saga when the cancel comes
    runtime::sleep_for(ctx, 10ms);
    const SagaId id = start(ctx, db, stale, handle);
    runtime::sleep_for(ctx, 10ms);
    cancel(ctx, db, stale, id);
    owner.stall(false);
    ASSERT_TRUE(reaches(ctx, db, id, Status::compensated)) << timeline(ctx, db, id);
    EXPECT_THAT(did_, ElementsAre("owner: undo")) << "before what may be under way arrives";
    sends.open();
    runtime::sleep_for(ctx, 10ms);
    EXPECT_THAT(did_, ElementsAre("owner: undo", "stale: act"));
    EXPECT_EQ(metrics.counter("holdfast_saga_fence_refused_total", "").value(), 1U);
    owner.stop(ctx.with_timeout(5s));
    stale.stop(ctx.with_timeout(5s));
  });
}

TEST_F(SagaTakeover, WhoSleptPastTheLeaseBeginsNothingBeforeItHasItAgain) {
  run([&](const Context& ctx, sql::Database& db, runtime::Runtime& runtime) {
    observe::Metrics metrics;
    bool slept = false;
    std::vector<bool> leased;
    SagaOptions options;
    options.at_site = [&](std::string_view site) {
      if (site != "saga.trip.wait.before_act" || std::exchange(slept, true)) return;
      clock_.advance(options.lease + 1s);
    };
    Sagas sagas(runtime, db, metrics, observe::Logger(), options);
    Definition<Trip> made("trip", 1);
    made.step(
        "act", {}, [](const Context&, Step<Trip>&) {}, nothing_to_undo("a test"));
    made.step(
        "wait", {},
        [&](const Context& inner, Step<Trip>& step) {
          EXPECT_FALSE(step.first_try()) << "somebody else may have been here";
          leased.push_back(db.query_value(inner, "select count(*) from saga_workers where expires_at > $1",
                                          inner.clock().wall_now()) > 0);
        },
        nothing_to_undo("a test"));
    const auto handle = sagas.add(made);
    sagas.run(ctx);
    const SagaId id = start(ctx, db, sagas, handle);
    ASSERT_TRUE(reaches(ctx, db, id, Status::completed)) << timeline(ctx, db, id);
    EXPECT_TRUE(slept);
    EXPECT_THAT(leased, ElementsAre(true));
    sagas.stop(ctx.with_timeout(5s));
  });
}

TEST_F(SagaTakeover, AnActWhoseEndCouldNotBeRecordedIsKnownToWhoeverComesNext) {
  for (const bool lost : {false, true}) {
    run([&](const Context& ctx, sql::Database& db, runtime::Runtime& runtime) {
      observe::Metrics metrics;
      observe::Metrics later_metrics;
      runtime::Latch acting;
      std::vector<bool> interrupted;
      Definition<Trip> made("trip", 1);
      made.step(
          "act", {},
          [&](const Context& inner, Step<Trip>& step) {
            interrupted.push_back(step.interrupted());
            if (interrupted.size() > 1) return;
            acting.open();
            runtime::sleep_for(inner, 1min);
          },
          nothing_to_undo("a test"));
      const auto change = [&](const char* sql) {
        db.transact(ctx, [&](sql::Transaction& tx) { tx.execute_script(sql); });
      };
      Sagas first(runtime, db, metrics, observe::Logger());
      const auto handle = first.add(made);
      first.run(ctx);
      const SagaId id = start(ctx, db, first, handle);
      acting.wait(ctx, "test");
      change(
          "create trigger full before update on sagas begin select raise(abort, 'the disk is full'); end;");
      if (lost) {  // its heartbeats fail, too, for longer than its lease
        change(
            "create trigger too_full before update on saga_workers "
            "begin select raise(abort, 'the disk is full'); end;");
        runtime::sleep_for(ctx, 10s);
        change("drop trigger too_full; drop trigger full;");
      } else {
        first.stop(ctx.with_timeout(1s));
        change("drop trigger full;");
      }
      Sagas later(runtime, db, later_metrics, observe::Logger());
      later.add(made);
      later.run(ctx);
      ASSERT_TRUE(reaches(ctx, db, id, Status::completed)) << timeline(ctx, db, id);
      EXPECT_THAT(interrupted, ElementsAre(false, true)) << "lost: " << lost;
      later.stop(ctx.with_timeout(5s));
      first.stop(ctx.with_timeout(5s));
    });
  }
}

TEST_F(SagaTakeover, AnInterruptionIsCountedOnceHoweverOftenItIsLookedAt) {
  run([&](const Context& ctx, sql::Database& db, runtime::Runtime& runtime) {
    observe::Metrics metrics;
    observe::Metrics later_metrics;
    runtime::Latch acting;
    Definition<Trip> made("trip", 1);
    made.step(
        "act", {},
        [&](const Context& inner, Step<Trip>& step) {
          acting.open();
          if (!step.interrupted()) runtime::sleep_for(inner, 1min);
        },
        nothing_to_undo("a test"));
    Sagas first(runtime, db, metrics, observe::Logger());
    const auto handle = first.add(made);
    first.run(ctx);
    const SagaId id = start(ctx, db, first, handle);
    acting.wait(ctx, "test");
    first.crash();
    SagaOptions options;
    int looks = 0;
    options.at_site = [&](std::string_view site) {  // it stands still just before the act, again and again
      if (site == "saga.trip.act.before_act" && ++looks <= 2 * options.max_interruptions)
        clock_.advance(options.lease + 1s);
    };
    Sagas later(runtime, db, later_metrics, observe::Logger(), options);
    later.add(made);
    later.run(ctx);
    ASSERT_TRUE(eventually(ctx, [&] { return status_of(ctx, db, id) != Status::running; }));
    EXPECT_EQ(status_of(ctx, db, id), Status::completed) << timeline(ctx, db, id);
    EXPECT_GT(looks, options.max_interruptions);
    later.stop(ctx.with_timeout(5s));
  });
}

}  // namespace
}  // namespace holdfast::saga
