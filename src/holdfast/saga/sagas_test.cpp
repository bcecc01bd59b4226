// What sagas promise, on the in-memory adapter with simulated time. Crashes: crash_test.cpp. Several workers:
// workers_test.cpp.
#include "holdfast/saga/sagas.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "holdfast/saga/testing/node.hpp"
#include "holdfast/sql/sqlite/database.hpp"

namespace holdfast::saga {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

struct Trip {
  std::string hotel;
  std::string flight;
  int tries = 0;
};
HOLDFAST_DESCRIBE(Trip, (hotel, flight, tries))

const auto nothing_done = [](const Context&, Step<Trip>&) {};
const auto no_note = [] { return nothing_to_undo("it leaves nothing behind"); };

constexpr RetryOptions kThrice{.attempts = 3,
                               .backoff = {.base = 1s, .cap = 10s, .jitter = resilience::Jitter::none}};

class SagasTest : public ::testing::Test {
 protected:
  struct World {
    const Context& ctx;
    runtime::Runtime& runtime;
    sql::Database& db;
    Sagas& sagas;
    observe::Metrics& metrics;
  };

  void run(const std::function<void(World&)>& test, SagaOptions options = {}) {
    runtime::Runtime runtime({.simulated = true, .manual_clock = &clock_}, clock_, random_);
    runtime.run([&](const Context& ctx) {
      const auto db = sql::sqlite::open_memory(runtime);
      sql::Migrator(*db, migrations()).up(ctx);
      db->transact(ctx, [](sql::Transaction& tx) {
        tx.execute_script("create table effects(what text not null, saga text not null)");
      });
      observe::Metrics metrics;
      Sagas sagas(runtime, *db, metrics, observe::Logger(), options);
      World world{ctx, runtime, *db, sagas, metrics};
      test(world);
      sagas.stop(ctx.with_timeout(10s));
    });
  }

  static SagaId start(World& world, const Handle<Trip>& handle, const std::string& key = {}) {
    return world.db.transact(world.ctx, "start", [&](sql::Transaction& tx) {
      return world.sagas.start(world.ctx, tx, handle, Trip{.hotel = "Ritz"}, key).id;
    });
  }

  static void effect(sql::Transaction& tx, const std::string& what, const std::string& saga) {
    tx.execute("insert into effects(what, saga) values($1, $2)", what, saga);
  }
  static std::vector<std::string> effects(World& world) {
    return world.db.query<std::string>(world.ctx, "select what from effects order by rowid");
  }

  ManualClock clock_;
  SeededRandom random_{11};
};

TEST_F(SagasTest, DoesItsStepsInOrderWithStateAndRecordsInTheirCommits) {
  run([](World& world) {
    Definition<Trip> trip("trip", 1);
    std::vector<std::string> keys;
    trip.started("ask", no_note());
    trip.step(
        "book hotel", {},
        [&](const Context&, Step<Trip>& step) {
          keys.push_back(step.key());
          step.state().flight = "LH400";
          step.record([id = step.saga_id()](sql::Transaction& tx) { effect(tx, "booked", id); });
        },
        compensate(nothing_done));
    trip.local(
        "note it",
        [](const Context&, sql::Transaction& tx, Step<Trip>& step) {
          EXPECT_EQ(step.state().flight, "LH400");
          step.state().tries = 7;
          effect(tx, "noted", step.saga_id());
        },
        no_note());
    const auto handle = world.sagas.add(trip);
    world.sagas.run(world.ctx);
    const SagaId id = start(world, handle, "ord_1");
    ASSERT_TRUE(reaches(world.ctx, world.db, id, Status::completed)) << timeline(world.ctx, world.db, id);

    EXPECT_THAT(keys, ElementsAre(id.text() + "/book hotel"));
    EXPECT_THAT(effects(world), ElementsAre("booked", "noted"));
    const auto details = details_of(world.ctx, world.db, id);
    EXPECT_EQ(details->state.text(), R"({"hotel":"Ritz","flight":"LH400","tries":7})");
    EXPECT_EQ(details->saga.key, "ord_1");
    EXPECT_TRUE(details->saga.finished_at);
    ASSERT_THAT(details->steps, SizeIs(3));
    for (const StepLine& step : details->steps) EXPECT_EQ(step.status, StepStatus::done) << step.name;
    EXPECT_EQ(timeline(world.ctx, world.db, id),
              "started, done ask, done book hotel, done note it, completed");
    EXPECT_EQ(world.db.query_value(world.ctx, "select revision from sagas"), 1)
        << "one commit an outside step, the local one after it in the same";
    EXPECT_EQ(world.metrics.counter("holdfast_sagas_completed_total", "", {{"definition", "trip"}}).value(),
              1U);
  });
}

TEST_F(SagasTest, GoesPastWhatItsStateDoesNotNeedWithoutACommit) {
  run([](World& world) {
    std::vector<std::string> acts;
    const auto act = [&acts](const Context&, Step<Trip>& step) {
      acts.push_back(step.name());
      step.state().tries += 1;
    };
    const auto never = [](const Trip&) { return false; };
    Definition<Trip> trip("trip", 1);
    trip.step("first", {}, act, compensate(nothing_done)).only_if(never);
    trip.step("second", {}, act, compensate(nothing_done)).only_if([](const Trip& t) {
      return t.tries == 0;
    });
    trip.wait(
            "third", {.event = "never"},
            [](const Context&, sql::Transaction&, Step<Trip>&, const JsonText&) { return Heard::done; },
            fail_with("late", "Too late."), no_note())
        .only_if([](const Trip& t) { return t.tries != 1; });  // the state as the second has left it
    trip.local(
        "fourth",
        [&](const Context&, sql::Transaction& tx, Step<Trip>& step) { effect(tx, "noted", step.saga_id()); },
        no_note());
    trip.step("fifth", {}, act, compensate(nothing_done)).only_if(never);
    const auto handle = world.sagas.add(trip);
    world.sagas.run(world.ctx);
    const SagaId id = start(world, handle, "ord_1");
    ASSERT_TRUE(reaches(world.ctx, world.db, id, Status::completed)) << timeline(world.ctx, world.db, id);
    EXPECT_THAT(acts, ElementsAre("second"));
    EXPECT_THAT(effects(world), ElementsAre("noted"));
    EXPECT_EQ(
        timeline(world.ctx, world.db, id),
        "started, not_needed first, done second, not_needed third, done fourth, not_needed fifth, completed");
    EXPECT_EQ(world.db.query_value(world.ctx, "select revision from sagas"), 2);
  });
}

TEST_F(SagasTest, ALocalStepThatFailsTakesTheStepBeforeItNotWithIt) {
  run([](World& world) {
    int acts = 0;
    int tries = 0;
    Definition<Trip> trip("trip", 1);
    trip.step(
        "act", {}, [&](const Context&, Step<Trip>&) { ++acts; }, compensate(nothing_done));
    trip.local(
        "note it",
        [&](const Context&, sql::Transaction& tx, Step<Trip>& step) {
          effect(tx, "noted", step.saga_id());
          step.state().tries = ++tries;
          if (tries < 4) throw Error(ErrorCode::unavailable, "not yet");
        },
        no_note());
    const auto handle = world.sagas.add(trip);
    world.sagas.run(world.ctx);
    const SagaId id = start(world, handle, "ord_1");
    ASSERT_TRUE(reaches(world.ctx, world.db, id, Status::completed)) << timeline(world.ctx, world.db, id);
    EXPECT_EQ(acts, 1);
    EXPECT_THAT(effects(world), ElementsAre("noted"));  // what the failed tries wrote was undone
  });
}

TEST_F(SagasTest, BeginsNothingOfATransactionThatIsUndone) {
  run([](World& world) {
    int acts = 0;
    Definition<Trip> trip("trip", 1);
    trip.step(
        "act", {}, [&](const Context&, Step<Trip>&) { ++acts; }, no_note());
    const auto handle = world.sagas.add(trip);
    world.sagas.run(world.ctx);
    EXPECT_THROW(world.db.transact(world.ctx, "fails",
                                   [&](sql::Transaction& tx) {
                                     world.sagas.start(world.ctx, tx, handle, Trip{});
                                     throw Error(ErrorCode::conflict, "No.");
                                   }),
                 Error);
    runtime::sleep_for(world.ctx, 10s);
    EXPECT_EQ(acts, 0);
    EXPECT_EQ(world.db.query_value(world.ctx, "select count(*) from sagas"), 0);
  });
}

TEST_F(SagasTest, StartedTwiceWithAKeyItIsOneSaga) {
  run([](World& world) {
    int acts = 0;
    Definition<Trip> trip("trip", 1);
    trip.step(
        "act", {}, [&](const Context&, Step<Trip>&) { ++acts; }, no_note());
    const auto handle = world.sagas.add(trip);
    world.sagas.run(world.ctx);
    const SagaId first = start(world, handle, "ord_1");
    const Started second = world.db.transact(world.ctx, "again", [&](sql::Transaction& tx) {
      return world.sagas.start(world.ctx, tx, handle, Trip{}, "ord_1");
    });
    EXPECT_FALSE(second.is_new);
    EXPECT_EQ(second.id, first);
    ASSERT_TRUE(reaches(world.ctx, world.db, first, Status::completed));
    const Started third = world.db.transact(world.ctx, "again", [&](sql::Transaction& tx) {
      return world.sagas.start(world.ctx, tx, handle, Trip{}, "ord_1");
    });
    EXPECT_FALSE(third.is_new) << "also after its end";
    EXPECT_NE(start(world, handle), start(world, handle)) << "without a key each is its own";
    runtime::sleep_for(world.ctx, 1s);
    EXPECT_EQ(acts, 3);
  });
}

TEST_F(SagasTest, AFailureUndoesTheStepsBeforeInReverse) {
  run([](World& world) {
    std::vector<std::string> undone;
    Definition<Trip> trip("trip", 1);
    const auto undo = [&](const Context&, Step<Trip>& step) {
      EXPECT_EQ(step.reason(), "declined");
      EXPECT_EQ(step.reason_detail(), "The card was declined.");
      undone.push_back(step.key());
    };
    trip.started("ask", compensate_local([&](const Context&, sql::Transaction& tx, Step<Trip>& step) {
                   effect(tx, "rejected: " + step.reason(), step.saga_id());
                 }));
    trip.step("hotel", {}, nothing_done, compensate(undo));
    trip.step("stamp", {}, nothing_done, no_note());
    trip.step("flight", {}, nothing_done, compensate(undo));
    trip.step(
        "pay", {}, [](const Context&, Step<Trip>&) { throw Failure("declined", "The card was declined."); },
        compensate(undo));
    const auto handle = world.sagas.add(trip);
    world.sagas.run(world.ctx);
    const SagaId id = start(world, handle);
    ASSERT_TRUE(reaches(world.ctx, world.db, id, Status::compensated)) << timeline(world.ctx, world.db, id);
    EXPECT_THAT(undone, ElementsAre(id.text() + "/flight/undo", id.text() + "/hotel/undo"));
    EXPECT_THAT(effects(world), ElementsAre("rejected: declined"));
    const auto details = details_of(world.ctx, world.db, id);
    EXPECT_EQ(details->saga.reason, "declined");
    EXPECT_EQ(details->steps[4].status, StepStatus::failed);
    EXPECT_EQ(details->steps[1].status, StepStatus::compensated);
  });
}

TEST_F(SagasTest, WhatMayPassIsTriedAgainAfterItsBackoffWithTheStateItLeft) {
  run([](World& world) {
    std::vector<Duration> at;
    Definition<Trip> trip("trip", 1);
    trip.step(
        "act", {.retry = kThrice},
        [&](const Context& ctx, Step<Trip>& step) {
          at.push_back(ctx.now().time_since_epoch());
          EXPECT_EQ(step.attempt(), static_cast<int>(at.size()));
          if (++step.state().tries < 3) {
            Error error(ErrorCode::unavailable, "Not now.");
            throw step.state().tries == 2 ? std::move(error).retry_after(30s) : error;
          }
        },
        no_note());
    const auto handle = world.sagas.add(trip);
    world.sagas.run(world.ctx);
    const SagaId id = start(world, handle);
    ASSERT_TRUE(reaches(world.ctx, world.db, id, Status::completed)) << timeline(world.ctx, world.db, id);
    ASSERT_THAT(at, SizeIs(3));
    EXPECT_GE(at[1] - at[0], 1s);
    EXPECT_LT(at[1] - at[0], 1100ms);
    EXPECT_GE(at[2] - at[1], 30s) << "retry_after counts where it is later";
    EXPECT_EQ(timeline(world.ctx, world.db, id),
              "started, attempt_failed act, attempt_failed act, done act, completed");
  });
}

TEST_F(SagasTest, KnowsAFirstTryOnlyWhereItHasJustComeThere) {
  run([](World& world) {
    std::vector<bool> first;
    Definition<Trip> trip("trip", 1);
    const auto look = [&](const Context&, Step<Trip>& step) { first.push_back(step.first_try()); };
    trip.step("taken up", {}, look, no_note());
    trip.step(
        "gone on to", {.retry = kThrice},
        [&](const Context& ctx, Step<Trip>& step) {
          look(ctx, step);
          if (step.attempt() == 1) throw Error(ErrorCode::unavailable, "Not now.");
        },
        no_note());
    trip.step("after it", {}, look, no_note());
    const auto handle = world.sagas.add(trip);
    world.sagas.run(world.ctx);
    const SagaId id = start(world, handle);
    ASSERT_TRUE(reaches(world.ctx, world.db, id, Status::completed)) << timeline(world.ctx, world.db, id);
    EXPECT_THAT(first, ElementsAre(false, true, false, true));
  });
}

TEST_F(SagasTest, AnActWhoseAttemptsAreUsedUpMayHaveHappenedAndIsUndoneToo) {
  for (const bool unknown : {false, true}) {
    run([&](World& world) {
      std::vector<std::string> undone;
      Definition<Trip> trip("trip", 1);
      trip.step(
          "pay", {.retry = kThrice},
          [&](const Context&, Step<Trip>&) {
            if (unknown) throw OutcomeUnknown("No answer after the request was sent.");
            throw Error(ErrorCode::unavailable, "Not now.");
          },
          compensate([&](const Context&, Step<Trip>& step) { undone.push_back(step.act_key()); }));
      const auto handle = world.sagas.add(trip);
      world.sagas.run(world.ctx);
      const SagaId id = start(world, handle);
      ASSERT_TRUE(reaches(world.ctx, world.db, id, Status::compensated)) << timeline(world.ctx, world.db, id);
      EXPECT_THAT(undone, ElementsAre(id.text() + "/pay"));
      const auto details = details_of(world.ctx, world.db, id);
      EXPECT_EQ(details->saga.reason, unknown ? "outcome_unknown" : "unavailable");
      EXPECT_THAT(timeline(world.ctx, world.db, id),
                  HasSubstr(unknown ? "outcome_unknown pay" : "attempt_failed pay"));
    });
  }
}

TEST_F(SagasTest, AnErrorThatWontPassCountsAsNotHappenedUnlessAnEarlierAttemptMayHave) {
  for (const bool doubtful : {false, true}) {
    run([&](World& world) {
      int undone = 0;
      Definition<Trip> trip("trip", 1);
      trip.step(
          "pay", {.retry = kThrice},
          [&](const Context&, Step<Trip>& step) {
            if (doubtful && step.attempt() == 1) throw Error(ErrorCode::deadline_exceeded, "Too slow.");
            throw Error(ErrorCode::permission_denied, "Who are you?");
          },
          compensate([&](const Context&, Step<Trip>&) { ++undone; }));
      const auto handle = world.sagas.add(trip);
      world.sagas.run(world.ctx);
      const SagaId id = start(world, handle);
      ASSERT_TRUE(reaches(world.ctx, world.db, id, Status::compensated)) << timeline(world.ctx, world.db, id);
      EXPECT_EQ(undone, doubtful ? 1 : 0);
    });
  }
}

TEST_F(SagasTest, AnAttemptHasADeadline) {
  run([](World& world) {
    Definition<Trip> trip("trip", 1);
    trip.step(
        "act", {.retry = kThrice, .timeout = 2s},
        [&](const Context& ctx, Step<Trip>& step) {
          if (step.attempt() == 1) runtime::sleep_for(ctx, 1h);
          EXPECT_LE(ctx.remaining(), 2s);
        },
        no_note());
    const auto handle = world.sagas.add(trip);
    world.sagas.run(world.ctx);
    const SagaId id = start(world, handle);
    ASSERT_TRUE(reaches(world.ctx, world.db, id, Status::completed)) << timeline(world.ctx, world.db, id);
  });
}

TEST_F(SagasTest, ALocalActThatThrowsLeavesNothingBehind) {
  run([](World& world) {
    int attempts = 0;
    Definition<Trip> trip("trip", 1);
    trip.local(
        "note", {.retry = kThrice},
        [&](const Context&, sql::Transaction& tx, Step<Trip>& step) {
          effect(tx, "note " + std::to_string(attempts), step.saga_id());
          step.state().tries += 10;
          if (++attempts < 3) throw Error(ErrorCode::unavailable, "Not now.");
        },
        no_note());
    const auto handle = world.sagas.add(trip);
    world.sagas.run(world.ctx);
    const SagaId id = start(world, handle);
    ASSERT_TRUE(reaches(world.ctx, world.db, id, Status::completed)) << timeline(world.ctx, world.db, id);
    EXPECT_THAT(effects(world), ElementsAre("note 2"));
    EXPECT_THAT(details_of(world.ctx, world.db, id)->state.text(), HasSubstr("\"tries\":10"));
  });
}

TEST_F(SagasTest, ARecordThatThrowsMakesTheActAFailedAttempt) {
  run([](World& world) {
    int records = 0;
    Definition<Trip> trip("trip", 1);
    trip.step(
        "act", {.retry = kThrice},
        [&](const Context&, Step<Trip>& step) {
          step.record([&, id = step.saga_id()](sql::Transaction& tx) {
            effect(tx, "record", id);
            if (++records == 1) throw Error(ErrorCode::unavailable, "Not now.");
          });
        },
        no_note());
    const auto handle = world.sagas.add(trip);
    world.sagas.run(world.ctx);
    const SagaId id = start(world, handle);
    ASSERT_TRUE(reaches(world.ctx, world.db, id, Status::completed)) << timeline(world.ctx, world.db, id);
    EXPECT_THAT(effects(world), ElementsAre("record"));
  });
}

TEST_F(SagasTest, AnUndoThatKeepsFailingIsParkedAndGoesOnWhenAPersonSaysSo) {
  run([](World& world) {
    bool broken = true;
    int undone = 0;
    Definition<Trip> trip("trip", 1);
    trip.step("hotel", {.compensation_retry = kThrice}, nothing_done,
              compensate([&](const Context&, Step<Trip>&) {
                if (broken) throw Error(ErrorCode::unavailable, "The hotel is closed.");
                ++undone;
              }));
    trip.step(
        "pay", {}, [](const Context&, Step<Trip>&) { throw Failure("declined", "No."); }, no_note());
    const auto handle = world.sagas.add(trip);
    world.sagas.run(world.ctx);
    const SagaId id = start(world, handle);
    ASSERT_TRUE(reaches(world.ctx, world.db, id, Status::parked)) << timeline(world.ctx, world.db, id);
    auto details = details_of(world.ctx, world.db, id);
    EXPECT_THAT(details->saga.error, HasSubstr("The hotel is closed."));
    EXPECT_EQ(details->saga.attempts, 3);
    EXPECT_FALSE(details->saga.next_at);
    runtime::sleep_for(world.ctx, 10s);
    EXPECT_EQ(world.sagas.health().readiness, observe::Readiness::degraded);
    EXPECT_THAT(world.sagas.records().list(world.ctx, {.status = Status::parked}), SizeIs(1));

    broken = false;
    world.sagas.records().retry(world.ctx, id.text());
    ASSERT_TRUE(reaches(world.ctx, world.db, id, Status::compensated)) << timeline(world.ctx, world.db, id);
    EXPECT_EQ(undone, 1);
    EXPECT_THROW(world.sagas.records().retry(world.ctx, id.text()), Error);
    EXPECT_THROW(world.sagas.records().abandon(world.ctx, id.text(), "x"), Error);
    EXPECT_THROW(world.sagas.records().retry(world.ctx, "sag_none"), Error);
    runtime::sleep_for(world.ctx, 10s);
    EXPECT_EQ(world.sagas.health().readiness, observe::Readiness::ready);
  });
}

TEST_F(SagasTest, AnAbandonedSagaDoesNothingMore) {
  run([](World& world) {
    int acts = 0;
    Definition<Trip> trip("trip", 1);
    trip.step(
        "act", {.retry = {.attempts = 100, .backoff = {.base = 1s, .cap = 1s}}},
        [&](const Context&, Step<Trip>&) {
          ++acts;
          throw Error(ErrorCode::unavailable, "Not now.");
        },
        no_note());
    const auto handle = world.sagas.add(trip);
    world.sagas.run(world.ctx);
    const SagaId id = start(world, handle);
    ASSERT_TRUE(eventually(world.ctx, [&] { return acts == 2; }));
    world.sagas.records().abandon(world.ctx, id.text(), "done by hand");
    const int before = acts;
    runtime::sleep_for(world.ctx, 60s);
    EXPECT_LE(acts, before + 1);
    EXPECT_EQ(status_of(world.ctx, world.db, id), Status::abandoned);
    EXPECT_THAT(details_of(world.ctx, world.db, id)->history.back().error, "done by hand");
  });
}

TEST_F(SagasTest, KeepsARecordUntilItsRetentionIsOver) {
  SagaOptions options;
  options.retention = 24h;
  options.sweep_interval = 1h;
  options.sweep_batch = 2;
  options.lease = 1h;
  options.heartbeat = options.poll = 10min;
  run(
      [](World& world) {
        Definition<Trip> trip("trip", 1);
        trip.step("act", {}, nothing_done, no_note());
        Definition<Trip> stuck("stuck", 1);
        stuck.wait(
            "for ever", {.event = "e"},
            [](const Context&, sql::Transaction&, Step<Trip>&, const JsonText&) { return Heard::done; },
            fail_with("late", "Late."), no_note());
        const auto handle = world.sagas.add(trip);
        const auto waits = world.sagas.add(stuck);
        world.sagas.run(world.ctx);
        for (int i = 0; i < 3; ++i) start(world, handle);
        start(world, waits);
        for (int i = 0; i < 4; ++i) start(world, handle);
        runtime::sleep_for(world.ctx, 23h);
        EXPECT_EQ(world.db.query_value(world.ctx, "select count(*) from sagas"), 8);
        runtime::sleep_for(world.ctx, 3h);
        EXPECT_EQ(world.db.query_value(world.ctx, "select count(*) from sagas"), 1)
            << "the one that waits stays";
      },
      options);
}

TEST_F(SagasTest, RefusesOptionsThatCanNotWork) {
  run([](World& world) {
    const auto make = [&](const SagaOptions& options) {
      Sagas made(world.runtime, world.db, world.metrics, observe::Logger(), options);
    };
    SagaOptions options;
    options.heartbeat = 4s;
    EXPECT_THROW(make(options), Error);
    options = {};
    options.concurrency = 0;
    EXPECT_THROW(make(options), Error);
    Definition<Trip> empty("empty", 1);
    EXPECT_THROW(world.sagas.add(empty), Error);
    Definition<Trip> trip("trip", 1);
    trip.step("act", {}, nothing_done, no_note());
    world.sagas.add(trip);
    EXPECT_THROW(world.sagas.add(trip), Error) << "the same version twice";
    EXPECT_THROW(start(world, Handle<Trip>()), Error);
  });
}

}  // namespace
}  // namespace holdfast::saga
