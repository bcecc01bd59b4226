// Rows that a release can't read, and what throws around the acts: a person sees to one saga, the others go
// on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "holdfast/saga/sagas.hpp"
#include "holdfast/saga/testing/node.hpp"
#include "holdfast/sql/sqlite/database.hpp"

namespace holdfast::saga {

/// A text that may be one that can't be written.
struct Label {
  std::string text;
};

}  // namespace holdfast::saga

template <>
struct holdfast::TextForm<holdfast::saga::Label> {
  static void append(std::string& out, const saga::Label& label) {
    if (label.text == "unwritable") throw std::runtime_error("There is no ink.");
    out += label.text;
  }
  static std::optional<saga::Label> parse(std::string_view text) { return saga::Label{std::string(text)}; }
  static constexpr TextSchema schema{.what = "a label", .example = "a"};
};

namespace holdfast::saga {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

struct Job {
  Label label;
};
HOLDFAST_DESCRIBE(Job, (label))

class UnreadableSagas : public ::testing::Test {
 protected:
  void run(const std::function<void(const Context&, sql::Database&, Sagas&)>& test) {
    runtime::Runtime runtime({.simulated = true, .manual_clock = &clock_}, clock_, random_);
    runtime.run([&](const Context& ctx) {
      const auto db = sql::sqlite::open_memory(runtime);
      sql::Migrator(*db, migrations()).up(ctx);
      observe::Metrics metrics;
      Sagas sagas(runtime, *db, metrics, observe::Logger());
      test(ctx, *db, sagas);
      sagas.stop(ctx.with_timeout(10s));
    });
  }

  static SagaId start(const Context& ctx, sql::Database& db, Sagas& sagas, const Handle<Job>& handle) {
    return db.transact(ctx, "start",
                       [&](sql::Transaction& tx) { return sagas.start(ctx, tx, handle, Job{}).id; });
  }
  static void write(const Context& ctx, sql::Database& db, const std::string& set, const SagaId& id) {
    db.transact(ctx, "damage", [&](sql::Transaction& tx) {
      ASSERT_EQ(tx.execute("update sagas set " + set + " where id = $1", id), 1);
    });
  }
  static SagaSummary listed(const Context& ctx, Sagas& sagas, const SagaId& id) {
    for (SagaSummary& saga : sagas.records().list(ctx)) {
      if (saga.id == id.text()) return saga;
    }
    ADD_FAILURE() << "not in the list";
    return {};
  }
  Definition<Job> job() {
    Definition<Job> made("job", 1);
    made.step(
        "act", {}, [this](const Context&, Step<Job>&) { ++acts_; }, nothing_to_undo("a test"));
    return made;
  }

  ManualClock clock_;
  SeededRandom random_{5};
  int acts_ = 0;
};

TEST_F(UnreadableSagas, AreParkedAloneWhileTheOthersOfTheirBatchGoOn) {
  run([&](const Context& ctx, sql::Database& db, Sagas& sagas) {
    constexpr std::size_t kSagas = 20;  // one batch
    const auto handle = sagas.add(job());
    std::vector<SagaId> ids;
    for (std::size_t i = 0; i < kSagas; ++i) ids.push_back(start(ctx, db, sagas, handle));
    write(ctx, db, "status = 'pausing'", ids[3]);
    write(ctx, db, "attempts = 'many'", ids[7]);
    write(ctx, db, "step = 4", ids[11]);
    sagas.run(ctx);
    for (std::size_t i = 0; i < kSagas; ++i) {
      const bool bad = i == 3 || i == 7 || i == 11;
      EXPECT_TRUE(reaches(ctx, db, ids[i], bad ? Status::parked : Status::completed)) << i;
    }
    EXPECT_EQ(acts_, static_cast<int>(kSagas) - 3);
    EXPECT_THAT(listed(ctx, sagas, ids[3]).error, HasSubstr("pausing"));
    EXPECT_THAT(listed(ctx, sagas, ids[7]).error, HasSubstr("attempts"));
    EXPECT_THAT(listed(ctx, sagas, ids[11]).error, HasSubstr("step 4 of 1"));
    EXPECT_EQ(timeline(ctx, db, ids[3]), "started, parked");

    sagas.records().retry(ctx, ids[7].text());  // which sets the attempts to zero
    EXPECT_TRUE(reaches(ctx, db, ids[7], Status::completed)) << timeline(ctx, db, ids[7]);
    write(ctx, db, "step = 0", ids[11]);
    sagas.records().retry(ctx, ids[11].text());
    EXPECT_TRUE(reaches(ctx, db, ids[11], Status::completed)) << timeline(ctx, db, ids[11]);
  });
}

TEST_F(UnreadableSagas, AreListedAndShownWithWhatThereIsOfThem) {
  run([&](const Context& ctx, sql::Database& db, Sagas& sagas) {
    const auto handle = sagas.add(job());
    const SagaId good = start(ctx, db, sagas, handle);
    const SagaId bad = start(ctx, db, sagas, handle);
    write(ctx, db, "status = 'pausing', state = '{\"label\":', history = 'torn,'", bad);
    const SagaId newest = start(ctx, db, sagas, handle);

    const auto all = sagas.records().list(ctx);
    ASSERT_EQ(all.size(), 3U);
    EXPECT_EQ(all[0].id, newest.text());
    EXPECT_EQ(all[1].id, bad.text());
    EXPECT_EQ(all[1].status, Status::unreadable);
    EXPECT_EQ(all[1].definition, "job");
    EXPECT_EQ(all[1].step, "act");
    EXPECT_THAT(all[1].error, HasSubstr("pausing"));
    EXPECT_EQ(all[2].id, good.text());
    EXPECT_EQ(all[2].status, Status::running);
    EXPECT_EQ(sagas.records().list(ctx, {}, newest.text(), 1).front().id, bad.text());
    EXPECT_EQ(sagas.records().list(ctx, {.unfinished = true}).size(), 3U);

    const auto shown = sagas.records().find(ctx, bad.text());
    ASSERT_TRUE(shown);
    EXPECT_EQ(shown->saga.status, Status::unreadable);
    EXPECT_EQ(shown->state.text(), R"("{\"label\":")");
    ASSERT_EQ(shown->history.size(), 2U);
    EXPECT_EQ(shown->history[1].what, "unreadable");
    sagas.records().abandon(ctx, bad.text(), "It can't be saved.");
    EXPECT_EQ(listed(ctx, sagas, bad).status, Status::abandoned);
  });
}

TEST_F(UnreadableSagas, AConditionThatThrowsParksItsSagaOnly) {
  run([&](const Context& ctx, sql::Database& db, Sagas& sagas) {
    bool throws = true;
    Definition<Job> made("job", 1);
    made.step(
            "act", {}, [this](const Context&, Step<Job>&) { ++acts_; }, nothing_to_undo("a test"))
        .only_if([&](const Job&) -> bool {
          if (throws) throw 42;  // NOLINT: of all things
          return false;
        });
    const auto handle = sagas.add(made);
    sagas.run(ctx);
    const SagaId id = start(ctx, db, sagas, handle);
    ASSERT_TRUE(reaches(ctx, db, id, Status::parked)) << timeline(ctx, db, id);
    EXPECT_THAT(listed(ctx, sagas, id).error, HasSubstr("no std::exception"));
    throws = false;
    sagas.records().retry(ctx, id.text());
    ASSERT_TRUE(reaches(ctx, db, id, Status::completed)) << timeline(ctx, db, id);
    EXPECT_EQ(acts_, 0) << "it was not needed, and nothing says that it may have happened";
  });
}

TEST_F(UnreadableSagas, AnActWhoseResultCanNotBeWrittenIsParkedAndUndoneWhenCancelled) {
  run([&](const Context& ctx, sql::Database& db, Sagas& sagas) {
    int undone = 0;
    Definition<Job> made("job", 1);
    made.step(
        "act", {},
        [this](const Context&, Step<Job>& step) {
          ++acts_;
          step.state().label.text = "unwritable";
        },
        compensate([&](const Context&, Step<Job>&) { ++undone; }));
    const auto handle = sagas.add(made);
    sagas.run(ctx);
    const SagaId id = start(ctx, db, sagas, handle);
    ASSERT_TRUE(reaches(ctx, db, id, Status::parked)) << timeline(ctx, db, id);
    EXPECT_EQ(acts_, 1) << "it is not done again and again";
    EXPECT_THAT(listed(ctx, sagas, id).error, HasSubstr("There is no ink."));
    db.transact(ctx, "cancel", [&](sql::Transaction& tx) {
      EXPECT_EQ(sagas.request_cancel(ctx, tx, id, "no use"), CancelAnswer::accepted);
    });
    ASSERT_TRUE(reaches(ctx, db, id, Status::compensated)) << timeline(ctx, db, id);
    EXPECT_EQ(undone, 1) << "what was done is undone, though its result is unknown";
  });
}

}  // namespace
}  // namespace holdfast::saga
