// The Order System with a Redis, and with one that dies.
#include "orders/wiring_redis.hpp"

#include <gmock/gmock.h>

#include "holdfast/redis/testing/server.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "holdfast/sql/testing/test_database.hpp"
#include "orders/modules/catalog/catalog.hpp"
#include "orders/testing/running_system.hpp"

namespace holdfast::orders {
namespace {

using namespace std::chrono_literals;
using redis::testing::RedisServer;
using testing::Answer;
using ::testing::HasSubstr;
using testing::RunningSystem;

class OrderSystemOnRedis : public ::testing::Test {
 protected:
  void SetUp() override {
    if (RedisServer::unwanted()) GTEST_SKIP() << "HOLDFAST_EMBEDDED_ONLY=1: no redis-server";
  }
  /// Two processes' worth of it, each with a database of its own, on one Redis.
  static void with_two(const std::function<void(RedisServer&, RunningSystem&, RunningSystem&)>& body,
                       const std::function<void(Settings&)>& adjust = {}) {
    RedisServer server;
    const sql::TemporaryFolder folder;
    const sql::TestDatabase database_of_a;
    const sql::TestDatabase database_of_b;
    SystemClock clock;
    SeededRandom random(5);
    runtime::Runtime runtime({.loops = 1}, clock, random);
    runtime.run([&](const Context& ctx) {
      const auto settings_for = [&](const char* name, const sql::TestDatabase& database) {
        Settings settings = testing::test_settings(folder.path() / name);
        if (sql::on_postgres()) settings.database.url = config::Secret(database.url());
        settings.redis.url = config::Secret(server.url());
        settings.redis.answer_timeout = 5s;
        settings.redis.processes = 2;
        settings.catalog.page.reviews_budget = 5s;  // the machine of a test may be busy
        settings.catalog.page.bought_together_budget = 5s;
        if (adjust) adjust(settings);
        return settings;
      };
      RunningSystem a(ctx, runtime, settings_for("a", database_of_a));
      RunningSystem b(ctx, runtime, settings_for("b", database_of_b));
      body(server, a, b);
    });
  }
  static bool eventually(const Context& ctx, const std::function<bool()>& holds) {
    for (int i = 0; i < 4000; ++i) {
      if (holds()) return true;
      runtime::sleep_for(ctx, 5ms);
    }
    return false;
  }
};

TEST_F(OrderSystemOnRedis, ClientsHaveOneLimitInAllProcessesAndAShareOfItWithoutRedis) {
  with_two(
      [](RedisServer& server, RunningSystem& a, RunningSystem& b) {
        a.key = b.key = "";  // as one address without a key
        int passed = 0;
        for (int i = 0; i < 30; ++i) passed += (i % 2 == 0 ? a : b).get("/v1/products").status == 200 ? 1 : 0;
        EXPECT_EQ(passed, 20);
        const Answer refused = b.get("/v1/products");
        EXPECT_EQ(refused.status, 429);
        EXPECT_THAT(refused.header("Retry-After"), ::testing::Not(""));
        EXPECT_EQ(refused.header("X-RateLimit-Limit"), "20");

        server.kill();
        EXPECT_EQ(a.get("/v1/products", {{"X-Nothing", "1"}}).status, 429) << "what it was told holds";
        a.key = a.admin;
        EXPECT_EQ(a.get("/v1/products").status, 200);
        const auto fallbacks = [&] {
          return a.metrics.counter("holdfast_rate_limit_shared_total", "", {{"outcome", "fallback"}}).value();
        };
        EXPECT_TRUE(eventually(a.ctx, [&] {  // once the tokens it has are used up
          EXPECT_EQ(a.get("/v1/products").status, 200);
          return fallbacks() > 0;
        }));
      },
      [](Settings& settings) {
        settings.rate_limit.slow_refusal = 0ms;
        settings.rate_limit.anonymous_requests = 1;
        settings.rate_limit.window = std::chrono::hours(1);
        settings.rate_limit.anonymous_burst = 20;
      });
}

TEST_F(OrderSystemOnRedis, WhatOneProcessLookedUpAnotherShowsAndADeadRedisOnlyCostsTheLookUp) {
  with_two([](RedisServer& server, RunningSystem& a, RunningSystem& b) {
    for (RunningSystem* system : {&a, &b}) {
      system->add_product("MUG", 850, 10);
      system->add_product("TEA", 300, 10);
    }
    a.system.database().transact(a.ctx, [](sql::Transaction& tx) {
      catalog::count_together(tx, {"MUG", "TEA"});
    });
    EXPECT_THAT(a.get("/v1/products/MUG/page").body, HasSubstr(R"("boughtTogether":[{"sku":"TEA")"));
    EXPECT_THAT(b.get("/v1/products/MUG/page").body, HasSubstr(R"("boughtTogether":[{"sku":"TEA")"))
        << "its own database knows of no such pair";

    server.kill();
    const Answer own = b.get("/v1/products/TEA/page");
    EXPECT_EQ(own.status, 200);
    EXPECT_THAT(own.body, HasSubstr(R"("boughtTogether":[])")) << "looked up in its own database";
    EXPECT_THAT(own.body, HasSubstr(R"("degraded":[])"));
    EXPECT_EQ(b.order("k1", R"({"customerId":"1","items":[{"sku":"MUG","quantity":2}]})").status, 201);
    server.start();
    const auto answered = [&] {
      return a.metrics
          .counter("holdfast_redis_commands_total", "", {{"client", "shared"}, {"outcome", "answered"}})
          .value();
    };
    const std::uint64_t before = answered();
    EXPECT_TRUE(eventually(a.ctx, [&] {
      EXPECT_EQ(a.get("/v1/products/NEW" + std::to_string(answered()) + "/page").status, 404);
      EXPECT_EQ(a.get("/v1/products/TEA/page").status, 200);
      return answered() > before;
    })) << "it is used again, without a restart";
    EXPECT_EQ(a.get("/v1/products/MUG/page").status, 200);
  });
}

TEST_F(OrderSystemOnRedis, ARepeatedOrderIsAnsweredFromRedisAndOfItsOwnDatabaseOnly) {
  with_two([](RedisServer& server, RunningSystem& a, RunningSystem& b) {
    for (RunningSystem* system : {&a, &b}) system->add_product("MUG", 850, 10);
    const char* order = R"({"customerId":"1","items":[{"sku":"MUG","quantity":2}]})";
    const Answer first = a.order("k1", order);
    EXPECT_EQ(first.status, 201);
    const auto again = [&] {
      const Answer answer = a.order("k1", order);
      EXPECT_EQ(answer.body, first.body);
      EXPECT_EQ(answer.header("Idempotent-Replayed"), "true");
    };
    const auto hits = [&] {
      return a.metrics.counter("holdfast_idempotency_fast_total", "", {{"outcome", "hit"}}).value();
    };
    EXPECT_TRUE(eventually(a.ctx, [&] {
      again();
      return hits() > 0 || !sql::on_postgres();  // a file beside us is asked as quickly
    }));
    EXPECT_NE(b.order("k1", order).body, first.body);
    server.kill();
    again();
    server.start();  // knows nothing any more
    again();
  });
}

/// Two processes on one database and one Redis.
TEST_F(OrderSystemOnRedis, APriceThatChangesInOneProcessIsSoonShownByTheOther) {
  RedisServer server;
  const sql::TestDatabase database;
  const sql::TemporaryFolder folder;
  SystemClock clock;
  SeededRandom random(5);
  runtime::Runtime runtime({.loops = 1}, clock, random);
  runtime.run([&](const Context& ctx) {
    Settings settings = testing::test_settings(folder.path());
    if (sql::on_postgres()) settings.database.url = config::Secret(database.url());
    settings.redis.url = config::Secret(server.url());
    settings.redis.answer_timeout = 5s;
    RunningSystem a(ctx, runtime, settings);
    RunningSystem b(ctx, runtime, settings);
    b.key = b.admin = a.admin;
    a.add_product("MUG", 850, 10);
    const auto shown = [](RunningSystem& system) { return system.get("/v1/products/MUG/page").body; };
    const auto loads = [](RunningSystem& system) {
      return system.metrics
          .counter("holdfast_cache_loads_total", "", {{"cache", "page_product"}, {"outcome", "loaded"}})
          .value();
    };
    EXPECT_THAT(shown(a), HasSubstr(R"("minor":850)"));
    for (int i = 0; i < 10; ++i) EXPECT_THAT(shown(b), HasSubstr(R"("minor":850)"));
    EXPECT_EQ(loads(a) + loads(b), 1u) << "one process looked it up for both";
    const auto change = [&](const char* price) {
      const Instant begun = ctx.now();
      EXPECT_EQ(
          a.ask(http::Method::patch, "/v1/products/MUG", std::string(R"({"price":{"minor":)") + price + "}}",
                {{"Content-Type", "application/merge-patch+json"}})
              .status,
          200);
      const std::string wanted = std::string(R"("minor":)") + price;
      for (RunningSystem* system : {&a, &b}) {
        EXPECT_TRUE(eventually(ctx, [&] { return shown(*system).find(wanted) != std::string::npos; }))
            << shown(*system);
      }
      return ctx.now() - begun;
    };
    EXPECT_LT(change("900"), 30s) << "it would be remembered for a minute";
    server.kill();
    EXPECT_LT(change("950"), 30s) << "what can't be heard of is believed for two seconds";
    server.start();
    EXPECT_LT(change("975"), 30s);
  });
}

TEST_F(OrderSystemOnRedis, StartsAndServesWhileThereIsNoneYet) {
  testing::with_system(
      [](RunningSystem& s) {
        s.add_product("MUG", 850, 10);
        EXPECT_EQ(s.get("/v1/products/MUG/page").status, 200);
        EXPECT_EQ(s.order("k1", R"({"customerId":"1","items":[{"sku":"MUG","quantity":2}]})").status, 201);
        for (int i = 0; i < 60; ++i) EXPECT_EQ(s.get("/v1/products/MUG/page").status, 200);
        const Answer ready = s.get("/health/ready");
        EXPECT_EQ(ready.status, 200) << ready.body;
        EXPECT_THAT(ready.body, HasSubstr("redis is asked nothing")) << "and it is said";
        EXPECT_THAT(s.logged, HasSubstr("Redis is away")) << s.logged;
      },
      [](Settings& settings) { settings.redis.url = config::Secret("redis://127.0.0.1:1"); });
}

TEST(RedisSettings, AreCheckedBeforeAnythingStarts) {
  const auto faults_of = [](const Settings& settings) {
    std::string all;
    Violations faults;
    settings.redis.validate(faults);
    settings.validate(faults);
    for (const FieldViolation& fault : faults.kept()) all += fault.pointer + " " + fault.message + "\n";
    return all;
  };
  Settings settings;
  EXPECT_EQ(faults_of(settings), "");
  settings.redis.url = config::Secret("http://me:hunter2@cache");
  EXPECT_THAT(faults_of(settings), HasSubstr("/url can't be used: The Redis URL begins with none of"));
  EXPECT_THAT(faults_of(settings), ::testing::Not(HasSubstr("hunter2")));
  settings.redis.url = config::Secret("redis://cache");
  EXPECT_EQ(faults_of(settings), "");
  settings.rate_limit.algorithm = resilience::RateAlgorithm::fixed_window;
  EXPECT_THAT(faults_of(settings), HasSubstr("must be token_bucket where redis.url is set"));
}

}  // namespace
}  // namespace holdfast::orders
