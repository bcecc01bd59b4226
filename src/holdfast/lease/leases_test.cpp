#include "holdfast/lease/leases.hpp"

#include <gtest/gtest.h>
#include <poll.h>

#include <atomic>

#include "holdfast/lease/fences.hpp"
#include "holdfast/lease/hold.hpp"
#include "holdfast/lease/redis_leases.hpp"
#include "holdfast/lease/schema.hpp"
#include "holdfast/lease/sql_leases.hpp"
#include "holdfast/redis/testing/system.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/sync.hpp"
#include "holdfast/sql/sqlite/database.hpp"
#include "holdfast/sql/testing/temporary_folder.hpp"
#include "holdfast/sql/testing/test_database.hpp"

namespace holdfast::lease {
namespace {

using namespace std::chrono_literals;
using redis::testing::RedisServer;
using redis::testing::shared_server;
using redis::testing::System;

enum class Kind : std::uint8_t { sql, redis };

class LeaseContract : public ::testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    if (GetParam() == Kind::redis && RedisServer::unwanted()) GTEST_SKIP() << "HOLDFAST_EMBEDDED_ONLY=1";
  }
  void run(const std::function<void(const Context&, System&, Leases&)>& body, std::size_t loops = 2) {
    System system(loops);
    sql::TestDatabase engine;
    system.run([&](const Context& ctx) {
      database = engine.open(system.runtime);
      database->transact(ctx, "schema", [](sql::Transaction& tx) {
        for (const sql::Migration& step : migrations()) tx.execute_script(step.up_sql);
      });
      if (GetParam() == Kind::sql) {
        SqlLeases leases(*database);
        body(ctx, system, leases);
      } else {
        const auto client = system.client(shared_server().address());
        client->command(ctx, {"FLUSHALL"});
        RedisLeases leases(*client);
        body(ctx, system, leases);
      }
      database.reset();
      runtime::yield();
    });
  }
  std::unique_ptr<sql::Database> database;
};

INSTANTIATE_TEST_SUITE_P(Adapters, LeaseContract, ::testing::Values(Kind::sql, Kind::redis),
                         [](const auto& given) { return given.param == Kind::sql ? "sql" : "redis"; });

TEST_P(LeaseContract, OneHasItUntilItIsReleasedAndEachFenceIsHigher) {
  run([](const Context& ctx, System&, Leases& leases) {
    const auto first = leases.try_take(ctx, "report", "a", 60s);
    ASSERT_TRUE(first);
    EXPECT_FALSE(leases.try_take(ctx, "report", "b", 60s));
    EXPECT_TRUE(leases.try_take(ctx, "another", "b", 60s)) << "each name is a lease of its own";
    leases.release(ctx, "report", "b", *first);
    leases.release(ctx, "report", "a", *first - 1);
    EXPECT_FALSE(leases.try_take(ctx, "report", "b", 60s)) << "only who has it releases it";
    leases.release(ctx, "report", "a", *first);
    const auto second = leases.try_take(ctx, "report", "b", 60s);
    ASSERT_TRUE(second);
    EXPECT_GT(*second, *first);
    EXPECT_THROW(leases.try_take(ctx, "", "a", 1s), Error);
    EXPECT_THROW(leases.try_take(ctx, std::string(201, 'x'), "a", 1s), Error);
  });
}

TEST_P(LeaseContract, EndsByItselfAndTheLateOneIsRefused) {
  run([](const Context& ctx, System&, Leases& leases) {
    const auto first = leases.try_take(ctx, "report", "a", 50ms);
    ASSERT_TRUE(first);
    std::optional<Fence> second;
    System::eventually(ctx, "it ends", [&] {
      second = leases.try_take(ctx, "report", "b", 60s);
      return second.has_value();
    });
    EXPECT_GT(*second, *first);
    EXPECT_FALSE(leases.renew(ctx, "report", "a", *first, 60s));
    leases.release(ctx, "report", "a", *first);
    EXPECT_FALSE(leases.try_take(ctx, "report", "c", 60s)) << "b still has it";
    EXPECT_TRUE(leases.renew(ctx, "report", "b", *second, 60s));
  });
}

TEST_P(LeaseContract, RenewedItDoesNotEnd) {
  run([](const Context& ctx, System& system, Leases& leases) {
    const auto fence = leases.try_take(ctx, "report", "a", 2s);
    ASSERT_TRUE(fence);
    const Instant begun = system.clock.now();
    while (system.clock.now() - begun < 2500ms) {
      ASSERT_TRUE(leases.renew(ctx, "report", "a", *fence, 2s));
      ASSERT_FALSE(leases.try_take(ctx, "report", "b", 2s));
      runtime::sleep_for(ctx, 100ms);
    }
  });
}

TEST_P(LeaseContract, AmongManyThreadsOneAtATimeWithRisingFences) {
  run(
      [](const Context& ctx, System& system, Leases& leases) {
        std::atomic<int> inside{0};
        std::atomic<int> together{0};
        std::atomic<Fence> highest{0};
        std::atomic<int> not_rising{0};
        std::atomic<int> turns{0};
        std::atomic<int> running{4};
        runtime::Signal ended;
        for (std::size_t loop = 0; loop < 4; ++loop) {
          system.runtime.spawn_on(loop, "contender", [&] {
            for (int mine = 0; mine < 5;) {
              const bool had_it = hold(ctx, leases, "one", system.random, {.time = 20s},
                                       [&](const Context& own, Fence fence) {
                                         if (++inside > 1) ++together;
                                         if (fence <= highest.exchange(fence)) ++not_rising;
                                         runtime::sleep_for(own, 1ms);
                                         --inside;
                                         ++turns;
                                       });
              mine += had_it ? 1 : 0;
              if (!had_it) runtime::sleep_for(ctx, 1ms);
            }
            --running;
            ended.notify();
          });
        }
        for (std::uint64_t seen = ended.version(); running > 0; seen = ended.version())
          ended.wait_past(ctx, seen, "contenders");
        EXPECT_EQ(together, 0);
        EXPECT_EQ(not_rising, 0);
        EXPECT_EQ(turns, 20);
      },
      4);
}

TEST_P(LeaseContract, WhoWaitsGetsItAfterwards) {
  run([](const Context& ctx, System& system, Leases& leases) {
    std::string order;
    runtime::FiberGroup group(ctx);
    for (int i = 0; i < 3; ++i) {
      group.spawn("holder", [&](const Context& own) {
        EXPECT_TRUE(hold(own, leases, "one", system.random, {.time = 2s, .wait = true},
                         [&](const Context& inner, Fence) {
                           order += '(';
                           runtime::sleep_for(inner, 5ms);
                           order += ')';
                         }));
      });
    }
    group.wait();
    EXPECT_EQ(order, "()()()");
    EXPECT_THROW(hold(ctx, leases, "one", system.random, {},
                      [](const Context&, Fence) { throw Error(ErrorCode::conflict, "its own"); }),
                 Error);
    EXPECT_TRUE(leases.try_take(ctx, "one", "x", 1s)) << "released, whatever the body threw";
  });
}

TEST_P(LeaseContract, AHolderThatPausesTooLongIsToldAndItsEffectIsRefused) {
  run([this](const Context& ctx, System& system, Leases& leases) {
    std::atomic<bool> first_holds{false};
    std::atomic<bool> taken_over{false};
    std::atomic<bool> first_ended{false};
    runtime::Signal changed;
    Error told(ErrorCode::internal, "nothing");
    Error refused(ErrorCode::internal, "nothing");
    system.runtime.spawn_on(1, "pauses", [&] {
      try {
        hold(ctx, leases, "report", system.random, {.time = 300ms}, [&](const Context& own, Fence fence) {
          first_holds = true;
          changed.notify();
          // The whole loop stands still, as in a paused machine.
          for (int tries = 0; tries < 2000 && !taken_over; ++tries) ::poll(nullptr, 0, 10);
          try {
            database->transact(own.detached(), "late effect",
                               [&](sql::Transaction& tx) { admit(tx, "report", fence); });
          } catch (const Error& error) {
            refused = error;
          }
        });
      } catch (const Error& error) {
        told = error;
      }
      first_ended = true;
      changed.notify();
    });
    for (std::uint64_t seen = changed.version(); !first_holds; seen = changed.version())
      changed.wait_past(ctx, seen, "the first");
    EXPECT_TRUE(hold(ctx, leases, "report", system.random, {.time = 5s, .wait = true},
                     [&](const Context& own, Fence fence) {
                       database->transact(own, "effect",
                                          [&](sql::Transaction& tx) { admit(tx, "report", fence); });
                       taken_over = true;
                     }));
    for (std::uint64_t seen = changed.version(); !first_ended; seen = changed.version())
      changed.wait_past(ctx, seen, "the first");
    EXPECT_EQ(refused.reason(), "fenced_off");
    EXPECT_EQ(told.reason(), "lease_lost");
  });
}

TEST_P(LeaseContract, WhereItCantBeRenewedTheBodyIsCancelledBeforeItEnds) {
  run([](const Context& ctx, System& system, Leases& leases) {
    /// Gives a lease once, and is away after that.
    struct Away final : Leases {
      explicit Away(Leases& real) : real(real) {}
      std::optional<Fence> try_take(const Context& c, std::string_view n, std::string_view h,
                                    Duration t) override {
        return real.try_take(c, n, h, t);
      }
      bool renew(const Context& c, std::string_view, std::string_view, Fence, Duration) override {
        ++renewals;
        c.check("renewing");
        throw Error(ErrorCode::unavailable, "away");
      }
      void release(const Context& c, std::string_view n, std::string_view h, Fence f) override {
        real.release(c, n, h, f);
      }
      Leases& real;
      int renewals = 0;
    } away(leases);
    const Instant begun = system.clock.now();
    bool cancelled = false;
    try {
      hold(ctx, away, "report", system.random, {.time = 1500ms}, [&](const Context& own, Fence) {
        try {
          runtime::sleep_for(own, 30s);
        } catch (const Error& error) {
          cancelled = error.code() == ErrorCode::cancelled;
        }
      });
      ADD_FAILURE() << "it was lost";
    } catch (const Error& error) {
      EXPECT_EQ(error.reason(), "lease_lost");
    }
    EXPECT_TRUE(cancelled);
    EXPECT_GE(away.renewals, 2) << "it is asked again while there is time";
    EXPECT_LT(system.clock.now() - begun, 10s);
  });
}

TEST_P(LeaseContract, ACallerThatIsCancelledReleasesIt) {
  run([](const Context& ctx, System& system, Leases& leases) {
    runtime::CancellationSource stop;
    runtime::FiberGroup group(ctx);
    bool inside = false;
    group.spawn("holder", [&](const Context& own) {
      EXPECT_THROW(hold(own.with_cancellation(stop.token()), leases, "one", system.random, {.time = 30s},
                        [&](const Context& inner, Fence) {
                          inside = true;
                          runtime::sleep_for(inner, 30s);
                        }),
                   Error);
    });
    System::eventually(ctx, "it holds", [&] { return inside; });
    stop.cancel();
    group.wait();
    EXPECT_TRUE(leases.try_take(ctx, "one", "next", 1s));
  });
}

TEST(RedisLease, AKilledRedisForgetsWhoButNeverLowersAFence) {
  if (RedisServer::unwanted()) GTEST_SKIP() << "HOLDFAST_EMBEDDED_ONLY=1";
  RedisServer server;
  System system;
  system.run([&](const Context& ctx) {
    const auto client = system.client(server.address());
    RedisLeases leases(*client);
    const auto before = leases.try_take(ctx, "one", "a", 60s);
    ASSERT_TRUE(before);
    server.kill();
    EXPECT_THROW(leases.renew(ctx, "one", "a", *before, 60s), Error);
    server.start();
    std::optional<Fence> after;
    System::eventually(ctx, "another takes it", [&] {
      try {
        after = leases.try_take(ctx, "one", "b", 60s);
      } catch (const Error&) {
      }
      return after.has_value();
    });
    EXPECT_GT(*after, *before) << "although the counter is gone";
    EXPECT_FALSE(leases.renew(ctx, "one", "a", *before, 60s));
  });
}

TEST(RedisLease, AHolderWhoseRedisHangsIsToldInTime) {
  if (RedisServer::unwanted()) GTEST_SKIP() << "HOLDFAST_EMBEDDED_ONLY=1";
  RedisServer server;
  System system;
  system.run([&](const Context& ctx) {
    redis::ClientOptions options = System::options(server.address());
    options.connection.answer_timeout = 500ms;
    options.connection.connect_timeout = 500ms;
    const auto client = system.client(options);
    RedisLeases leases(*client);
    const Instant begun = system.clock.now();
    bool cancelled = false;
    try {
      hold(ctx, leases, "one", system.random, {.time = 2s}, [&](const Context& own, Fence) {
        server.stop();
        try {
          runtime::sleep_for(own, 30s);
        } catch (const Error&) {
          cancelled = own.cancelled();
        }
      });
      ADD_FAILURE() << "it was lost";
    } catch (const Error& error) {
      EXPECT_EQ(error.reason(), "lease_lost");
    }
    EXPECT_TRUE(cancelled);
    EXPECT_LT(system.clock.now() - begun, 10s);
    server.resume();
  });
}

}  // namespace
}  // namespace holdfast::lease
