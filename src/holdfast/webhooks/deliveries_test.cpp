#include "holdfast/webhooks/deliveries.hpp"

#include <gtest/gtest.h>

#include <map>
#include <mutex>

#include "holdfast/base/json.hpp"
#include "holdfast/http/testing/test_server.hpp"
#include "holdfast/messaging/schema.hpp"
#include "holdfast/messaging/testing/node.hpp"
#include "holdfast/sql/migrations.hpp"
#include "holdfast/sql/sqlite/database.hpp"
#include "holdfast/sql/testing/test_database.hpp"
#include "holdfast/webhooks/schema.hpp"
#include "holdfast/webhooks/testing/hooks.hpp"

namespace holdfast::webhooks {
namespace {

using namespace std::chrono_literals;
using messaging::eventually;

std::vector<sql::Migration> all_migrations() {
  auto all = messaging::migrations();
  for (auto& step : migrations()) all.push_back(std::move(step));
  return all;
}

class DeliveriesTest : public ::testing::Test {
 protected:
  void run(const std::function<void(const Context&, Hooks&)>& test) {
    runtime::Runtime runtime({.simulated = true, .manual_clock = &clock}, clock, random);
    runtime.run([&](const Context& ctx) {
      {
        const auto database = sql::sqlite::open_memory(runtime);
        sql::Migrator(*database, all_migrations()).up(ctx);
        Hooks hooks(runtime, *database, receiver.send());
        test(ctx, hooks);
        hooks.sender->stop(ctx.with_timeout(1min));
      }
      runtime::sleep_for(ctx, 1ms);  // the database's own fibers see that it is closed
    });
  }
  static std::int64_t rows(const Context& ctx, Hooks& hooks, const char* table) {
    return hooks.db.query_value<std::int64_t>(ctx, std::string("select count(*) from ") + table);
  }

  ManualClock clock;
  SeededRandom random{11};
  Receiver receiver;
};

TEST_F(DeliveriesTest, AreARowASubscriberHoweverOftenTheMessageComes) {
  run([&](const Context& ctx, Hooks& hooks) {
    const auto a = hooks.subscribe(ctx, "https://a.example/");
    hooks.subscribe(ctx, "https://b.example/", {"order.*"});
    hooks.subscribe(ctx, "https://c.example/", {"stock.low"});
    const messaging::Message message = hooks.message();
    EXPECT_EQ(hooks.fan_out(ctx, message), 2U);
    EXPECT_EQ(hooks.fan_out(ctx, message), 0U);
    EXPECT_EQ(rows(ctx, hooks, "webhook_deliveries"), 2);
    EXPECT_EQ(rows(ctx, hooks, "webhook_events"), 1) << "one body for all";
  });
}

TEST_F(DeliveriesTest, AreNotMadeForWhatWasBeforeTheSubscriber) {
  run([&](const Context& ctx, Hooks& hooks) {
    const messaging::Message before = hooks.message();
    clock.advance(1s);
    hooks.subscribe(ctx, "https://a.example/");
    EXPECT_EQ(hooks.fan_out(ctx, before), 0U);
    EXPECT_EQ(hooks.fan_out(ctx, hooks.message()), 1U);
  });
}

TEST_F(DeliveriesTest, SayThatABodyWasTooLarge) {
  run([&](const Context& ctx, Hooks& hooks) {
    hooks.subscribe(ctx, "https://a.example/");
    hooks.fan_out(ctx, hooks.message("order.placed", "\"" + std::string(300 * 1024, 'x') + "\""));
    hooks.sender->start();
    ASSERT_TRUE(eventually(ctx, [&] { return receiver.all.size() == 1; }));
    const JsonDocument body = JsonDocument::parse(receiver.all[0].body);
    EXPECT_TRUE(body.root().find("data")->is_null());
    EXPECT_TRUE(body.root().find("dataOmitted")->as_bool());
  });
}

TEST_F(DeliveriesTest, OfATestGoToOneSubscriberWhateverItWants) {
  run([&](const Context& ctx, Hooks& hooks) {
    const auto a = hooks.subscribe(ctx, "https://a.example/", {"stock.low"});
    hooks.subscribe(ctx, "https://b.example/");
    hooks.sender->start();
    const Delivery sent = hooks.db.transact(
        ctx, [&](sql::Transaction& tx) { return hooks.deliveries.send_test(ctx, tx, a.subscriber.id); });
    EXPECT_EQ(sent.type, "webhook.test");
    ASSERT_TRUE(eventually(ctx, [&] { return hooks.attempts("delivered") == 1; }));
    EXPECT_EQ(receiver.all.size(), 1U);
    EXPECT_EQ(receiver.all[0].url, "https://a.example/");
    EXPECT_EQ(receiver.all[0].headers.id, sent.event_id);
  });
}

TEST_F(DeliveriesTest, OfTheDisabledAreNeitherMadeNorSentAgain) {
  run([&](const Context& ctx, Hooks& hooks) {
    const auto a = hooks.subscribe(ctx, "https://a.example/");
    hooks.publish(ctx);
    const std::string id = hooks.list(ctx, a.subscriber.id)[0].id;
    hooks.db.transact(ctx, [&](sql::Transaction& tx) {
      return hooks.subscribers.change(ctx, tx, a.subscriber.id, {.status = SubscriberStatus::disabled});
    });
    EXPECT_EQ(hooks.fan_out(ctx, hooks.message()), 0U);
    const auto refused = [&](const std::function<void(sql::Transaction&)>& body) {
      try {
        hooks.db.transact(ctx, [&](sql::Transaction& tx) { body(tx); });
        return std::string("taken");
      } catch (const Error& error) {
        return std::string(error.reason());
      }
    };
    EXPECT_EQ(refused([&](auto& tx) { hooks.deliveries.redeliver(ctx, tx, id); }), "subscriber_disabled");
    EXPECT_EQ(refused([&](auto& tx) { hooks.deliveries.send_test(ctx, tx, a.subscriber.id); }),
              "subscriber_disabled");
    EXPECT_EQ(refused([&](auto& tx) { hooks.deliveries.redeliver(ctx, tx, "whd_none"); }),
              "unknown_delivery");
  });
}

TEST_F(DeliveriesTest, AreForgottenAfterTheRetention) {
  run([&](const Context& ctx, Hooks& hooks) {
    const auto a = hooks.subscribe(ctx, "https://a.example/");
    const auto b = hooks.subscribe(ctx, "https://b.example/");
    receiver.answer = [](const Context&, const Received& one) {
      return http::ClientResponse{.status = one.url == "https://a.example/" ? 200 : 500};
    };
    hooks.publish(ctx);
    hooks.sender->start();
    ASSERT_TRUE(eventually(ctx, [&] { return hooks.attempts("delivered") == 1; }));
    hooks.sender->stop(ctx.with_timeout(1min));
    clock.advance(24h * 7 - 1min);
    EXPECT_EQ(hooks.deliveries.sweep(ctx, hooks.db), 0);
    clock.advance(2min);
    EXPECT_EQ(hooks.deliveries.sweep(ctx, hooks.db), 1);
    EXPECT_EQ(rows(ctx, hooks, "webhook_events"), 1) << "another delivery still needs it";
    EXPECT_EQ(hooks.list(ctx, b.subscriber.id).size(), 1U) << "pending is never swept";
    hooks.db.transact(ctx, [&](sql::Transaction& tx) { hooks.subscribers.remove(tx, b.subscriber.id); });
    EXPECT_EQ(hooks.deliveries.sweep(ctx, hooks.db), 1);
    EXPECT_EQ(rows(ctx, hooks, "webhook_events"), 0);
    EXPECT_EQ(rows(ctx, hooks, "webhook_subscribers"), 1);
  });
}

TEST_F(DeliveriesTest, ComeFromTheEventLog) {
  run([&](const Context& ctx, Hooks& hooks) {
    const auto a = hooks.subscribe(ctx, "https://a.example/");
    messaging::Outbox outbox(clock, random, hooks.metrics);
    messaging::EmbeddedBroker broker(hooks.runtime, hooks.db, outbox, hooks.metrics, observe::Logger());
    broker.subscribe(hooks.deliveries.subscription({"orders"}), hooks.deliveries.handler(hooks.db));
    broker.start(ctx);
    hooks.sender->start();
    clock.advance(1s);
    const std::string id = hooks.db.transact(ctx, [&](sql::Transaction& tx) {
      return outbox.publish(ctx, tx, {.topic = "orders", .key = "ord_1", .type = "order.placed"});
    });
    EXPECT_TRUE(eventually(ctx, [&] { return hooks.attempts("delivered") == 1; }));
    EXPECT_EQ(receiver.all.at(0).headers.id, id);
    broker.stop(ctx.with_timeout(10s));
  });
}

TEST_F(DeliveriesTest, EventsThatNobodyWantsArePassedOver) {
  run([&](const Context& ctx, Hooks& hooks) {
    messaging::Outbox outbox(clock, random, hooks.metrics);
    messaging::EmbeddedBroker broker(hooks.runtime, hooks.db, outbox, hooks.metrics, observe::Logger());
    broker.subscribe(hooks.deliveries.subscription({"orders"}), hooks.deliveries.handler(hooks.db));
    runtime::FiberGroup follower(ctx);
    follower.spawn("interest", [&](const Context& own) { hooks.deliveries.follow_interest(own, hooks.db); });
    broker.start(ctx);
    hooks.sender->start();
    ASSERT_TRUE(eventually(ctx, [&] { return !hooks.deliveries.may_be_wanted("order.placed"); }));
    const auto publish = [&](const char* type) {
      hooks.db.transact(ctx, [&](sql::Transaction& tx) {
        outbox.publish(ctx, tx, {.topic = "orders", .key = "ord_1", .type = type});
      });
    };
    const auto handled = [&] {
      return hooks.metrics.counter("holdfast_messaging_handled_total", "", {{"group", "webhooks"}}).value();
    };
    for (int i = 0; i < 20; ++i) publish("order.placed");
    runtime::sleep_for(ctx, 5s);
    EXPECT_EQ(handled(), 0U);

    hooks.db.transact(ctx, [&](sql::Transaction& tx) {  // as a route does, in this process
      hooks.deliveries.interest_changes(tx);
      hooks.subscribers.create(ctx, tx, {.url = "https://a.example/", .event_types = {"order.*"}});
    });
    publish("order.placed");
    publish("stock.low");
    EXPECT_TRUE(eventually(ctx, [&] { return receiver.count("https://a.example/") == 1; }));
    runtime::sleep_for(ctx, kInterestAge);
    EXPECT_FALSE(hooks.deliveries.may_be_wanted("stock.low"));

    hooks.subscribe(ctx, "https://b.example/");  // as another process does: nobody is told
    runtime::sleep_for(ctx, kInterestAge);
    publish("stock.low");
    EXPECT_TRUE(eventually(ctx, [&] { return receiver.count("https://b.example/") == 1; }));
    EXPECT_EQ(receiver.count("https://a.example/"), 1U);
    broker.stop(ctx.with_timeout(10s));
    follower.cancel();
    follower.wait();
  });
}

TEST_F(DeliveriesTest, WhatIsKnownOfInterestDoesNotCountForLong) {
  run([&](const Context& ctx, Hooks& hooks) {
    EXPECT_TRUE(hooks.deliveries.may_be_wanted("order.placed")) << "nothing is known yet";
    {
      runtime::FiberGroup follower(ctx);
      follower.spawn("interest",
                     [&](const Context& own) { hooks.deliveries.follow_interest(own, hooks.db); });
      ASSERT_TRUE(eventually(ctx, [&] { return !hooks.deliveries.may_be_wanted("order.placed"); }));
      runtime::sleep_for(ctx, 10 * kInterestAge);
      EXPECT_FALSE(hooks.deliveries.may_be_wanted("order.placed")) << "it is read again and again";
      follower.cancel();
      follower.wait();
    }
    runtime::sleep_for(ctx, kInterestAge);
    EXPECT_TRUE(hooks.deliveries.may_be_wanted("order.placed")) << "nobody reads it any more";
  });
}

// ---- Over the network, on the machine's clock.

/// A receiver as people write them: verifies, and knows what it had.
struct Shop {
  explicit Shop(http::Router router) : server(std::move(router)) {}
  std::string url(std::string_view path) const {
    return "http://127.0.0.1:" + std::to_string(server.port()) + std::string(path);
  }
  http::testing::TestServer server;
};

struct Seen {
  std::mutex mutex;
  std::map<std::string, int> by_id;
  std::vector<StandardSecret> secrets;
  int bad = 0;
  std::size_t size() {
    const std::lock_guard lock(mutex);
    return by_id.size();
  }
};

http::Router shop_routes(Seen& seen) {
  http::Router router;
  router.post("/hooks", [&seen](const Context& ctx, http::Request& request) {
    const std::lock_guard lock(seen.mutex);
    const StandardHeaders headers{std::string(request.header(kWebhookIdHeader)),
                                  std::string(request.header(kWebhookTimestampHeader)),
                                  std::string(request.header(kWebhookSignatureHeader))};
    if (verify_standard(seen.secrets, headers, request.body, ctx.clock().wall_now()) != Verdict::genuine) {
      ++seen.bad;
      return http::Response(400);
    }
    ++seen.by_id[headers.id];
    return http::Response(204);
  });
  router.post("/moved",
              [](const Context&, http::Request&) { return http::Response(307).set("Location", "/hooks"); });
  return router;
}

class OverTheNetwork : public ::testing::Test {
 protected:
  void run(const std::function<void(const Context&, runtime::Runtime&, sql::Database&)>& test) {
    runtime::Runtime runtime({.loops = 2}, clock, random);
    runtime.run([&](const Context& ctx) {
      const auto database = where.open(runtime);
      sql::Migrator(*database, all_migrations()).up(ctx);
      test(ctx, runtime, *database);
    });
  }

  sql::TestDatabase where;
  SystemClock clock;
  SystemRandom random;
  Seen seen;
  Shop shop{shop_routes(seen)};
};

TEST_F(OverTheNetwork, TwoSendersShareTheWork) {
  run([&](const Context& ctx, runtime::Runtime& runtime, sql::Database& db) {
    http::Client client(runtime, Sender::client_options(true));
    Hooks one(runtime, db, Sender::by(client), {.poll = 20ms});
    Hooks two(runtime, db, Sender::by(client), {.poll = 20ms, .loop = 1});
    const auto made = one.subscribe(ctx, shop.url("/hooks"));
    seen.secrets = {*StandardSecret::parse(made.secret)};
    one.sender->start();
    two.sender->start();
    constexpr std::size_t kEvents = 200;
    for (std::size_t i = 0; i < kEvents; ++i) (i % 2 == 0 ? one : two).publish(ctx);
    EXPECT_TRUE(
        eventually(ctx, [&] { return one.attempts("delivered") + two.attempts("delivered") == kEvents; }));
    one.sender->stop(ctx.with_timeout(10s));
    two.sender->stop(ctx.with_timeout(10s));
    EXPECT_EQ(seen.size(), kEvents);
    for (const auto& [id, times] : seen.by_id) EXPECT_EQ(times, 1) << id << ": nothing failed, so none twice";
    EXPECT_EQ(seen.bad, 0);
  });
}

TEST_F(OverTheNetwork, RedirectsAreNotFollowed) {
  run([&](const Context& ctx, runtime::Runtime& runtime, sql::Database& db) {
    http::Client client(runtime, Sender::client_options(true));
    Hooks hooks(runtime, db, Sender::by(client));
    const auto made = hooks.subscribe(ctx, shop.url("/moved"));
    seen.secrets = {*StandardSecret::parse(made.secret)};
    hooks.sender->start();
    hooks.publish(ctx);
    EXPECT_TRUE(eventually(ctx, [&] { return hooks.attempts("retried") == 1; }));
    EXPECT_EQ(seen.size(), 0U);
    hooks.sender->stop(ctx.with_timeout(10s));
  });
}

TEST_F(OverTheNetwork, OurOwnNetworkIsNotConnectedTo) {
  run([&](const Context& ctx, runtime::Runtime& runtime, sql::Database& db) {
    http::Client client(runtime, Sender::client_options(false));
    Hooks hooks(runtime, db, Sender::by(client));
    const auto made = hooks.subscribe(ctx, shop.url("/hooks"));
    hooks.sender->start();
    hooks.publish(ctx);
    EXPECT_TRUE(eventually(ctx, [&] { return hooks.attempts("retried") == 1; }));
    const Delivery row = hooks.list(ctx, made.subscriber.id).at(0);
    EXPECT_NE(row.last_error.value_or("").find("address_refused"), std::string::npos) << *row.last_error;
    EXPECT_EQ(shop.server.server->statistics().connections_accepted, 0U);
    hooks.sender->stop(ctx.with_timeout(10s));
  });
}

}  // namespace
}  // namespace holdfast::webhooks
