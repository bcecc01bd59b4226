// Several processes on one database: shares, takeover, fences, kill -9.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "holdfast/messaging/embedded/broker.hpp"
#include "holdfast/messaging/schema.hpp"
#include "holdfast/messaging/testing/node.hpp"
#include "holdfast/runtime/sync.hpp"
#include "holdfast/sql/testing/test_database.hpp"

namespace holdfast::messaging {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::SizeIs;

// Several processes on one file: several nodes, each with a Database of its own.

class BrokerProcesses : public ::testing::Test {
 protected:
  static constexpr BrokerOptions kImpatient{.lease = 600ms, .heartbeat = 100ms, .poll = 100ms};
  // Where nobody dies: a lease that a slow machine loses would have messages handled again.
  static constexpr BrokerOptions kPatient{.lease = 10s, .heartbeat = 100ms, .poll = 100ms};

  void run(const std::function<void(const Context&)>& test) {
    runtime_.emplace(runtime::Runtime::Options{.loops = 1}, clock_, random_);
    runtime_->run([&](const Context& ctx) {
      {
        auto db = open();
        sql::Migrator(*db, migrations()).up(ctx);
      }
      test(ctx);
      runtime::sleep_for(ctx, 1ms);  // the databases' own fibers see that they are closed
    });
  }
  std::unique_ptr<sql::Database> open() { return database_.open(*runtime_); }
  Node node(const BrokerOptions& options = kImpatient) { return Node(*runtime_, open(), options); }

  static std::int64_t leases_of(const Context& ctx, Node& node) {
    return node.db->query_value<std::int64_t>(ctx, "select count(*) from outbox_leases where owner = $1",
                                              node.broker->worker());
  }

  sql::TestDatabase database_;
  SystemClock clock_;
  SeededRandom random_{11};
  std::optional<runtime::Runtime> runtime_;  // not before a test that forks
};

TEST_F(BrokerProcesses, ShareAGroupsWorkAndHandleEachMessageOnceInOrder) {
  run([&](const Context& ctx) {
    Node first = node(kPatient);
    Node second = node(kPatient);
    Seen seen;
    std::size_t of_second = 0;
    const SubscriptionOptions options{.group = "g", .topics = {"orders"}};
    first.broker->subscribe(options, transactional([&](const Context&, sql::Transaction&,
                                                       const Message& message) { seen.add(message); }));
    second.broker->subscribe(options, external([&](const Context&, const Message& message) {
                               seen.add(message);
                               ++of_second;
                             }));
    first.broker->start(ctx);
    EXPECT_EQ(leases_of(ctx, first), 64);
    second.broker->start(ctx);
    ASSERT_TRUE(eventually(ctx, [&] { return leases_of(ctx, first) == 32 && leases_of(ctx, second) == 32; }));
    for (int n = 0; n < 200; ++n)
      publish(ctx, n % 3 == 0 ? second : first, "key" + std::to_string(n % 40), std::to_string(n / 40));
    ASSERT_TRUE(eventually(ctx, [&] { return seen.total >= 200; }));
    EXPECT_GT(of_second, 20U);
    for (const auto& [key, payloads] : seen.by_key)
      EXPECT_THAT(payloads, ElementsAre("0", "1", "2", "3", "4")) << key;

    const Instant left = ctx.now();
    second.broker->stop(ctx.with_timeout(5s));
    ASSERT_TRUE(eventually(ctx, [&] { return leases_of(ctx, first) == 64; }));
    EXPECT_LT(ctx.now() - left, kPatient.lease);  // released, not expired
    first.broker->stop(ctx.with_timeout(5s));
  });
}

TEST_F(BrokerProcesses, AKilledWorkersMessagesAreTakenOverWithinItsLease) {
  run([&](const Context& ctx) {
    constexpr BrokerOptions kTwoSeconds{.lease = 2s, .heartbeat = 100ms, .poll = 100ms};
    Node killed = node(kTwoSeconds);
    Node survivor = node(kTwoSeconds);
    const SubscriptionOptions options{.group = "g", .topics = {"orders"}};
    int begun = 0;
    killed.broker->subscribe(options, external([&](const Context& inner, const Message&) {
                               ++begun;
                               runtime::sleep_for(inner, 60s);  // never gets there
                             }));
    Seen seen;
    survivor.broker->subscribe(options,
                               external([&](const Context&, const Message& message) { seen.add(message); }));
    killed.broker->start(ctx);
    publish(ctx, killed, "a");
    ASSERT_TRUE(eventually(ctx, [&] { return begun == 1; }));
    killed.broker->abandon();
    const Instant died = ctx.now();
    survivor.broker->start(ctx);
    EXPECT_EQ(seen.total, 0U);  // the lease still holds
    ASSERT_TRUE(eventually(ctx, [&] { return seen.total == 1; }));
    EXPECT_LT(ctx.now() - died, kTwoSeconds.lease + 10s);  // however slow this machine is at the moment
    survivor.broker->stop(ctx.with_timeout(5s));
  });
}

TEST_F(BrokerProcesses, ALateCompletionIsRefusedByItsFence) {
  run([&](const Context& ctx) {
    Node late = node();
    Node next = node();
    runtime::Latch begun;
    runtime::Latch go;
    bool finished = false;
    const SubscriptionOptions options{.group = "g", .topics = {"orders"}};
    late.broker->subscribe(options, external([&](const Context& inner, const Message&) {
                             begun.open();
                             go.wait(inner.detached(), "waiting for the test");
                             finished = true;
                           }));
    Seen seen;
    next.broker->subscribe(options, external([&](const Context&, const Message& message) {
                             if (message.payload == "1")
                               throw Error(ErrorCode::unavailable, "Park it, please.");
                             seen.add(message);
                           }));
    late.broker->start(ctx);
    publish(ctx, late, "a", "1");
    begun.wait(ctx.with_timeout(20s), "the message");
    late.broker->stall(true);  // suspended in the middle of a message
    next.broker->start(ctx);
    ASSERT_TRUE(eventually(ctx, [&] { return next.count("holdfast_messaging_failed_total", "g") == 1; }));

    go.open();  // and wakes up long after
    ASSERT_TRUE(
        eventually(ctx, [&] { return late.count("holdfast_messaging_fence_refused_total", "g") == 1; }));
    EXPECT_TRUE(finished);
    EXPECT_EQ(late.count("holdfast_messaging_handled_total", "g"), 0U);
    EXPECT_EQ(next.db->query_value<std::int64_t>(ctx, "select count(*) from parked_messages"), 1);
    late.broker->stall(false);  // it comes back as a worker among others
    ASSERT_TRUE(eventually(ctx, [&] { return leases_of(ctx, late) == 32; }));
    late.broker->stop(ctx.with_timeout(5s));
    next.broker->stop(ctx.with_timeout(5s));
  });
}

TEST_F(BrokerProcesses, NoReaderSkipsACommitOfAnotherWriter) {
  run([&](const Context& ctx) {
    Node writer = node(kPatient);
    Node reader = node(kPatient);
    Seen seen;
    std::vector<std::int64_t> positions;
    reader.broker->subscribe({.group = "g", .topics = {"orders"}},
                             external([&](const Context&, const Message& message) {
                               seen.add(message);
                               positions.push_back(message.position);
                             }));
    reader.broker->start(ctx);
    runtime::FiberGroup writers(ctx);
    for (int w = 0; w < 8; ++w) {
      writers.spawn("writer", [&, w](const Context& inner) {
        for (int n = 0; n < 50; ++n)
          publish(inner, w % 2 == 0 ? writer : reader, "key" + std::to_string(w), std::to_string(n));
      });
    }
    writers.wait();
    ASSERT_TRUE(eventually(ctx, [&] { return seen.total >= 400; })) << seen.total;
    std::ranges::sort(positions);
    EXPECT_EQ(std::ranges::unique(positions).size(), 0U);
    for (const auto& [key, payloads] : seen.by_key) {
      for (int n = 0; n < 50; ++n) EXPECT_EQ(payloads[static_cast<std::size_t>(n)], std::to_string(n));
    }
    reader.broker->stop(ctx.with_timeout(5s));
  });
}

using BrokerCrashes = BrokerProcesses;

/// A process that handles messages in the database until it is killed in the middle of its `calls`th.
[[noreturn]] void handle_until_killed(const sql::TestDatabase& database, int calls) {
  SystemClock clock;
  SystemRandom random;
  runtime::Runtime runtime({.loops = 1}, clock, random);
  runtime.run([&](const Context& ctx) {
    Node node(runtime, database.open(runtime), {.lease = 150ms, .heartbeat = 50ms, .poll = 50ms});
    std::atomic<int> left = calls;
    node.broker->subscribe({.group = "g", .topics = {"orders"}, .batch = 5},
                           transactional([&](const Context&, sql::Transaction& tx, const Message& message) {
                             tx.execute("insert into effects(key, payload) values($1, $2)", message.key,
                                        message.payload);
                             if (--left == 0) ::raise(SIGKILL);
                           }));
    node.broker->start(ctx);
    runtime::sleep_for(ctx, 20s);
  });
  std::_Exit(1);
}

TEST_F(BrokerCrashes, EffectsInTheDatabaseHappenOnceWhateverIsKilled) {
  constexpr int kMessages = 120;
  const auto in_process = [&](const std::function<void(const Context&, Node&)>& body) {
    runtime::Runtime runtime({.loops = 1}, clock_, random_);
    runtime.run([&](const Context& ctx) {
      {
        Node node(runtime, database_.open(runtime), kImpatient);
        body(ctx, node);
      }
      runtime::sleep_for(ctx, 1ms);
    });
  };
  in_process([&](const Context& ctx, Node& node) {
    sql::Migrator(*node.db, migrations()).up(ctx);
    node.db->transact(ctx, [](sql::Transaction& tx) {
      tx.execute_script("create table effects(n integer primary key, key text, payload text)");
    });
    for (int n = 0; n < kMessages; ++n)
      publish(ctx, node, "key" + std::to_string(n % 12), std::to_string(n / 12));
  });
  // After three of them messages are handled one by one, so that the later ones are killed between commits.
  for (const int calls : {1, 2, 7, 13, 20, 21}) {
    EXPECT_EXIT(handle_until_killed(database_, calls), ::testing::KilledBySignal(SIGKILL), "");
  }
  in_process([&](const Context& ctx, Node& node) {
    const auto effects = [&] {
      return node.db->query_value<std::int64_t>(ctx, "select count(*) from effects");
    };
    node.broker->subscribe({.group = "g", .topics = {"orders"}},
                           transactional([&](const Context&, sql::Transaction& tx, const Message& message) {
                             tx.execute("insert into effects(key, payload) values($1, $2)", message.key,
                                        message.payload);
                           }));
    EXPECT_GT(effects(), 0);
    node.broker->start(ctx);
    ASSERT_TRUE(eventually(ctx, [&] { return effects() >= kMessages; }));
    node.broker->stop(ctx.with_timeout(5s));
    using Row = std::tuple<std::string, std::string>;
    std::map<std::string, std::vector<std::string>> by_key;
    for (auto& [key, payload] : node.db->query<Row>(ctx, "select key, payload from effects order by n"))
      by_key[key].push_back(payload);
    EXPECT_THAT(by_key, SizeIs(12));
    for (const auto& [key, payloads] : by_key)
      EXPECT_THAT(payloads, ElementsAre("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")) << key;
  });
}

/// A process that handles messages until one called "poison" ends it, or until `expected` are handled.
[[noreturn]] void handle_until_poisoned(const sql::TestDatabase& database, bool transactionally,
                                        std::int64_t expected) {
  SystemClock clock;
  SystemRandom random;
  runtime::Runtime runtime({.loops = 1}, clock, random);
  bool done = false;
  runtime.run([&](const Context& ctx) {
    Node node(runtime, database.open(runtime), {.lease = 150ms, .heartbeat = 50ms, .poll = 50ms});
    const auto handle = [](sql::Transaction& tx, const Message& message) {
      if (message.payload == "poison") ::raise(SIGKILL);
      tx.execute("insert into effects(key, payload) values($1, $2)", message.key, message.payload);
    };
    SubscriptionOptions options{.group = "g", .topics = {"orders"}};
    options.batch = 4;
    options.max_attempts = 3;
    options.backoff = {.base = 1ms, .cap = 2ms};
    if (transactionally) {
      node.broker->subscribe(options, transactional([&](const Context&, sql::Transaction& tx,
                                                        const Message& message) { handle(tx, message); }));
    } else {
      node.broker->subscribe(options, external([&](const Context& own, const Message& message) {
                               node.db->transact(own, [&](sql::Transaction& tx) { handle(tx, message); });
                             }));
    }
    node.broker->start(ctx);
    const auto settled = [&] {
      return node.db->query_value<std::int64_t>(ctx, "select count(distinct payload) from effects") >=
                 expected &&
             node.db->query_value<std::int64_t>(ctx, "select count(*) from dead_letters") >= 2;
    };
    done = eventually(ctx, settled);
    node.broker->stop(ctx.with_timeout(5s));
  });
  std::_Exit(done ? 0 : 1);  // the exit handlers are the parent's: its libraries' threads are not here
}

class PoisonThatEndsTheProcess : public BrokerProcesses, public ::testing::WithParamInterface<bool> {};

TEST_P(PoisonThatEndsTheProcess, BecomesADeadLetterAndTheOthersAreHandled) {
  constexpr std::int64_t kGood = 20;
  runtime::Runtime runtime({.loops = 1}, clock_, random_);
  runtime.run([&](const Context& ctx) {
    {
      Node node(runtime, database_.open(runtime), kImpatient);
      sql::Migrator(*node.db, migrations()).up(ctx);
      node.db->transact(ctx, [](sql::Transaction& tx) {
        tx.execute_script("create table effects(n integer primary key, key text, payload text)");
      });
      for (int n = 0; n < kGood; ++n) {
        if (n == 3 || n == 11) publish(ctx, node, "bad" + std::to_string(n), "poison");
        publish(ctx, node, "key" + std::to_string(n % 4), std::to_string(n));
      }
    }
    runtime::sleep_for(ctx, 1ms);
  });
  int ended = 0;
  for (bool done = false; !done; ++ended) {
    ASSERT_LT(ended, 40) << "it ends one process after the other";
    const pid_t child = ::fork();
    if (child == 0) handle_until_poisoned(database_, GetParam(), kGood);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    done = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    ASSERT_TRUE(done || WIFSIGNALED(status)) << status;
  }
  std::printf("%d processes until both poisons were dead letters\n", ended);
}

/// The `n`th key of the bucket of "bad".
std::string neighbour(int n) {
  for (int i = 0;; ++i) {
    std::string key = "key" + std::to_string(i);
    if (bucket_of(key) == bucket_of("bad") && n-- == 0) return key;
  }
}

/// A process that a message ends whenever it is tried again, while others of its bucket come all the time;
/// it ends by itself once that message is a dead letter.
[[noreturn]] void handle_with_traffic(const sql::TestDatabase& database, bool transactionally) {
  SystemClock clock;
  SystemRandom random;
  runtime::Runtime runtime({.loops = 1}, clock, random);
  bool done = false;
  runtime.run([&](const Context& ctx) {
    Node node(runtime, database.open(runtime), {.lease = 150ms, .heartbeat = 50ms, .poll = 50ms});
    const auto handle = [](sql::Transaction& tx, const Message& message) {
      if (message.payload == "poison") {
        if (message.attempt > 1) ::raise(SIGKILL);
        throw Error(ErrorCode::unavailable, "Try it again, please.");
      }
      tx.execute("insert into effects(key, payload) values($1, $2)", message.key, message.payload);
    };
    SubscriptionOptions options{.group = "g", .topics = {"orders"}};
    options.max_attempts = 5;
    options.backoff = {.base = 200ms, .cap = 200ms, .jitter = resilience::Jitter::none};
    if (transactionally) {
      node.broker->subscribe(options, transactional([&](const Context&, sql::Transaction& tx,
                                                        const Message& message) { handle(tx, message); }));
    } else {
      node.broker->subscribe(options, external([&](const Context& own, const Message& message) {
                               node.db->transact(own, [&](sql::Transaction& tx) { handle(tx, message); });
                             }));
    }
    node.broker->start(ctx);
    int published = 0;
    done = eventually(ctx, [&] {
      publish(ctx, node, neighbour(published++ % 3), "good");
      return node.db->query_value<std::int64_t>(ctx, "select count(*) from dead_letters") > 0;
    });
    node.broker->stop(ctx.with_timeout(5s));
  });
  std::_Exit(done ? 0 : 1);
}

TEST_P(PoisonThatEndsTheProcess, OnARetryIsCountedThoughItsBucketGoesOn) {
  const auto with_node = [&](const std::function<void(const Context&, Node&)>& body) {
    runtime::Runtime runtime({.loops = 1}, clock_, random_);
    runtime.run([&](const Context& ctx) {
      {
        Node node(runtime, database_.open(runtime), kImpatient);
        body(ctx, node);
      }
      runtime::sleep_for(ctx, 1ms);
    });
  };
  with_node([&](const Context& ctx, Node& node) {
    sql::Migrator(*node.db, migrations()).up(ctx);
    node.db->transact(ctx, [](sql::Transaction& tx) {
      tx.execute_script("create table effects(n integer primary key, key text, payload text)");
    });
    publish(ctx, node, "bad", "poison");
    publish(ctx, node, "bad", "after");
  });
  int killed = 0;
  for (bool done = false; !done;) {
    const pid_t child = ::fork();
    if (child == 0) handle_with_traffic(database_, GetParam());
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    done = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    ASSERT_TRUE(done || WIFSIGNALED(status)) << status;
    killed += done ? 0 : 1;
    // Three until it is suspected, one for each attempt from the second on.
    ASSERT_LE(killed, 3 + 4) << "it ends one process after the other";
  }
  with_node([&](const Context& ctx, Node& node) {
    const auto history =
        node.db->query_value<std::string>(ctx, "select attempts from dead_letters where key = 'bad'");
    EXPECT_THAT(history, ::testing::HasSubstr("Try it again, please."));
    EXPECT_THAT(history, ::testing::HasSubstr("The process ended during this attempt."));
    using Row = std::tuple<std::int64_t, std::int64_t>;
    const Row row = node.db->query<Row>(ctx,
                                        "select (select count(*) from effects where payload = 'good'), "
                                        "(select count(*) from parked_messages where payload = 'poison')")[0];
    EXPECT_GT(std::get<0>(row), killed) << "the bucket did go on meanwhile";
    EXPECT_EQ(std::get<1>(row), 0);
  });
}

INSTANTIATE_TEST_SUITE_P(Handlers, PoisonThatEndsTheProcess, ::testing::Bool(),
                         [](const auto& kind) { return kind.param ? "InTransaction" : "Outside"; });

}  // namespace
}  // namespace holdfast::messaging
