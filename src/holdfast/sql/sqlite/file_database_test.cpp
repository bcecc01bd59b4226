// What only a file has to show: groups, the queue, faults of the disk, other processes, kill -9.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/runtime/sync.hpp"
#include "holdfast/sql/sqlite/database.hpp"
#include "holdfast/sql/testing/temporary_folder.hpp"

namespace holdfast::sql::sqlite {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

/// Holds the writer inside a body until it is let go.
class Hold {
 public:
  explicit Hold(Database& db) : db_(db) {}

  void spawn(runtime::FiberGroup& group) {
    group.spawn("hold the writer", [this](const Context& ctx) {
      db_.transact(ctx, "hold", [this](Transaction&) {
        held_.store(true);
        released_.wait(false);
      });
    });
    while (!held_) runtime::yield();
  }
  void release() {
    released_.store(true);
    released_.notify_all();
  }

 private:
  Database& db_;
  std::atomic<bool> held_ = false;
  std::atomic<bool> released_ = false;
};

class FileDatabaseTest : public ::testing::Test {
 protected:
  using Test = std::function<void(const Context&, Database&)>;

  std::string path() const { return folder_.path() / "test.db"; }
  Options options() const { return {.path = path()}; }

  void run(const Test& test) { run(options(), test); }
  void run(const Options& options, const Test& test) {
    runtime::Runtime runtime({.loops = 2}, clock_, random_);
    runtime_ = &runtime;
    runtime.run([&](const Context& ctx) {
      const auto db = open_file(runtime, options);
      db->transact(ctx, "schema", [](Transaction& tx) {
        tx.execute("create table if not exists t(n integer primary key, filler blob)");
      });
      test(ctx, *db);
    });
  }

  static void insert(const Context& ctx, Database& db, std::int64_t n, std::size_t filler = 0) {
    db.transact(ctx, "insert", [&](Transaction& tx) {
      tx.execute("insert into t values($1, $2)", n, std::vector<std::byte>(filler));
    });
  }
  static std::int64_t count(const Context& ctx, Database& db) {
    return db.query_value(ctx, "select count(*) from t");
  }
  /// Whether an insert works; what it throws otherwise must be the clear "unavailable".
  static bool takes(const Context& ctx, Database& db, std::int64_t n, std::size_t filler) {
    try {
      insert(ctx, db, n, filler);
      return true;
    } catch (const DatabaseError& failure) {
      EXPECT_EQ(failure.kind(), FailureKind::unavailable) << failure.what();
      EXPECT_EQ(failure.code(), ErrorCode::unavailable);
      EXPECT_TRUE(failure.retry_after());
      return false;
    }
  }

  TemporaryFolder folder_;
  SystemClock clock_;
  SystemRandom random_;
  runtime::Runtime* runtime_ = nullptr;
};

TEST_F(FileDatabaseTest, WhatComesWhileTheWriterIsBusyIsOneGroup) {
  run([](const Context& ctx, Database& db) {
    runtime::Signal signal;
    Hold hold(db);
    runtime::FiberGroup group(ctx);
    hold.spawn(group);
    const auto before = db.statistics();
    for (int i = 0; i < 50; ++i) {
      group.spawn("insert", [&, i](const Context& fiber) {
        db.transact(fiber, "insert", [&](Transaction& tx) {
          tx.execute("insert into t(n) values($1)", i);
          tx.after_commit(signal);
        });
      });
    }
    while (db.statistics().queue_depth < 50) runtime::yield();
    hold.release();
    group.wait();
    const auto after = db.statistics();
    EXPECT_EQ(after.groups - before.groups, 2U);  // the holding one, and all the others
    EXPECT_EQ(after.largest_group, 50U);
    EXPECT_EQ(after.group_reruns, 0U);
    EXPECT_EQ(signal.version(), 1U);
    EXPECT_EQ(count(ctx, db), 50);
  });
}

TEST_F(FileDatabaseTest, AFailureHasItsGroupRunAgainOnce) {
  run([](const Context& ctx, Database& db) {
    Hold hold(db);
    runtime::FiberGroup group(ctx);
    hold.spawn(group);
    std::array<int, 5> runs{};
    int notified = 0;
    for (std::size_t i = 0; i < runs.size(); ++i) {
      group.spawn("insert", [&, i](const Context& fiber) {
        try {
          db.transact(fiber, "insert", [&](Transaction& tx) {
            ++runs[i];
            tx.execute("insert into t(n) values($1)", i);
            tx.on_commit([&] { ++notified; });
            if (i == 2) throw Error(ErrorCode::conflict, "no");
          });
        } catch (const Error& error) {
          EXPECT_EQ(error.code(), ErrorCode::conflict);
        }
      });
    }
    while (db.statistics().queue_depth < 5) runtime::yield();
    hold.release();
    group.wait();
    EXPECT_THAT(runs, ::testing::ElementsAre(2, 2, 2, 1, 1));
    EXPECT_EQ(notified, 4);
    EXPECT_EQ(db.statistics().group_reruns, 1U);
    EXPECT_EQ(db.statistics().rolled_back, 1U);
    EXPECT_EQ(db.query_value(ctx, "select sum(n) from t"), 0 + 1 + 3 + 4);
  });
}

TEST_F(FileDatabaseTest, ACallerWhoseTimeRunsOutInTheQueueIsToldAtOnceAndItsBodyNeverRuns) {
  run([](const Context& ctx, Database& db) {
    Hold hold(db);
    runtime::FiberGroup group(ctx);
    hold.spawn(group);
    runtime::CancellationSource source;
    bool ran = false;
    const auto body = [&](Transaction&) { ran = true; };
    const auto code_of = [&](const Context& bounded) {
      try {
        db.transact(bounded, "late", body);
      } catch (const Error& error) {
        return error.code();
      }
      return ErrorCode::internal;
    };
    EXPECT_EQ(code_of(ctx.with_timeout(5ms)), ErrorCode::deadline_exceeded);
    group.spawn("cancel", [&](const Context&) { source.cancel(); });
    EXPECT_EQ(code_of(ctx.with_cancellation(source.token())), ErrorCode::cancelled);
    EXPECT_EQ(db.statistics().queue_depth, 0U);
    EXPECT_EQ(db.statistics().expired_in_queue, 2U);
    hold.release();
    group.wait();
    insert(ctx, db, 1);
    EXPECT_FALSE(ran);
  });
}

TEST_F(FileDatabaseTest, AFullQueueRefusesAndServesAgain) {
  Options small = options();
  small.max_queue = 4;
  run(small, [](const Context& ctx, Database& db) {
    Hold hold(db);
    runtime::FiberGroup group(ctx);
    hold.spawn(group);
    for (int i = 0; i < 4; ++i) {
      group.spawn("insert", [&, i](const Context& fiber) { insert(fiber, db, i); });
    }
    while (db.statistics().queue_depth < 4) runtime::yield();
    try {
      insert(ctx, db, 99);
      ADD_FAILURE() << "the queue took more than its limit";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::unavailable);
      EXPECT_TRUE(error.retry_after());
    }
    hold.release();
    group.wait();
    EXPECT_EQ(count(ctx, db), 4);
    EXPECT_EQ(db.statistics().refused, 1U);
    insert(ctx, db, 99);
  });
}

TEST_F(FileDatabaseTest, AFullDatabaseSaysUnavailableAndServesAgainWithSpace) {
  run([](const Context& ctx, Database& db) {
    const auto limit = [&](std::int64_t pages) {
      db.transact(ctx, "limit", [&](Transaction& tx) {
        tx.query_value("pragma max_page_count = " + std::to_string(pages));
      });
    };
    limit(40);
    std::int64_t taken = 0;
    while (taken < 100 && takes(ctx, db, taken, 4000)) ++taken;
    EXPECT_GT(taken, 10);
    EXPECT_LT(taken, 100) << "the limit was never met";
    EXPECT_EQ(count(ctx, db), taken);
    limit(1000);
    EXPECT_TRUE(takes(ctx, db, taken, 4000));
    EXPECT_EQ(count(ctx, db), taken + 1);
  });
}

/// While it lives, no file of this process may grow beyond `bytes`: writes fail as on a broken disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    previous_ = ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    ::signal(SIGXFSZ, previous_);
  }

 private:
  rlimit before_{};
  void (*previous_)(int) = nullptr;
};

TEST_F(FileDatabaseTest, AFailedCommitIsNobodysSuccess) {
  run([this](const Context& ctx, Database& db) {
    insert(ctx, db, 0, 4000);
    std::atomic<int> failed = 0;
    {
      Hold hold(db);
      runtime::FiberGroup group(ctx);
      hold.spawn(group);
      for (int i = 1; i <= 10; ++i) {
        group.spawn("insert", [&, i](const Context& fiber) { failed += takes(fiber, db, i, 4000) ? 0 : 1; });
      }
      while (db.statistics().queue_depth < 10) runtime::yield();
      const FileSizeLimit limit(std::filesystem::file_size(path() + "-wal") + 8192);
      hold.release();
      group.wait();
      EXPECT_EQ(failed, 10);
      EXPECT_EQ(count(ctx, db), 1) << "reads go on";
    }
    EXPECT_TRUE(takes(ctx, db, 11, 4000)) << "service returns with the disk";
    EXPECT_EQ(count(ctx, db), 2);
    EXPECT_EQ(db.query_value<std::string>(ctx, "pragma integrity_check"), "ok");
  });
}

TEST_F(FileDatabaseTest, AReadOnlyDatabaseSaysUnavailableAndServesAgain) {
  run([](const Context& ctx, Database& db) {
    insert(ctx, db, 0);
    db.transact(ctx, "make it refuse writes", [](Transaction& tx) { tx.execute("pragma query_only = on"); });
    EXPECT_FALSE(takes(ctx, db, 1, 0));
    EXPECT_TRUE(takes(ctx, db, 1, 0)) << "the writer opens the file anew";
    EXPECT_EQ(count(ctx, db), 2);
  });
}

TEST_F(FileDatabaseTest, AFileThatCannotBeOpenedIsNamed) {
  runtime::Runtime runtime({.loops = 1}, clock_, random_);
  try {
    open_file(runtime, {.path = "/nowhere/at/all.db"});
    ADD_FAILURE() << "opened";
  } catch (const DatabaseError& failure) {
    EXPECT_EQ(failure.kind(), FailureKind::unavailable);
    EXPECT_THAT(failure.what(), HasSubstr("/nowhere/at/all.db"));
  }
}

TEST_F(FileDatabaseTest, AQueryEndsAtItsDeadline) {
  run([](const Context& ctx, Database& db) {
    constexpr const char* kEndless =
        "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n";
    for (const bool offload : {false, true}) {
      const auto read = [&](const Context& bounded) {
        return db.read(bounded, {.offload = offload}, [&](Snapshot& s) { return s.query_value(kEndless); });
      };
      try {
        read(ctx.with_timeout(20ms));
        ADD_FAILURE() << "it ended";
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::deadline_exceeded) << error.what();
      }
    }
    EXPECT_EQ(db.query_value(ctx, "select 1"), 1);
  });
}

TEST_F(FileDatabaseTest, ASnapshotSeesOneState) {
  run([](const Context& ctx, Database& db) {
    insert(ctx, db, 1);
    runtime::Latch began;
    std::atomic<bool> written = false;
    runtime::FiberGroup group(ctx);
    group.spawn("report", [&](const Context& fiber) {
      const auto counts = db.read(fiber, {.offload = true}, [&](Snapshot& s) {
        const auto first = s.query_value("select count(*) from t");
        began.open();
        written.wait(false);
        return std::pair(first, s.query_value("select count(*) from t"));
      });
      EXPECT_EQ(counts, std::pair(std::int64_t{1}, std::int64_t{1}));
    });
    began.wait(ctx, "the report's start");
    insert(ctx, db, 2);
    written = true;
    written.notify_all();
    group.wait();
    EXPECT_EQ(count(ctx, db), 2);
  });
}

TEST_F(FileDatabaseTest, PlainThreadsMayWriteAndReadToo) {
  run([this](const Context& ctx, Database& db) {
    std::atomic<bool> done = false;
    std::thread thread([&] {
      const Context own = runtime_->context();
      insert(own, db, 1);
      EXPECT_EQ(count(own, db), 1);
      done = true;
    });
    while (!done) runtime::sleep_for(ctx, 1ms);
    thread.join();
  });
}

TEST_F(FileDatabaseTest, TheLogIsEmptiedIntoTheDatabase) {
  Options eager = options();
  eager.checkpoint_pages = 20;
  run(eager, [this](const Context& ctx, Database& db) {
    for (int i = 0; i < 200; ++i) insert(ctx, db, i, 4000);
    EXPECT_GT(db.statistics().checkpoints, 5U);
    EXPECT_LT(std::filesystem::file_size(path() + "-wal"), 60U * 4200U);
  });
  EXPECT_FALSE(std::filesystem::exists(path() + "-wal")) << "the last to close leaves one file";
}

// Two of them on one file stand for two processes: they share nothing but the file and its locks.
TEST_F(FileDatabaseTest, TwoWritersOfOneFileTakeTurns) {
  run([this](const Context& ctx, Database& first) {
    const auto second = open_file(*runtime_, options());
    std::atomic<int> total = 0;
    std::array<int, 2> written{};
    runtime::FiberGroup group(ctx);
    for (std::size_t which : {0U, 1U}) {
      Database& db = which == 0 ? first : *second;
      for (int fiber = 0; fiber < 4; ++fiber) {
        group.spawn("write", [&, which](const Context& own) {
          for (int n = 0; (n = total++) < 600; ++written[which]) insert(own, db, n);
        });
      }
    }
    group.wait();
    EXPECT_EQ(count(ctx, first), 600);
    EXPECT_EQ(count(ctx, *second), 600);
    EXPECT_GT(written[0], 150) << "starved by the other, which wrote " << written[1];
    EXPECT_GT(written[1], 150) << "starved by the other, which wrote " << written[0];
  });
}

TEST_F(FileDatabaseTest, WhoWaitsForAnotherProcessCanStillLeave) {
  run([this](const Context& ctx, Database& db) {
    const auto other = open_file(*runtime_, options());
    Hold hold(*other);
    runtime::FiberGroup group(ctx);
    hold.spawn(group);
    try {
      db.transact(ctx.with_timeout(20ms), "blocked", [](Transaction&) { ADD_FAILURE() << "ran"; });
      ADD_FAILURE() << "two wrote at once";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::deadline_exceeded);
    }
    hold.release();
    group.wait();
    insert(ctx, db, 1);
    EXPECT_EQ(count(ctx, db), 1);
  });
}

TEST_F(FileDatabaseTest, AnotherProcessesCommitIsNoticedAndOnesOwnIsNot) {
  run([this](const Context& ctx, Database& db) {
    const auto other = open_file(*runtime_, options());
    runtime::Signal signal;
    {
      const ExternalWatch watch = db.watch_external_changes(signal);
      insert(ctx, db, 1);
      insert(ctx, db, 2);
      const auto seen = signal.version();
      insert(ctx, *other, 3);
      EXPECT_EQ(signal.wait_past(ctx.with_timeout(10s), seen, "the other's commit"),
                runtime::Woken::by_event);
    }
    const auto noticed = db.statistics().external_changes;
    EXPECT_EQ(noticed, 1U);
    insert(ctx, *other, 4);
    runtime::sleep_for(ctx, 30ms);  // nobody watches: nothing may come
    EXPECT_EQ(signal.version(), 1U);
  });
}

// The child commits as fast as it can and says which are acknowledged; then it is killed.
TEST_F(FileDatabaseTest, WhatWasAcknowledgedSurvivesKillNine) {
  constexpr int kRounds = 5;
  std::int64_t next = 0;
  std::vector<std::int64_t> acknowledged;
  for (int round = 0; round < kRounds; ++round) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::close(ends[0]);
      run([&](const Context& ctx, Database& db) {
        runtime::FiberGroup group(ctx);
        for (int fiber = 0; fiber < 32; ++fiber) {
          group.spawn("write", [&](const Context& own) {
            for (;;) {
              const std::int64_t n = next++;
              insert(own, db, n, 100);
              if (::write(ends[1], &n, sizeof n) != sizeof n) ::_exit(1);
            }
          });
        }
        group.wait();
      });
      ::_exit(2);
    }
    ::close(ends[1]);
    std::int64_t n = 0;
    for (std::size_t read = 0; ::read(ends[0], &n, sizeof n) == sizeof n;) {
      acknowledged.push_back(n);
      if (++read == 200U + 77U * static_cast<unsigned>(round)) ::kill(child, SIGKILL);  // then drain the pipe
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself: " << status;
    ::close(ends[0]);
    next = *std::max_element(acknowledged.begin(), acknowledged.end()) + 1000;
  }
  run([&](const Context& ctx, Database& db) {
    EXPECT_EQ(db.query_value<std::string>(ctx, "pragma integrity_check"), "ok");
    for (const std::int64_t n : acknowledged) {
      EXPECT_EQ(db.query_value(ctx, "select count(*) from t where n = $1", n), 1) << n << " was acknowledged";
    }
    EXPECT_GE(acknowledged.size(), 1000U);
    insert(ctx, db, next, 0);
  });
}

}  // namespace
}  // namespace holdfast::sql::sqlite
