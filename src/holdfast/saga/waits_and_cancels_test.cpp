// Waiting for events, cancelling, points of no return, versions: on simulated time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "holdfast/saga/sagas.hpp"
#include "holdfast/saga/testing/node.hpp"
#include "holdfast/sql/sqlite/database.hpp"

namespace holdfast::saga {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

struct Visit {
  std::vector<std::string> heard;
};
HOLDFAST_DESCRIBE(Visit, (heard))

const auto nothing_done = [](const Context&, Step<Visit>&) {};
const auto no_note = [] { return nothing_to_undo("it leaves nothing behind"); };
constexpr RetryOptions kSlowly{.attempts = 3,
                               .backoff = {.base = 1min, .cap = 1min, .jitter = resilience::Jitter::none}};

class SagaEvents : public ::testing::Test {
 protected:
  void run(const std::function<void(const Context&, sql::Database&, Sagas&, runtime::Runtime&)>& test) {
    runtime::Runtime runtime({.simulated = true, .manual_clock = &clock_}, clock_, random_);
    runtime.run([&](const Context& ctx) {
      const auto db = sql::sqlite::open_memory(runtime);
      sql::Migrator(*db, migrations()).up(ctx);
      observe::Metrics metrics;
      Sagas sagas(runtime, *db, metrics, observe::Logger());
      test(ctx, *db, sagas, runtime);
      sagas.stop(ctx.with_timeout(10s));
    });
  }

  /// act, wait for "paid" (its payload must be "yes"), finish.
  Definition<Visit> waiting(std::optional<Duration> deadline, bool fails_late = true) {
    Definition<Visit> visit("visit", 1);
    visit.step("act", {}, nothing_done,
               compensate([this](const Context&, Step<Visit>& step) { undone_.push_back(step.reason()); }));
    visit.wait(
        "money", {.event = "paid", .deadline = deadline},
        [](const Context&, sql::Transaction&, Step<Visit>& step, const JsonText& payload) {
          step.state().heard.push_back(payload.text());
          if (payload.text() == "\"no\"") throw Failure("declined", "The bank said no.");
          return payload.text() == "\"yes\"" ? Heard::done : Heard::keep_waiting;
        },
        [fails_late](const Context&, sql::Transaction&, Step<Visit>&) {
          if (fails_late) throw Failure("overdue", "Not paid in time.");
        },
        no_note());
    visit.step("finish", {}, nothing_done, no_note());
    return visit;
  }

  static SagaId start(const Context& ctx, sql::Database& db, Sagas& sagas, const Handle<Visit>& handle) {
    return db.transact(ctx, "start",
                       [&](sql::Transaction& tx) { return sagas.start(ctx, tx, handle, Visit{}, "k").id; });
  }
  static bool signal(const Context& ctx, sql::Database& db, Sagas& sagas, const char* payload,
                     const char* event = "paid") {
    return db.transact(ctx, "signal", [&](sql::Transaction& tx) {
      return sagas.signal(ctx, tx, SagaRef::by_key("visit", "k"), event, JsonText::parse(payload));
    });
  }
  static CancelAnswer cancel(const Context& ctx, sql::Database& db, Sagas& sagas, const SagaRef& saga) {
    return db.transact(ctx, "cancel", [&](sql::Transaction& tx) {
      return sagas.request_cancel(ctx, tx, saga, "Changed my mind.");
    });
  }

  ManualClock clock_;
  SeededRandom random_{3};
  std::vector<std::string> undone_;
};

TEST_F(SagaEvents, AWaitGoesOnAtOnceWhenItHearsWhatItWaitsFor) {
  run([&](const Context& ctx, sql::Database& db, Sagas& sagas, runtime::Runtime&) {
    const auto handle = sagas.add(waiting(30s));
    sagas.run(ctx);
    const SagaId id = start(ctx, db, sagas, handle);
    ASSERT_TRUE(reaches(ctx, db, id, Status::waiting));
    EXPECT_TRUE(signal(ctx, db, sagas, "\"maybe\""));
    runtime::sleep_for(ctx, 100ms);
    EXPECT_EQ(status_of(ctx, db, id), Status::waiting);
    EXPECT_TRUE(signal(ctx, db, sagas, "\"yes\"", "another event"));
    runtime::sleep_for(ctx, 100ms);
    EXPECT_EQ(status_of(ctx, db, id), Status::waiting);
    const Instant before = ctx.now();
    EXPECT_TRUE(signal(ctx, db, sagas, "\"yes\""));
    ASSERT_TRUE(reaches(ctx, db, id, Status::completed)) << timeline(ctx, db, id);
    EXPECT_LT(ctx.now() - before, 50ms);
    EXPECT_EQ(details_of(ctx, db, id)->state.text(), R"({"heard":["\"maybe\"","\"yes\""]})");
    EXPECT_FALSE(signal(ctx, db, sagas, "\"yes\"")) << "it has ended";
  });
}

TEST_F(SagaEvents, ASignalBeforeTheWaitIsKept) {
  run([&](const Context& ctx, sql::Database& db, Sagas& sagas, runtime::Runtime&) {
    const auto handle = sagas.add(waiting(30s));
    const SagaId id = start(ctx, db, sagas, handle);
    signal(ctx, db, sagas, "\"maybe\"");
    signal(ctx, db, sagas, "\"yes\"");
    const Instant before = ctx.now();
    sagas.run(ctx);
    ASSERT_TRUE(reaches(ctx, db, id, Status::completed)) << timeline(ctx, db, id);
    EXPECT_LT(ctx.now() - before, 2s);
  });
}

TEST_F(SagaEvents, ADeadlineEndsTheWaitAsItsDefinitionSays) {
  for (const bool fails : {true, false}) {
    run([&](const Context& ctx, sql::Database& db, Sagas& sagas, runtime::Runtime&) {
      const auto handle = sagas.add(waiting(30s, fails));
      sagas.run(ctx);
      const SagaId id = start(ctx, db, sagas, handle);
      ASSERT_TRUE(reaches(ctx, db, id, Status::waiting));
      signal(ctx, db, sagas, "\"maybe\"");
      runtime::sleep_for(ctx, 29s);
      EXPECT_EQ(status_of(ctx, db, id), Status::waiting) << "a signal that is not it moves no deadline";
      ASSERT_TRUE(reaches(ctx, db, id, fails ? Status::compensated : Status::completed))
          << timeline(ctx, db, id);
      const auto details = details_of(ctx, db, id);
      EXPECT_LT(*details->saga.finished_at - details->saga.started_at, 31s);
      EXPECT_EQ(details->saga.reason, fails ? "overdue" : "");
    });
  }
}

TEST_F(SagaEvents, AnEventMayFailTheSaga) {
  run([&](const Context& ctx, sql::Database& db, Sagas& sagas, runtime::Runtime&) {
    const auto handle = sagas.add(waiting(std::nullopt));
    sagas.run(ctx);
    const SagaId id = start(ctx, db, sagas, handle);
    signal(ctx, db, sagas, "\"no\"");
    ASSERT_TRUE(reaches(ctx, db, id, Status::compensated)) << timeline(ctx, db, id);
    EXPECT_THAT(undone_, ElementsAre("declined"));
  });
}

TEST_F(SagaEvents, ACancelWakesOneThatWaits) {
  run([&](const Context& ctx, sql::Database& db, Sagas& sagas, runtime::Runtime&) {
    const auto handle = sagas.add(waiting(std::nullopt));
    sagas.run(ctx);
    const SagaId id = start(ctx, db, sagas, handle);
    ASSERT_TRUE(reaches(ctx, db, id, Status::waiting));
    const Instant before = ctx.now();
    EXPECT_EQ(cancel(ctx, db, sagas, id), CancelAnswer::accepted);
    EXPECT_EQ(cancel(ctx, db, sagas, SagaRef::by_key("visit", "k")), CancelAnswer::accepted)
        << "twice is once";
    ASSERT_TRUE(reaches(ctx, db, id, Status::compensated)) << timeline(ctx, db, id);
    EXPECT_LT(ctx.now() - before, 50ms);
    EXPECT_THAT(undone_, ElementsAre("cancelled"));
    EXPECT_EQ(details_of(ctx, db, id)->saga.cancel_reason, "Changed my mind.");
    EXPECT_EQ(cancel(ctx, db, sagas, id), CancelAnswer::finished);
    EXPECT_EQ(cancel(ctx, db, sagas, SagaRef::by_key("visit", "x")), CancelAnswer::not_found);
  });
}

TEST_F(SagaEvents, ACancelDuringAnActIsSeenInItsCommitAndTheActIsUndone) {
  for (const bool last : {false, true}) {
    undone_.clear();
    run([&](const Context& ctx, sql::Database& db, Sagas& sagas, runtime::Runtime&) {
      int later = 0;
      runtime::Latch acting;
      Definition<Visit> visit("visit", 1);
      visit.step(
          "act", {},
          [&](const Context& inner, Step<Visit>&) {
            acting.open();
            runtime::sleep_for(inner, 1s);
          },
          compensate([&](const Context&, Step<Visit>& step) { undone_.push_back(step.reason_detail()); }));
      if (!last)
        visit.step(
            "pivot", {.pivot = true}, [&](const Context&, Step<Visit>&) { ++later; }, no_note());
      const auto handle = sagas.add(visit);
      sagas.run(ctx);
      const SagaId id = start(ctx, db, sagas, handle);
      acting.wait(ctx, "test");
      EXPECT_EQ(cancel(ctx, db, sagas, id), CancelAnswer::accepted);
      ASSERT_TRUE(reaches(ctx, db, id, Status::compensated)) << timeline(ctx, db, id);
      EXPECT_THAT(undone_, ElementsAre("Changed my mind."));
      EXPECT_EQ(later, 0);
    });
  }
}

TEST_F(SagaEvents, ACancelWhileBackingOffUndoesTheDoubtfulActAtOnce) {
  run([&](const Context& ctx, sql::Database& db, Sagas& sagas, runtime::Runtime&) {
    int attempts = 0;
    Definition<Visit> visit("visit", 1);
    visit.step(
        "act", {.retry = kSlowly},
        [&](const Context&, Step<Visit>&) {
          ++attempts;
          throw Error(ErrorCode::unavailable, "Not now.");
        },
        compensate([&](const Context&, Step<Visit>& step) { undone_.push_back(step.name()); }));
    const auto handle = sagas.add(visit);
    sagas.run(ctx);
    const SagaId id = start(ctx, db, sagas, handle);
    ASSERT_TRUE(eventually(ctx, [&] { return attempts == 1; }));
    runtime::sleep_for(ctx, 1s);
    const Instant before = ctx.now();
    EXPECT_EQ(cancel(ctx, db, sagas, id), CancelAnswer::accepted);
    ASSERT_TRUE(reaches(ctx, db, id, Status::compensated)) << timeline(ctx, db, id);
    EXPECT_LT(ctx.now() - before, 50ms);
    EXPECT_THAT(undone_, ElementsAre("act"));
    EXPECT_EQ(attempts, 1);
  });
}

TEST_F(SagaEvents, ACancelUndoesTheActThatItsWorkerWasAtWhenItEnded) {
  for (const bool killed : {true, false}) {
    undone_.clear();
    run([&](const Context& ctx, sql::Database& db, Sagas& sagas, runtime::Runtime& runtime) {
      runtime::Latch acting;
      bool interrupted = false;
      Definition<Visit> visit("visit", 1);
      visit.step(
          "act", {},
          [&](const Context& inner, Step<Visit>&) {
            acting.open();
            runtime::sleep_for(inner, 5s);
          },
          compensate([&](const Context&, Step<Visit>& step) {
            undone_.push_back(step.name());
            interrupted = step.interrupted();
          }));
      observe::Metrics metrics;
      Sagas first(runtime, db, metrics, observe::Logger());
      const auto handle = first.add(visit);
      first.run(ctx);
      const SagaId id = start(ctx, db, first, handle);
      acting.wait(ctx, "test");
      killed ? first.crash() : first.stop(ctx.with_timeout(1s));
      EXPECT_EQ(cancel(ctx, db, sagas, id), CancelAnswer::accepted);
      sagas.add(visit);
      sagas.run(ctx);
      ASSERT_TRUE(reaches(ctx, db, id, Status::compensated)) << timeline(ctx, db, id);
      EXPECT_THAT(undone_, ElementsAre("act")) << "killed: " << killed;
      EXPECT_FALSE(interrupted) << "the compensation is begun for the first time";
    });
  }
}

TEST_F(SagaEvents, PastThePointOfNoReturnNothingIsUndone) {
  run([&](const Context& ctx, sql::Database& db, Sagas& sagas, runtime::Runtime&) {
    bool broken = true;
    int attempts = 0;
    Definition<Visit> visit("visit", 1);
    visit.step("act", {}, nothing_done,
               compensate([&](const Context&, Step<Visit>&) { undone_.emplace_back("act"); }));
    visit.step("capture", {.pivot = true}, nothing_done,
               compensate([&](const Context&, Step<Visit>&) { undone_.emplace_back("capture"); }));
    visit.step(
        "ship", {.retry = kSlowly},
        [&](const Context&, Step<Visit>&) {
          ++attempts;
          if (broken) throw Error(ErrorCode::unavailable, "Not now.");
        },
        no_note());
    const auto handle = sagas.add(visit);
    sagas.run(ctx);
    const SagaId id = start(ctx, db, sagas, handle);
    ASSERT_TRUE(eventually(ctx, [&] { return attempts == 1; }));
    EXPECT_EQ(cancel(ctx, db, sagas, id), CancelAnswer::too_late);
    ASSERT_TRUE(eventually(ctx, [&] { return attempts == 3; }));
    ASSERT_TRUE(reaches(ctx, db, id, Status::parked)) << timeline(ctx, db, id);
    EXPECT_EQ(attempts, 3);
    EXPECT_THAT(undone_, IsEmpty());
    broken = false;
    sagas.records().retry(ctx, id.text());
    ASSERT_TRUE(reaches(ctx, db, id, Status::completed)) << timeline(ctx, db, id);
    EXPECT_THAT(undone_, IsEmpty());
  });
}

TEST_F(SagaEvents, APivotThatSurelyDidNotHappenIsStillUndone) {
  run([&](const Context& ctx, sql::Database& db, Sagas& sagas, runtime::Runtime&) {
    Definition<Visit> visit("visit", 1);
    visit.step("act", {}, nothing_done,
               compensate([&](const Context&, Step<Visit>&) { undone_.emplace_back("act"); }));
    visit.step(
        "capture", {.pivot = true},
        [](const Context&, Step<Visit>&) { throw Failure("expired", "The authorization has expired."); },
        no_note());
    const auto handle = sagas.add(visit);
    sagas.run(ctx);
    const SagaId id = start(ctx, db, sagas, handle);
    ASSERT_TRUE(reaches(ctx, db, id, Status::compensated)) << timeline(ctx, db, id);
    EXPECT_THAT(undone_, ElementsAre("act"));
  });
}

TEST_F(SagaEvents, ARunningSagaKeepsItsVersionAndAnUnknownOneIsLeftAloneAndShown) {
  run([&](const Context& ctx, sql::Database& db, Sagas& old, runtime::Runtime& runtime) {
    std::vector<std::string> acts;
    const auto version = [&](int number) {
      Definition<Visit> visit("visit", number);
      visit.wait(
          "go", {.event = "go"},
          [](const Context&, sql::Transaction&, Step<Visit>&, const JsonText&) { return Heard::done; },
          fail_with("late", "Late."), no_note());
      visit.step(
          "act", {},
          [&acts, number](const Context&, Step<Visit>&) {
            acts.push_back("version " + std::to_string(number));
          },
          no_note());
      return visit;
    };
    const SagaId first = start(ctx, db, old, old.add(version(1)));
    observe::Metrics metrics;
    {
      Sagas only_new(runtime, db, metrics, observe::Logger());
      only_new.add(version(2));
      only_new.run(ctx);
      db.transact(ctx, [&](sql::Transaction& tx) { return only_new.signal(ctx, tx, first, "go"); });
      runtime::sleep_for(ctx, 10s);
      EXPECT_THAT(acts, IsEmpty());
      EXPECT_EQ(metrics.gauge("holdfast_saga_orphaned", "").value(), 1);
      EXPECT_EQ(only_new.health().readiness, observe::Readiness::degraded);
      EXPECT_EQ(only_new.health().reason, "1 sagas wait for a release that knows visit version 1");
      only_new.stop(ctx.with_timeout(5s));
    }
    Sagas both(runtime, db, metrics, observe::Logger());
    both.add(version(1));
    const auto newest = both.add(version(2));
    both.run(ctx);
    const SagaId second = db.transact(
        ctx, [&](sql::Transaction& tx) { return both.start(ctx, tx, newest, Visit{}, "other").id; });
    db.transact(ctx, [&](sql::Transaction& tx) { return both.signal(ctx, tx, second, "go"); });
    ASSERT_TRUE(reaches(ctx, db, first, Status::completed)) << timeline(ctx, db, first);
    ASSERT_TRUE(reaches(ctx, db, second, Status::completed)) << timeline(ctx, db, second);
    EXPECT_THAT(acts, ::testing::UnorderedElementsAre("version 1", "version 2"));
    both.stop(ctx.with_timeout(5s));
  });
}

TEST_F(SagaEvents, ActsContinueTheTraceOfWhoeverStartedThem) {
  run([&](const Context& plain, sql::Database& db, Sagas& sagas, runtime::Runtime& runtime) {
    std::vector<std::string> traces;
    Definition<Visit> visit("visit", 1);
    visit.step(
        "act", {},
        [&](const Context& ctx, Step<Visit>&) {
          traces.push_back(ctx.trace().trace_id_hex());
          traces.push_back(ctx.request_id());
        },
        no_note());
    const auto handle = sagas.add(visit);
    sagas.run(plain);
    const Context ctx =
        plain.with_trace(observe::TraceContext::start(runtime.random())).with_request_id("req-1");
    const SagaId id = start(ctx, db, sagas, handle);
    ASSERT_TRUE(reaches(plain, db, id, Status::completed));
    EXPECT_THAT(traces, ElementsAre(ctx.trace().trace_id_hex(), "req-1"));
    EXPECT_EQ(details_of(plain, db, id)->trace_id, ctx.trace().trace_id_hex());
  });
}

}  // namespace
}  // namespace holdfast::saga
