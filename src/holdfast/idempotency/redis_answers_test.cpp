// Answers given from Redis: only what was committed, only to the same request, and none where it can't be
// asked.
#include "holdfast/idempotency/redis_answers.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <cstdio>
#include <vector>

#include "holdfast/base/reflect.hpp"
#include "holdfast/idempotency/idempotency.hpp"
#include "holdfast/idempotency/schema.hpp"
#include "holdfast/redis/testing/system.hpp"
#include "holdfast/sql/testing/test_database.hpp"

namespace holdfast::idempotency {
namespace {

using namespace std::chrono_literals;
using redis::testing::RedisServer;
using redis::testing::System;
using ::testing::HasSubstr;

/// A process' worth of it: its own client, on the test's database.
struct Process {
  Process(System& system, sql::Database& the_database, const redis::Address& address,
          RedisAnswersOptions options)
      : client(system.client(address)),
        answers(system.runtime, *client, metrics, std::move(options)),
        keys(the_database, metrics, {}, &answers) {}
  std::uint64_t fast(const char* outcome) {
    return metrics.counter("holdfast_idempotency_fast_total", "", {{"outcome", outcome}}).value();
  }
  observe::Metrics metrics;
  std::unique_ptr<redis::Client> client;
  RedisAnswers answers;
  Idempotency keys;
};

class RedisAnswersTest : public redis::testing::RedisTest {
 protected:
  void run(const std::function<void(const Context&, System&)>& body) {
    System system(1);
    sql::TestDatabase engine;
    system.run([&](const Context& ctx) {
      db_ = engine.open(system.runtime);
      sql::Migrator(*db_, migrations()).up(ctx);
      db_->transact(ctx, [](sql::Transaction& tx) {
        tx.execute_script("create table payments(id integer primary key, amount text not null)");
      });
      system.client(server_.address())->command(ctx, {"FLUSHALL"});
      route_.method = http::Method::post;
      route_.pattern = "/v1/payments";
      route_.info.idempotency = http::Idempotency::required;
      body(ctx, system);
      db_.reset();
      runtime::yield();
    });
  }
  RedisAnswersOptions options() {
    RedisAnswersOptions options;
    options.of = "this one";
    options.patience = 1s;  // the machine of a test may be busy
    return options;
  }
  http::Response pay(const Context& ctx, Process& process, std::string body = "5", std::string key = "k1") {
    return pay(ctx, process.keys, std::move(body), std::move(key));
  }
  http::Response pay(const Context& ctx, Idempotency& keys, std::string body = "5", std::string key = "k1") {
    http::Request request;
    request.method = http::Method::post;
    request.method_name = "POST";
    request.route = &route_;
    request.body = body;
    EXPECT_TRUE(request.set_target("/v1/payments"));
    request.headers = {{"Content-Type", "text/plain"}, {"Idempotency-Key", key}};
    return keys.transactional("pay", [this](const Context&, sql::Transaction& tx, http::Request& asked) {
      ++runs_;
      if (asked.body == "none") throw Error(ErrorCode::unavailable, "Not now.");
      const auto id = tx.query_value<std::int64_t>(
          "insert into payments(id, amount) select coalesce(max(id), 0) + 1, $1 from payments returning id",
          std::string(asked.body));
      return http::Response::json(201, "{\"payment\": " + std::to_string(id) + "}")
          .set("Location", "/v1/payments/" + std::to_string(id))
          .set("X-Served-By", "here");
    })(ctx, request);
  }
  std::int64_t reads() { return static_cast<std::int64_t>(db_->statistics().transactions); }
  void until_kept(const Context& ctx, System& system, std::size_t count) {
    const auto client = system.client(server_.address());
    System::eventually(ctx, "it is kept", [&] {
      return static_cast<std::size_t>(client->command(ctx, {"DBSIZE"}).as_integer()) >= count;
    });
  }

  RedisServer server_;
  std::unique_ptr<sql::Database> db_;
  http::Route route_;
  int runs_ = 0;
};

TEST_F(RedisAnswersTest, AnAnswerIsGivenAgainByAnotherProcessWithoutTheDatabase) {
  run([&](const Context& ctx, System& system) {
    Process one(system, *db_, server_.address(), options());
    Process two(system, *db_, server_.address(), options());
    const http::Response first = pay(ctx, one);
    until_kept(ctx, system, 1);
    const std::int64_t before = reads();
    const http::Response again = pay(ctx, two);
    EXPECT_EQ(reads(), before) << "the database was not asked";
    EXPECT_EQ(two.fast("hit"), 1u);
    EXPECT_EQ(runs_, 1);
    EXPECT_EQ(again.status, 201);
    EXPECT_EQ(again.body, first.body);
    EXPECT_EQ(again.header("Location"), "/v1/payments/1");
    EXPECT_EQ(again.header("X-Served-By"), "") << "as the database's record gives it";
    EXPECT_EQ(again.header("Idempotent-Replayed"), "true");
  });
}

TEST_F(RedisAnswersTest, AnotherRequestUnderTheKeyIsTheDatabasesToRefuse) {
  run([&](const Context& ctx, System& system) {
    Process one(system, *db_, server_.address(), options());
    pay(ctx, one);
    until_kept(ctx, system, 1);
    EXPECT_EQ(error_of([&] { pay(ctx, one, "6"); }).reason(), "idempotency_key_reused");
    EXPECT_EQ(one.fast("hit"), 0u);
  });
}

TEST_F(RedisAnswersTest, WhatDidNotCommitIsNeverKept) {
  run([&](const Context& ctx, System& system) {
    Process one(system, *db_, server_.address(), options());
    EXPECT_EQ(error_of([&] { pay(ctx, one, "none"); }).code(), ErrorCode::unavailable);
    EXPECT_EQ(error_of([&] { pay(ctx, one, "none"); }).code(), ErrorCode::unavailable);
    EXPECT_EQ(runs_, 2);
    pay(ctx, one, "5", "k2");
    until_kept(ctx, system, 1);
    const auto client = system.client(server_.address());
    EXPECT_EQ(client->command(ctx, {"DBSIZE"}).as_integer(), 1);
  });
}

TEST_F(RedisAnswersTest, KilledFlushedOrSpoiltItCostsTimeOnly) {
  run([&](const Context& ctx, System& system) {
    Process one(system, *db_, server_.address(), options());
    const http::Response first = pay(ctx, one);
    until_kept(ctx, system, 1);
    const auto client = system.client(server_.address());
    const auto again = [&](int runs = 1) {
      const http::Response answer = pay(ctx, one);
      EXPECT_EQ(answer.body, first.body);
      EXPECT_EQ(answer.header("Location"), "/v1/payments/1");
      EXPECT_EQ(runs_, runs);
    };
    const std::string key = client->command(ctx, {"KEYS", "*"}).elements.at(0).text;
    const std::string whole = client->command(ctx, {"GET", key}).text;
    // A repeat that Redis couldn't answer puts the answer there again, after it was given: only then is the
    // next thing spoilt.
    const auto again_and_kept = [&] {
      again();
      System::eventually(ctx, "it is kept again", [&] {
        return client->command(ctx, {"TYPE", key}).as_text() == "string" &&
               client->command(ctx, {"GET", key}).text == whole;
      });
    };
    for (std::size_t size = 0; size < whole.size() - first.body.size(); size += 7) {
      client->command(ctx, {"SET", key, whole.substr(0, size)});
      again_and_kept();
    }
    client->command(ctx, {"DEL", key});
    client->command(ctx, {"LPUSH", key, "a list"});
    again_and_kept();
    client->command(ctx, {"FLUSHALL"});
    again_and_kept();
    EXPECT_EQ(one.fast("hit"), 0u) << "nothing spoilt was given";
    server_.kill();
    again();
    pay(ctx, one, "7", "k7");
    EXPECT_EQ(runs_, 2);
    server_.start();
    again(2);
    EXPECT_GE(one.fast("away"), 1u);
  });
}

TEST_F(RedisAnswersTest, ARedisThatHangsIsNotWaitedForLong) {
  run([&](const Context& ctx, System& system) {
    RedisAnswersOptions quick = options();
    quick.patience = 30ms;
    Process one(system, *db_, server_.address(), quick);
    const http::Response first = pay(ctx, one);
    until_kept(ctx, system, 1);
    server_.stop();
    const Instant begun = ctx.now();
    EXPECT_EQ(pay(ctx, one).body, first.body);
    EXPECT_LT(ctx.now() - begun, 3s) << "the client's own answer_timeout here is 5 s";
    server_.resume();
  });
}

TEST_F(RedisAnswersTest, DatabasesShareNoAnswersAndLargeOnesAreLeft) {
  run([&](const Context& ctx, System& system) {
    RedisAnswersOptions other = options();
    other.of = "another";
    other.max_bytes = 4;
    Process one(system, *db_, server_.address(), options());
    Process two(system, *db_, server_.address(), other);
    pay(ctx, one);
    until_kept(ctx, system, 1);
    pay(ctx, two);
    EXPECT_EQ(two.fast("hit"), 0u);
    EXPECT_EQ(two.fast("miss"), 1u);
    EXPECT_EQ(two.metrics.counter("holdfast_idempotency_fast_left_total", "").value(), 1u);
  });
}

/// Not a promise; a figure. By turns, so that whatever else runs here slows both.
TEST_F(RedisAnswersTest, WhatARepeatCostsWithAndWithout) {
  run([&](const Context& ctx, System& system) {
    Process with(system, *db_, server_.address(), options());
    observe::Metrics metrics;
    Idempotency without(*db_, metrics);
    pay(ctx, with);
    until_kept(ctx, system, 1);
    std::vector<Duration> fast;
    std::vector<Duration> plain;
    for (int i = 0; i < 300; ++i) {
      const Instant begun = ctx.now();
      pay(ctx, with);
      const Instant middle = ctx.now();
      pay(ctx, without);
      fast.push_back(middle - begun);
      plain.push_back(ctx.now() - middle);
    }
    EXPECT_EQ(runs_, 1);
    EXPECT_EQ(with.fast("hit"), 300u);
    const auto median = [](std::vector<Duration>& of) {
      std::ranges::nth_element(of, of.begin() + 150);
      return std::chrono::duration<double, std::micro>(of[150]).count();
    };
    const double quick = median(fast);
    const double slow = median(plain);
    std::printf("    a repeat, %s: %.0f us with Redis, %.0f us without, ratio %.2f\n",
                sql::on_postgres() ? "PostgreSQL" : "SQLite", quick, slow, quick / slow);
  });
}

}  // namespace
}  // namespace holdfast::idempotency
