#include "holdfast/webhooks/sender.hpp"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "holdfast/base/json.hpp"
#include "holdfast/messaging/testing/node.hpp"
#include "holdfast/sql/migrations.hpp"
#include "holdfast/sql/sqlite/database.hpp"
#include "holdfast/webhooks/internal/attempts.hpp"
#include "holdfast/webhooks/schema.hpp"
#include "holdfast/webhooks/testing/hooks.hpp"

namespace holdfast::webhooks {
namespace {

using namespace std::chrono_literals;
using messaging::eventually;

// Virtual time: a day of retries takes no time at all.
class SenderTest : public ::testing::Test {
 protected:
  void run(const std::function<void(const Context&, Hooks&)>& test, SenderOptions options = {}) {
    runtime::Runtime runtime({.simulated = true, .manual_clock = &clock}, clock, random);
    runtime.run([&](const Context& ctx) {
      {
        const auto database = sql::sqlite::open_memory(runtime);
        sql::Migrator(*database, migrations()).up(ctx);
        Hooks hooks(runtime, *database, receiver.send(), options);
        test(ctx, hooks);
        hooks.sender->stop(ctx.with_timeout(1min));
      }
      runtime::sleep_for(ctx, 1ms);  // the database's own fibers see that it is closed
    });
  }
  void answer_with(int status, std::vector<http::ResponseHeader> headers = {}) {
    receiver.answer = [=](const Context&, const Received&) {
      return http::ClientResponse{.status = status, .headers = headers};
    };
  }

  ManualClock clock;
  SeededRandom random{11};
  Receiver receiver;
};

bool finished(const Context& ctx, Hooks& hooks, const std::string& subscriber_id) {
  return hooks.list(ctx, subscriber_id, DeliveryStatus::pending).empty();
}

TEST_F(SenderTest, SendsASignedBodyToEachThatWantsIt) {
  run([&](const Context& ctx, Hooks& hooks) {
    const auto all = hooks.subscribe(ctx, "https://all.example/");
    const auto placed = hooks.subscribe(ctx, "https://placed.example/", {"order.placed"});
    const auto other = hooks.subscribe(ctx, "https://other.example/", {"stock.*"});
    hooks.sender->start();
    const std::string id = hooks.publish(ctx);
    ASSERT_TRUE(eventually(ctx, [&] { return hooks.attempts("delivered") == 2; }));
    EXPECT_EQ(receiver.count("https://other.example/"), 0U);
    for (const Received& one : receiver.all) {
      const auto& from = one.url == all.subscriber.url ? all : placed;
      EXPECT_EQ(one.headers.id, id);
      const std::vector secrets = {*StandardSecret::parse(from.secret)};
      EXPECT_EQ(verify_standard(secrets, one.headers, one.body, clock.wall_now()), Verdict::genuine);
      const JsonDocument body = JsonDocument::parse(one.body);
      EXPECT_EQ(body.root().find("id")->as_string(), id);
      EXPECT_EQ(body.root().find("type")->as_string(), "order.placed");
      EXPECT_EQ(body.root().find("createdAt")->as_string().substr(0, 11), "2026-01-01T");
      EXPECT_EQ(body.root().find("data")->find("id")->as_string(), "ord_1");
    }
    const auto rows = hooks.list(ctx, all.subscriber.id);
    ASSERT_EQ(rows.size(), 1U);
    EXPECT_EQ(rows[0].status, DeliveryStatus::delivered);
    EXPECT_EQ(rows[0].attempts, 1);
    EXPECT_EQ(rows[0].last_status, 200);
  });
}

TEST_F(SenderTest, TriesAgainLaterAndLaterUntilItIsTaken) {
  run([&](const Context& ctx, Hooks& hooks) {
    const auto made = hooks.subscribe(ctx, "https://a.example/");
    receiver.answer = [&](const Context&, const Received&) {
      return http::ClientResponse{.status = receiver.all.size() < 6 ? 500 : 204};
    };
    hooks.sender->start();
    const std::string id = hooks.publish(ctx);
    runtime::sleep_for(ctx, 20min);
    ASSERT_EQ(receiver.all.size(), 6U);
    Duration ceiling = 10s;
    for (std::size_t i = 1; i < 6; ++i, ceiling *= 2) {
      const Duration waited = receiver.all[i].at - receiver.all[i - 1].at;
      EXPECT_GE(waited, ceiling / 2) << i;
      EXPECT_LE(waited, ceiling + 1s) << i;
      EXPECT_EQ(receiver.all[i].headers.id, id);
      EXPECT_EQ(receiver.all[i].body, receiver.all[0].body);
      EXPECT_NE(receiver.all[i].headers.timestamp, receiver.all[0].headers.timestamp)
          << "each attempt is signed anew, or it would be stale";
    }
    const auto rows = hooks.list(ctx, made.subscriber.id);
    EXPECT_EQ(rows[0].status, DeliveryStatus::delivered);
    EXPECT_EQ(rows[0].attempts, 6);
    EXPECT_EQ(hooks.subscriber(ctx, made.subscriber.id).consecutive_failures, 0);
  });
}

TEST_F(SenderTest, GivesUpAfterAboutADay) {
  run(
      [&](const Context& ctx, Hooks& hooks) {
        const auto made = hooks.subscribe(ctx, "https://a.example/");
        answer_with(500);
        hooks.sender->start();
        hooks.publish(ctx);
        runtime::sleep_for(ctx, 48h);
        ASSERT_EQ(receiver.all.size(), 16U);
        const Duration took = receiver.all.back().at - receiver.all.front().at;
        EXPECT_GE(took, 14h);
        EXPECT_LE(took, 30h);
        const auto rows = hooks.list(ctx, made.subscriber.id);
        EXPECT_EQ(rows[0].status, DeliveryStatus::failed);
        EXPECT_EQ(rows[0].last_error, "HTTP 500");
        EXPECT_EQ(hooks.attempts("failed"), 1U);
        EXPECT_EQ(hooks.attempts("retried"), 15U);
      },
      {.poll = 1min});
}

TEST_F(SenderTest, WaitsAsLongAsTheReceiverAsksWithinReason) {
  run(
      [&](const Context& ctx, Hooks& hooks) {
        hooks.subscribe(ctx, "https://a.example/");
        answer_with(503, {{"Retry-After", "600"}});
        hooks.sender->start();
        hooks.publish(ctx);
        runtime::sleep_for(ctx, 15min);
        ASSERT_EQ(receiver.all.size(), 2U);
        EXPECT_GE(receiver.all[1].at - receiver.all[0].at, 600s);
        answer_with(429, {{"Retry-After", "999999999"}});
        runtime::sleep_for(ctx, 10min);
        ASSERT_EQ(receiver.all.size(), 3U);
        answer_with(503, {{"Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT"}});
        runtime::sleep_for(ctx, 7h);
        ASSERT_EQ(receiver.all.size(), 4U) << "a Retry-After of 31 years counts as six hours";
        answer_with(200);
        runtime::sleep_for(ctx, 7h);
        ASSERT_EQ(receiver.all.size(), 5U) << "and so does one of 8000 years";
        EXPECT_GE(receiver.all[4].at - receiver.all[3].at, 6h);
      },
      {.poll = 1min});
}

// Between the look for what is due and the taking of it.
TEST_F(SenderTest, TakesNothingOfASubscriberThatWasDisabledMeanwhile) {
  run([&](const Context& ctx, Hooks& hooks) {
    const auto made = hooks.subscribe(ctx, "https://a.example/");
    hooks.publish(ctx);
    const auto taken = [&] {
      return hooks.db.transact(ctx, [&](sql::Transaction& tx) {
        return take(tx, made.subscriber.id, clock.wall_now(), clock.wall_now() + 1min, 10).size();
      });
    };
    const auto change = [&](SubscriberStatus status) {
      hooks.db.transact(ctx, [&](sql::Transaction& tx) {
        return hooks.subscribers.change(ctx, tx, made.subscriber.id, {.status = status});
      });
    };
    change(SubscriberStatus::disabled);
    EXPECT_EQ(taken(), 0U);
    change(SubscriberStatus::enabled);
    EXPECT_EQ(taken(), 1U);
  });
}

TEST_F(SenderTest, TakesARedirectForAFailure) {
  run([&](const Context& ctx, Hooks& hooks) {
    const auto made = hooks.subscribe(ctx, "https://a.example/");
    answer_with(302, {{"Location", "http://169.254.169.254/"}});
    hooks.sender->start();
    hooks.publish(ctx);
    ASSERT_TRUE(eventually(ctx, [&] { return hooks.attempts("retried") == 1; }));
    EXPECT_EQ(hooks.list(ctx, made.subscriber.id)[0].last_error, "HTTP 302");
    EXPECT_EQ(receiver.count("http://169.254.169.254/"), 0U);
  });
}

TEST_F(SenderTest, AHangingSubscriberDelaysNobodyElse) {
  run([&](const Context& ctx, Hooks& hooks) {
    hooks.subscribe(ctx, "https://hangs.example/");
    const auto well = hooks.subscribe(ctx, "https://well.example/");
    receiver.answer = [](const Context& attempt, const Received& one) {
      if (one.url == "https://hangs.example/") return Receiver::hang(attempt);
      return http::ClientResponse{.status = 200};
    };
    hooks.sender->start();
    for (int i = 0; i < 200; ++i) hooks.publish(ctx);
    const Instant begun = ctx.now();
    ASSERT_TRUE(eventually(ctx, [&] { return finished(ctx, hooks, well.subscriber.id); }));
    EXPECT_LE(ctx.now() - begun, 1s);
    EXPECT_EQ(receiver.count("https://well.example/"), 200U);
    EXPECT_LE(receiver.count("https://hangs.example/"), 4U) << "a few at a time";
    runtime::sleep_for(ctx, 25s);
    EXPECT_LE(receiver.count("https://hangs.example/"), 4U + 2U) << "one at a time once it failed";
  });
}

TEST_F(SenderTest, HoweverManyHangThereIsRoomForOthers) {
  run(
      [&](const Context& ctx, Hooks& hooks) {
        for (int i = 0; i < 30; ++i) hooks.subscribe(ctx, "https://hangs.example/" + std::to_string(i));
        receiver.answer = [](const Context& attempt, const Received& one) {
          if (one.url != "https://well.example/") return Receiver::hang(attempt);
          return http::ClientResponse{.status = 200};
        };
        hooks.sender->start();
        for (int i = 0; i < 5; ++i) hooks.publish(ctx);
        runtime::sleep_for(ctx, 10min);  // all of them have failed by now
        const auto well = hooks.subscribe(ctx, "https://well.example/");
        const Instant begun = ctx.now();
        for (int i = 0; i < 20; ++i) hooks.publish(ctx);
        ASSERT_TRUE(eventually(ctx, [&] { return finished(ctx, hooks, well.subscriber.id); }));
        EXPECT_LE(ctx.now() - begun, 1s);
      },
      {.max_in_flight = 8});
}

TEST_F(SenderTest, WhoIsGoneIsToldNothingMoreUntilEnabled) {
  run([&](const Context& ctx, Hooks& hooks) {
    const auto made = hooks.subscribe(ctx, "https://a.example/");
    answer_with(410);
    hooks.sender->start();
    hooks.publish(ctx);
    ASSERT_TRUE(eventually(ctx, [&] { return hooks.attempts("failed") == 1; }));
    Subscriber seen = hooks.subscriber(ctx, made.subscriber.id);
    EXPECT_EQ(seen.status, SubscriberStatus::disabled);
    EXPECT_EQ(seen.disabled_reason, "gone");
    EXPECT_TRUE(seen.disabled_at);
    answer_with(200);
    hooks.publish(ctx);
    runtime::sleep_for(ctx, 1h);
    EXPECT_EQ(receiver.all.size(), 1U);
    hooks.db.transact(
        ctx, [&](sql::Transaction& tx) { return hooks.subscribers.enable(ctx, tx, made.subscriber.id); });
    const std::string id = hooks.publish(ctx);
    ASSERT_TRUE(eventually(ctx, [&] { return receiver.all.size() == 2; }));
    EXPECT_EQ(receiver.all[1].headers.id, id);
    EXPECT_EQ(hooks.subscriber(ctx, made.subscriber.id).status, SubscriberStatus::enabled);
  });
}

TEST_F(SenderTest, WhoOnlyFailsForDaysIsDisabledAndWhatIsPendingWaits) {
  run(
      [&](const Context& ctx, Hooks& hooks) {
        const auto made = hooks.subscribe(ctx, "https://a.example/");
        answer_with(500);
        hooks.sender->start();
        for (int day = 0; day < 5; ++day) {
          hooks.publish(ctx);
          EXPECT_EQ(hooks.subscriber(ctx, made.subscriber.id).status, SubscriberStatus::enabled) << day;
          runtime::sleep_for(ctx, 24h);
        }
        hooks.publish(ctx);
        runtime::sleep_for(ctx, 1h);
        const Subscriber seen = hooks.subscriber(ctx, made.subscriber.id);
        EXPECT_EQ(seen.status, SubscriberStatus::disabled);
        EXPECT_EQ(seen.disabled_reason, "failing");
        const std::size_t pending = hooks.list(ctx, made.subscriber.id, DeliveryStatus::pending).size();
        ASSERT_GT(pending, 0U);
        const std::size_t before = receiver.all.size();
        runtime::sleep_for(ctx, 24h);
        EXPECT_EQ(receiver.all.size(), before);
        answer_with(200);
        hooks.db.transact(
            ctx, [&](sql::Transaction& tx) { return hooks.subscribers.enable(ctx, tx, made.subscriber.id); });
        runtime::sleep_for(ctx, 2min);
        EXPECT_TRUE(finished(ctx, hooks, made.subscriber.id));
        EXPECT_EQ(receiver.all.size(), before + pending);
      },
      {.poll = 1min});
}

TEST_F(SenderTest, SendsAgainWhatItIsAskedTo) {
  run(
      [&](const Context& ctx, Hooks& hooks) {
        const auto made = hooks.subscribe(ctx, "https://a.example/");
        answer_with(400);
        hooks.sender->start();
        const WallTime since = clock.wall_now();
        const std::string first = hooks.publish(ctx);
        const std::string second = hooks.publish(ctx);
        ASSERT_TRUE(eventually(ctx, [&] { return hooks.attempts("failed") == 2; }));
        answer_with(200);
        const auto failed = hooks.list(ctx, made.subscriber.id, DeliveryStatus::failed);
        ASSERT_EQ(failed.size(), 2U);
        receiver.all.clear();
        hooks.db.transact(
            ctx, [&](sql::Transaction& tx) { return hooks.deliveries.redeliver(ctx, tx, failed[0].id); });
        ASSERT_TRUE(eventually(ctx, [&] { return hooks.attempts("delivered") == 1; }));
        EXPECT_EQ(receiver.all[0].headers.id, second);
        EXPECT_EQ(hooks.db.transact(ctx,
                                    [&](sql::Transaction& tx) {
                                      return hooks.deliveries.redeliver_failed(ctx, tx, made.subscriber.id,
                                                                               since);
                                    }),
                  1U);
        ASSERT_TRUE(eventually(ctx, [&] { return hooks.attempts("delivered") == 2; }));
        EXPECT_EQ(receiver.all[1].headers.id, first);
        const auto delivered = hooks.list(ctx, made.subscriber.id, DeliveryStatus::delivered);
        ASSERT_EQ(delivered.size(), 2U);
        hooks.db.transact(
            ctx, [&](sql::Transaction& tx) { return hooks.deliveries.redeliver(ctx, tx, delivered[1].id); });
        EXPECT_TRUE(eventually(ctx, [&] { return hooks.attempts("delivered") == 3; }))
            << "what was delivered too";
      },
      {.max_attempts = 1});
}

TEST_F(SenderTest, SignsWithBothSecretsWhileTheyAreRotated) {
  run([&](const Context& ctx, Hooks& hooks) {
    const auto made = hooks.subscribe(ctx, "https://a.example/");
    const auto rotated = hooks.db.transact(ctx, [&](sql::Transaction& tx) {
      return hooks.subscribers.rotate_secret(ctx, tx, made.subscriber.id);
    });
    EXPECT_NE(rotated.secret, made.secret);
    hooks.sender->start();
    hooks.publish(ctx);
    const auto verdict = [&](const std::string& secret) {
      const std::vector secrets = {*StandardSecret::parse(secret)};
      const Received& last = receiver.all.back();
      return verify_standard(secrets, last.headers, last.body, clock.wall_now());
    };
    ASSERT_TRUE(eventually(ctx, [&] { return receiver.all.size() == 1; }));
    EXPECT_EQ(verdict(made.secret), Verdict::genuine);
    EXPECT_EQ(verdict(rotated.secret), Verdict::genuine);
    runtime::sleep_for(ctx, 24h + 1s);
    hooks.publish(ctx);
    ASSERT_TRUE(eventually(ctx, [&] { return receiver.all.size() == 2; }));
    EXPECT_EQ(verdict(made.secret), Verdict::bad_signature);
    EXPECT_EQ(verdict(rotated.secret), Verdict::genuine);
  });
}

TEST_F(SenderTest, WhatWasSentButNotRecordedIsSentAgainUnderTheSameId) {
  run([&](const Context& ctx, Hooks& hooks) {
    const auto made = hooks.subscribe(ctx, "https://a.example/");
    receiver.answer = [](const Context& attempt, const Received&) { return Receiver::hang(attempt); };
    hooks.sender->start();
    const std::string id = hooks.publish(ctx);
    ASSERT_TRUE(eventually(ctx, [&] { return receiver.all.size() == 1; }));
    hooks.sender->abandon();  // the receiver has it, and nobody wrote that down
    answer_with(200);
    Hooks next(hooks.runtime, hooks.db, receiver.send());
    next.sender->start();
    runtime::sleep_for(ctx, 20s);
    EXPECT_EQ(receiver.all.size(), 1U) << "while the lease runs, the other may be alive";
    ASSERT_TRUE(eventually(ctx, [&] { return next.attempts("delivered") == 1; }));
    ASSERT_EQ(receiver.all.size(), 2U);
    EXPECT_EQ(receiver.all[1].headers.id, id);
    EXPECT_EQ(receiver.all[1].body, receiver.all[0].body);
    EXPECT_EQ(next.list(ctx, made.subscriber.id)[0].attempts, 2);
    next.sender->stop(ctx.with_timeout(1min));
  });
}

TEST_F(SenderTest, ALateRecordOfALostAttemptIsRefused) {
  run([&](const Context& ctx, Hooks& hooks) {
    const auto made = hooks.subscribe(ctx, "https://a.example/");
    runtime::Latch late;
    receiver.answer = [&](const Context&, const Received&) {
      if (receiver.all.size() > 1) return http::ClientResponse{.status = 200};
      late.wait(hooks.runtime.context(), "a process that was suspended");
      return http::ClientResponse{.status = 500};
    };
    hooks.sender->start();
    hooks.publish(ctx);
    Hooks other(hooks.runtime, hooks.db, receiver.send());
    other.sender->start();
    runtime::sleep_for(ctx, 40s);
    EXPECT_EQ(hooks.attempts("delivered") + other.attempts("delivered"), 1U);
    late.open();
    ASSERT_TRUE(eventually(ctx, [&] { return hooks.attempts("refused") + other.attempts("refused") == 1; }));
    EXPECT_EQ(hooks.list(ctx, made.subscriber.id)[0].status, DeliveryStatus::delivered);
    EXPECT_EQ(hooks.subscriber(ctx, made.subscriber.id).consecutive_failures, 0);
    other.sender->stop(ctx.with_timeout(1min));
  });
}

TEST_F(SenderTest, ALateFailureDoesNotCountBesideTheOneThatReplacedIt) {
  run([&](const Context& ctx, Hooks& hooks) {
    const auto made = hooks.subscribe(ctx, "https://a.example/");
    runtime::Latch late;
    receiver.answer = [&](const Context&, const Received&) {
      if (receiver.all.size() == 1) late.wait(hooks.runtime.context(), "a process that was suspended");
      return http::ClientResponse{.status = 503, .headers = {{"Retry-After", "3600"}}};
    };
    hooks.sender->start();
    hooks.publish(ctx);
    runtime::sleep_for(ctx, 40s);
    ASSERT_EQ(hooks.attempts("retried"), 1U);
    late.open();
    ASSERT_TRUE(eventually(ctx, [&] { return hooks.attempts("refused") == 1; }));
    EXPECT_EQ(hooks.subscriber(ctx, made.subscriber.id).consecutive_failures, 1);
  });
}

TEST_F(SenderTest, StoppingWaitsForAttemptsAndGivesBackWhatItCutsOff) {
  run([&](const Context& ctx, Hooks& hooks) {
    const auto slow = hooks.subscribe(ctx, "https://slow.example/");
    const auto hangs = hooks.subscribe(ctx, "https://hangs.example/");
    receiver.answer = [](const Context& attempt, const Received& one) {
      if (one.url == "https://hangs.example/") return Receiver::hang(attempt);
      runtime::sleep_for(attempt, 2s);
      return http::ClientResponse{.status = 200};
    };
    hooks.sender->start();
    hooks.publish(ctx);
    ASSERT_TRUE(eventually(ctx, [&] { return receiver.all.size() == 2; }));
    hooks.sender->stop(ctx.with_timeout(4s));
    EXPECT_EQ(hooks.list(ctx, slow.subscriber.id)[0].status, DeliveryStatus::delivered);
    const Delivery back = hooks.list(ctx, hangs.subscriber.id)[0];
    EXPECT_EQ(back.status, DeliveryStatus::pending);
    EXPECT_EQ(back.attempts, 0) << "it does not count";
    EXPECT_LE(*back.next_attempt_at, clock.wall_now()) << "the next process needn't wait for the lease";
    EXPECT_EQ(hooks.subscriber(ctx, hangs.subscriber.id).consecutive_failures, 0);
  });
}

TEST_F(SenderTest, RefusesOptionsWithoutASense) {
  run([&](const Context&, Hooks& hooks) {
    EXPECT_THROW(Hooks(hooks.runtime, hooks.db, receiver.send(), {.lease = 10s}), Error);
    EXPECT_THROW(Hooks(hooks.runtime, hooks.db, receiver.send(), {.max_in_flight = 0}), Error);
  });
}

}  // namespace
}  // namespace holdfast::webhooks
