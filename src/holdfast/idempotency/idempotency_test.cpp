#include "holdfast/idempotency/idempotency.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "holdfast/base/reflect.hpp"
#include "holdfast/http/problem.hpp"
#include "holdfast/idempotency/fingerprint.hpp"
#include "holdfast/idempotency/schema.hpp"
#include "holdfast/idempotency/typed.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/runtime/sync.hpp"
#include "holdfast/sql/sqlite/database.hpp"
#include "holdfast/sql/testing/test_database.hpp"

namespace holdfast::idempotency {

struct Pay {
  std::int64_t amount = 0;
};
HOLDFAST_DESCRIBE(Pay, (amount))

struct Paid {
  std::int64_t payment = 0;
};
HOLDFAST_DESCRIBE(Paid, (payment))

namespace {

using namespace std::chrono_literals;
using ::testing::Each;
using ::testing::HasSubstr;

/// A request that owns its texts.
struct Sent {
  explicit Sent(const http::Route& route, std::string key = "k1", std::string body = R"({"amount": 5})",
                std::string target = "/v1/payments")
      : key_(std::move(key)), body_(std::move(body)), target_(std::move(target)) {
    request.method = http::Method::post;
    request.method_name = "POST";
    request.route = &route;
    request.body = body_;
    EXPECT_TRUE(request.set_target(target_));
    request.headers = {{"Content-Type", "application/json"}};
    if (!key_.empty()) request.headers.push_back({"idempotency-key", key_});
  }
  Sent(const Sent&) = delete;
  http::Request request;

 private:
  std::string key_, body_, target_;
};

class IdempotencyTest : public ::testing::Test {
 protected:
  /// Runs `test` on a file database with a table of payments.
  void run(const std::function<void(const Context&)>& test, Options options = {}) {
    runtime::Runtime runtime({.loops = 1}, clock_, random_);
    run_on(
        runtime, [&] { return database_.open(runtime); }, test, options);
  }
  /// The same in memory, and waiting takes no time.
  void run_simulated(const std::function<void(const Context&)>& test, Options options) {
    ManualClock clock;
    runtime::Runtime runtime({.simulated = true, .manual_clock = &clock}, clock, random_);
    run_on(
        runtime, [&] { return sql::sqlite::open_memory(runtime); }, test, options);
  }
  void run_on(runtime::Runtime& runtime, const std::function<std::unique_ptr<sql::Database>()>& open,
              const std::function<void(const Context&)>& test, const Options& options) {
    runtime.run([&](const Context& ctx) {
      db_ = open();
      sql::Migrator(*db_, migrations()).up(ctx);
      db_->transact(ctx, [](sql::Transaction& tx) {
        tx.execute_script(
            "create table if not exists payments(id integer primary key, amount integer not null)");
      });
      keys_ = std::make_unique<Idempotency>(*db_, metrics_, options);
      route_.method = http::Method::post;
      route_.pattern = "/v1/payments";
      route_.info.idempotency = http::Idempotency::required;
      test(ctx);
      keys_.reset();
      db_.reset();
    });
  }

  http::Handler paying() {
    return keys_->transactional("pay", [this](const Context&, sql::Transaction& tx, http::Request& request) {
      ++runs_;
      const Pay pay = from_json<Pay>(request.body);
      const auto id =
          tx.query_value<std::int64_t>("insert into payments(amount) values($1) returning id", pay.amount);
      return http::Response::json(201, "{\"payment\": " + std::to_string(id) + "}")
          .set("Location", "/v1/payments/" + std::to_string(id))
          .set("X-Served-By", "here");
    });
  }

  std::int64_t payments(const Context& ctx) {
    return db_->query_value<std::int64_t>(ctx, "select count(*) from payments");
  }
  std::int64_t records(const Context& ctx) {
    return db_->query_value<std::int64_t>(ctx, "select count(*) from idempotency_records");
  }
  std::uint64_t count(const char* what) {
    return metrics_.counter(std::string("holdfast_idempotency_") + what + "_total", "").value();
  }

  /// The reason of the Error that `handler` throws for `request`; "" where it throws none.
  static std::string refusal(const http::Handler& handler, const Context& ctx, http::Request& request) {
    try {
      handler(ctx, request);
      return "";
    } catch (const Error& error) {
      return std::string(error.reason());
    }
  }

  sql::TestDatabase database_;
  SystemClock clock_;
  SeededRandom random_{3};
  observe::Metrics metrics_;
  http::Route route_;
  std::unique_ptr<sql::Database> db_;
  std::unique_ptr<Idempotency> keys_;
  std::atomic<int> runs_ = 0;
};

TEST_F(IdempotencyTest, GivesTheFirstAnswerAgainByteForByte) {
  run([&](const Context& ctx) {
    const http::Handler pay = paying();
    Sent first(route_);
    Sent again(route_, R"("k1")", "{ \"amount\":5.0 }");  // quoted key, the same meaning in other bytes
    const http::Response one = pay(ctx, first.request);
    const http::Response two = pay(ctx, again.request);
    EXPECT_EQ(two.status, 201);
    EXPECT_EQ(two.body, one.body);
    EXPECT_EQ(two.header("Location"), one.header("Location"));
    EXPECT_EQ(two.header("Content-Type"), one.header("Content-Type"));
    EXPECT_EQ(two.header("Idempotent-Replayed"), "true");
    EXPECT_FALSE(one.has_header("Idempotent-Replayed"));
    EXPECT_FALSE(two.has_header("X-Served-By"));  // not of the answer
    EXPECT_EQ(payments(ctx), 1);
    EXPECT_EQ(count("stored"), 1U);
    EXPECT_EQ(count("replays"), 1U);
  });
}

TEST_F(IdempotencyTest, TenEqualRequestsAtOnceHaveOneEffectAndTenEqualAnswers) {
  run([&](const Context& ctx) {
    const http::Handler pay = paying();
    std::vector<std::string> bodies(10);
    runtime::FiberGroup clients(ctx);
    for (std::string& body : bodies) {
      clients.spawn("client", [&](const Context& inner) {
        Sent sent(route_);
        body = pay(inner, sent.request).body;
      });
    }
    clients.wait();
    EXPECT_EQ(payments(ctx), 1);
    EXPECT_THAT(bodies, Each(R"({"payment": 1})"));
    EXPECT_EQ(runs_.load(), 1);
  });
}

TEST_F(IdempotencyTest, KeysAreApartByPrincipalTenantRouteAndMethod) {
  run([&](const Context& ctx) {
    const http::Handler pay = paying();
    http::Route other = route_;
    other.pattern = "/v1/refunds";
    for (const char* subject : {"alice", "bob"}) {
      for (const char* tenant : {"", "t1"}) {
        for (const http::Route* route : {&route_, &other}) {
          Sent sent(*route);
          EXPECT_FALSE(pay(ctx.with_principal({.subject = subject, .tenant = tenant}), sent.request)
                           .has_header("Idempotent-Replayed"));
        }
      }
    }
    EXPECT_EQ(payments(ctx), 8);
  });
}

TEST_F(IdempotencyTest, RefusesAnotherPayloadAMissingKeyAndKeysThatAreNone) {
  run([&](const Context& ctx) {
    const http::Handler pay = paying();
    Sent first(route_);
    pay(ctx, first.request);
    Sent other(route_, "k1", R"({"amount": 6})");
    EXPECT_EQ(refusal(pay, ctx, other.request), "idempotency_key_reused");
    EXPECT_EQ(count("mismatches"), 1U);
    Sent query(route_, "k1", R"({"amount": 5})", "/v1/payments?fast=1");
    EXPECT_EQ(refusal(pay, ctx, query.request), "idempotency_key_reused");
    Sent none(route_, "");
    EXPECT_EQ(refusal(pay, ctx, none.request), "idempotency_key_missing");
    Sent two(route_);
    two.request.headers.push_back({"Idempotency-Key", "k2"});
    EXPECT_EQ(refusal(pay, ctx, two.request), "idempotency_key_invalid");
    EXPECT_EQ(payments(ctx), 1);

    route_.info.idempotency = http::Idempotency::optional;
    Sent without(route_, "");
    pay(ctx, without.request);
    pay(ctx, without.request);
    EXPECT_EQ(payments(ctx), 3);
    EXPECT_EQ(records(ctx), 1);
  });
}

TEST_F(IdempotencyTest, StoresARefusalWithoutItsEffect) {
  run([&](const Context& ctx) {
    const http::Handler refuse = keys_->transactional(
        "pay", [&](const Context&, sql::Transaction& tx, http::Request&) -> http::Response {
          ++runs_;
          tx.execute("insert into payments(amount) values(1)");
          throw Error(ErrorCode::conflict, "Too poor.").reason("insufficient_funds");
        });
    Sent first(route_);
    const http::Response one = refuse(ctx, first.request);
    EXPECT_EQ(one.status, 409);
    EXPECT_THAT(one.body, HasSubstr("insufficient_funds"));
    EXPECT_EQ(one.content_type(), "application/problem+json");
    const int runs = runs_.load();  // some databases run a body again to undo a part of it
    const http::Response two = refuse(ctx, first.request);
    EXPECT_EQ(two.status, 409);
    EXPECT_EQ(two.body, one.body);
    EXPECT_EQ(two.header("Idempotent-Replayed"), "true");
    EXPECT_EQ(runs_.load(), runs);
    EXPECT_EQ(payments(ctx), 0);
  });
}

TEST_F(IdempotencyTest, StoresNothingOfFailuresThatMayPass) {
  run([&](const Context& ctx) {
    const auto failing = [&](const std::function<http::Response()>& fail) {
      return keys_->transactional("pay", [&, fail](const Context&, sql::Transaction& tx, http::Request&) {
        tx.execute("insert into payments(amount) values(1)");
        return fail();
      });
    };
    Sent sent(route_);
    for (const ErrorCode code :
         {ErrorCode::internal, ErrorCode::unavailable, ErrorCode::rate_limited, ErrorCode::unauthenticated,
          ErrorCode::permission_denied, ErrorCode::cancelled}) {
      EXPECT_NE(refusal(failing([code]() -> http::Response { throw Error(code, "No."); }), ctx, sent.request),
                "");
    }
    for (const int status : {500, 503, 429, 401, 403, 408}) {
      EXPECT_EQ(failing([status] { return http::Response::text(status, "no"); })(ctx, sent.request).status,
                status);
    }
    EXPECT_EQ(payments(ctx), 0);
    EXPECT_EQ(records(ctx), 0);
    EXPECT_EQ(paying()(ctx, sent.request).status, 201);  // and the key is as good as new
  });
}

TEST_F(IdempotencyTest, WhatIsRefusedBeforeTheTransactionIsNotStored) {
  run([&](const Context& ctx) {
    http::Router router;
    const http::Route& route = idempotency::route(
        router, *keys_, http::Method::post, "/v1/payments",
        {.name = "pay", .idempotency = http::Idempotency::required}, "pay",
        [](const Context&, sql::Transaction& tx, const http::Body<Pay>& body) -> http::Created<Paid> {
          const auto id = tx.query_value<std::int64_t>("insert into payments(amount) values($1) returning id",
                                                       body->amount);
          return {{.payment = id}, "/v1/payments/" + std::to_string(id)};
        });
    Sent wrong(route, "k1", R"({"amount": "much"})");
    EXPECT_EQ(refusal(route.handler, ctx, wrong.request), "validation_failed");
    EXPECT_EQ(records(ctx), 0);
    Sent right(route);
    const http::Response one = route.handler(ctx, right.request);
    EXPECT_EQ(one.status, 201);
    EXPECT_EQ(one.body, R"({"payment":1})");
    EXPECT_EQ(one.header("Location"), "/v1/payments/1");
    EXPECT_EQ(route.handler(ctx, right.request).header("Idempotent-Replayed"), "true");
  });
}

TEST_F(IdempotencyTest, ADuplicateInFlightWaitsForTheFirstAndIsRefusedWhenItsTimeIsOver) {
  run([&](const Context& ctx) {
    runtime::Latch entered;
    runtime::Latch go;
    // The first is held in its preparation, which may wait; a second of the same key is not prepared.
    const http::Handler held =
        keys_->transactional("pay", [&](const Context& inner, http::Request&) -> Effect {
          entered.open();
          go.wait(inner, "waiting for the test");
          return [](const Context&, sql::Transaction& tx) {
            tx.execute("insert into payments(amount) values(1)");
            return http::Response::json(201, "{}");
          };
        });
    runtime::FiberGroup clients(ctx);
    clients.spawn("first", [&](const Context& inner) {
      Sent sent(route_);
      EXPECT_EQ(held(inner, sent.request).status, 201);
    });
    entered.wait(ctx, "waiting for the first");
    Sent second(route_);
    EXPECT_EQ(refusal(paying(), ctx.with_timeout(300ms), second.request), "idempotency_key_in_use");
    EXPECT_EQ(count("conflicts"), 1U);
    clients.spawn("third", [&](const Context& inner) {
      Sent sent(route_);
      EXPECT_EQ(paying()(inner, sent.request).header("Idempotent-Replayed"), "true");
    });
    runtime::yield();
    go.open();
    clients.wait();
    EXPECT_EQ(payments(ctx), 1);
    EXPECT_EQ(runs_.load(), 0);
  });
}

TEST_F(IdempotencyTest, ForgetsAfterTheRetention) {
  run_simulated(
      [&](const Context& ctx) {
        const http::Handler pay = paying();
        Sent sent(route_);
        pay(ctx, sent.request);
        runtime::sleep_for(ctx, 25h);
        EXPECT_FALSE(pay(ctx, sent.request).has_header("Idempotent-Replayed"));  // expired, not swept yet
        EXPECT_EQ(payments(ctx), 2);
        for (int n = 0; n < 5; ++n) {
          Sent other(route_, "other" + std::to_string(n));
          pay(ctx, other.request);
        }
        runtime::sleep_for(ctx, 25h);
        Sent young(route_, "young");
        pay(ctx, young.request);
        EXPECT_EQ(keys_->sweep(ctx), 6);
        EXPECT_EQ(records(ctx), 1);
      },
      {.retention = 24h, .sweep_batch = 2});
}

TEST_F(IdempotencyTest, ACrashBetweenEffectAndCommitLeavesNothing) {
  const auto killed_in_the_effect = [this] {
    run([&](const Context& ctx) {
      const http::Handler pay =
          keys_->transactional("pay", [](const Context&, sql::Transaction& tx, http::Request&) {
            tx.execute("insert into payments(amount) values(1)");
            ::raise(SIGKILL);
            return http::Response::json(201, "{}");
          });
      Sent sent(route_);
      pay(ctx, sent.request);
    });
    std::exit(1);
  };
  EXPECT_EXIT(killed_in_the_effect(), ::testing::KilledBySignal(SIGKILL), "");
  run([&](const Context& ctx) {
    EXPECT_EQ(payments(ctx), 0);
    EXPECT_EQ(records(ctx), 0);
    Sent sent(route_);
    EXPECT_FALSE(paying()(ctx, sent.request).has_header("Idempotent-Replayed"));
    EXPECT_EQ(payments(ctx), 1);
  });
}

TEST(IdempotencyKey, IsPrintableAsciiBareOrQuoted) {
  EXPECT_EQ(parse_key("8e03978e-40d5"), "8e03978e-40d5");
  EXPECT_EQ(parse_key(R"("8e03978e-40d5")"), "8e03978e-40d5");
  EXPECT_EQ(parse_key(R"(  "a \"b\" \\" )"), R"(a "b" \)");
  EXPECT_EQ(parse_key(std::string(255, 'x')), std::string(255, 'x'));
  for (const std::string& wrong :
       {std::string(), std::string(256, 'x'), std::string("\""), std::string("\"\""), std::string("\"a"),
        std::string("\"a\"b"), std::string("\"a\\\""), std::string("\"a\\n\""), std::string("a\x01"),
        std::string("\xc3\xa9")}) {
    EXPECT_THROW(parse_key(wrong), Error) << wrong;
  }
}

TEST(Fingerprint, IsTheSameForWhatMeansTheSame) {
  const http::Route route{.method = http::Method::post, .pattern = "/v1/payments"};
  const auto of = [&](const char* body, const char* target = "/v1/payments") {
    Sent sent(route, "k", body, target);
    return fingerprint_of(sent.request);
  };
  EXPECT_EQ(of(R"({"a":1,"b":[1,2]})"), of(" { \"b\" : [1.0, 2e0],\n\"a\":1 } "));
  EXPECT_EQ(of(R"({"a":"\u0041"})"), of(R"({"a":"A"})"));
  EXPECT_EQ(of("{}", "/v1/payments?a=1&b=2"), of("{}", "/v1/payments?b=2&a=1"));
  EXPECT_NE(of(R"({"a":1})"), of(R"({"a":"1"})"));
  EXPECT_NE(of(R"([1,2])"), of(R"([2,1])"));
  EXPECT_NE(of(R"({"a":null})"), of("{}"));
  EXPECT_NE(of("{}", "/v1/payments?a=1"), of("{}", "/v1/payments?a=2"));
  EXPECT_NE(of("{}", "/v1/payments?a=1"), of("{}"));
  EXPECT_NE(of("{broken"), of("{ broken"));  // no JSON: byte for byte
}

}  // namespace
}  // namespace holdfast::idempotency
