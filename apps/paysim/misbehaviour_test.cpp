// How paysim breaks when it is told to, and that its book is right all the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "holdfast/webhooks/signature.hpp"
#include "paysim/testing/running_paysim.hpp"

namespace holdfast::paysim {
namespace {

using namespace std::chrono_literals;
using testing::Receiver;
using testing::Reply;
using testing::RunningPaysim;
using testing::with_paysim;

TEST(Misbehaviour, DropsTheConnectionAfterChargingAndTellsTheTruthWhenAskedAgain) {
  with_paysim([](RunningPaysim& p) {
    p.behave(R"({"rules":[{"action":"drop_after","operation":"authorize"}]})");
    EXPECT_EQ(p.unanswered("k1", "pm_card_visa"), "connection_lost");
    EXPECT_EQ(p.intents_of("ord_1"), 1U);
    const Reply again = p.authorize("k1", "pm_card_visa");
    EXPECT_EQ(again.status, 200);
    EXPECT_EQ(again.whole.header("Idempotent-Replayed"), "true");
    EXPECT_EQ(p.intents_of("ord_1"), 1U);
  });
}

TEST(Misbehaviour, DropsTheConnectionBeforeDoingAnything) {
  with_paysim([](RunningPaysim& p) {
    p.behave(R"({"rules":[{"action":"drop_before","operation":"authorize","times":1}]})");
    EXPECT_EQ(p.unanswered("k1", "pm_card_visa"), "connection_lost");
    EXPECT_EQ(p.intents_of("ord_1"), 0U);
    EXPECT_EQ(p.authorize("k1", "pm_card_visa").status, 200) << "and service goes on";
  });
}

TEST(Misbehaviour, HangsWithoutDoingAnything) {
  with_paysim([](RunningPaysim& p) {
    EXPECT_EQ(p.unanswered("k1", "pm_hang", "ord_1", 300ms), "upstream_timeout");
    EXPECT_EQ(p.intents_of("ord_1"), 0U);
    EXPECT_EQ(p.unanswered("k2", "pm_hang_after_charge", "ord_2"), "upstream_timeout");
    EXPECT_TRUE(p.eventually([&] { return p.intents_of("ord_2") == 1; }));
    // The caller has gone, so the key is free again.
    EXPECT_TRUE(p.eventually([&] { return p.authorize("k1", "pm_card_visa").status != 409; }));
  });
}

TEST(Misbehaviour, StopsWhileCallersHang) {
  with_paysim([](RunningPaysim& p) {
    runtime::FiberGroup group(p.ctx);
    std::string ended;
    group.spawn("caller", [&](const Context&) { ended = p.unanswered("k1", "pm_hang", "ord_1", 60s); });
    EXPECT_TRUE(p.eventually([&] { return p.get("/paysim/requests").at("misbehaved.hang") == "1"; }));
    const Instant before = p.ctx.now();
    p.stop();
    EXPECT_LT(p.ctx.now() - before, 15s) << "who hangs would wait for a minute";
    group.wait();
    EXPECT_EQ(ended, "connection_lost");
  });
}

TEST(Misbehaviour, ASlowChargeHappensAlthoughItsCallerHasGivenUp) {
  with_paysim([](RunningPaysim& p) {
    EXPECT_EQ(p.unanswered("k1", "pm_delay_3000ms", "ord_1", 1s), "upstream_timeout");
    EXPECT_EQ(p.intents_of("ord_1"), 0U) << "not yet";
    EXPECT_TRUE(p.eventually([&] { return p.intents_of("ord_1") == 1; }));
  });
}

TEST(Misbehaviour, AnswersErrorsThatAreForgottenUnlessToldOtherwise) {
  with_paysim([](RunningPaysim& p) {
    p.behave(R"({"rules":[{"action":"error","status":429,"retryAfter":2,"times":1}]})");
    const Reply refused = p.authorize("k1", "pm_card_visa");
    EXPECT_EQ(refused.status, 429);
    EXPECT_EQ(refused.whole.header("Retry-After"), "2");
    EXPECT_EQ(refused.at("error.code"), "rate_limit");
    EXPECT_EQ(p.authorize("k1", "pm_card_visa").status, 200);

    p.behave(R"({"rules":[{"action":"error","status":500,"remembered":true,"times":1}]})");
    EXPECT_EQ(p.authorize("k2", "pm_card_visa", "ord_2").status, 500);
    const Reply again = p.authorize("k2", "pm_card_visa", "ord_2");
    EXPECT_EQ(again.status, 500);
    EXPECT_EQ(again.whole.header("Idempotent-Replayed"), "true");
    EXPECT_EQ(p.intents_of("ord_2"), 0U);
  });
}

TEST(Misbehaviour, RulesForACardFollowItsPaymentToTheEnd) {
  with_paysim([](RunningPaysim& p) {
    const std::string amex = p.authorize("k1", "pm_card_amex").at("id");
    const std::string visa = p.authorize("k2", "pm_card_visa").at("id");
    p.behave(R"({"rules":[{"action":"error","status":503,"operation":"capture","card":"pm_card_amex"}]})");
    EXPECT_EQ(p.post("/v1/payment_intents/" + amex + "/capture").status, 503);
    EXPECT_EQ(p.post("/v1/payment_intents/" + visa + "/capture").status, 200);
  });
}

TEST(Misbehaviour, CountsCallsBySecond) {
  with_paysim([](RunningPaysim& p) {
    for (int i = 0; i < 20; ++i) p.authorize("k" + std::to_string(i), "pm_card_visa");
    const Reply counted = p.get("/paysim/requests");
    EXPECT_EQ(counted.at("operations.authorize"), "20");
    EXPECT_EQ(counted.at("statuses.200"), "20");
    EXPECT_GE(std::stoi(counted.at("highestPerSecond")), 1);
    EXPECT_LE(std::stoi(counted.at("highestPerSecond")), 20);
  });
}

class Webhooks : public ::testing::Test {
 protected:
  /// Authorizes an order with webhooks sent to `receiver`.
  static void order(RunningPaysim& p, const Receiver& receiver, const std::string& name = "ord_1") {
    const Reply pointed = p.control(http::Method::put, "/paysim/webhook",
                                    R"({"url":")" + receiver.url() + R"(","secret":"whsec_x"})");
    ASSERT_EQ(pointed.status, 200) << pointed.body;
    ASSERT_EQ(p.authorize("key of " + name, "pm_card_visa", name).status, 200);
  }
  static bool settled(RunningPaysim& p) {
    return p.eventually([&] { return p.get("/paysim/summary").at("deliveries.pending") == "0"; });
  }
};

TEST_F(Webhooks, AreSignedAndSentInOrder) {
  with_paysim([](RunningPaysim& p) {
    Receiver receiver(p.runtime);
    order(p, receiver);
    ASSERT_TRUE(p.eventually([&] { return receiver.received.size() == 2; }));
    EXPECT_EQ(receiver.types(), (std::vector<std::string>{"payment_intent.created",
                                                          "payment_intent.amount_capturable_updated"}));
    for (const auto& hook : receiver.received) {
      const std::vector<std::string> secrets{"whsec_x"};
      EXPECT_EQ(webhooks::verify_stripe(secrets, hook.signature, hook.body, p.runtime.clock().wall_now()),
                webhooks::Verdict::genuine);
      EXPECT_NE(
          webhooks::verify_stripe(secrets, hook.signature, hook.body + " ", p.runtime.clock().wall_now()),
          webhooks::Verdict::genuine);
    }
    const Reply event{200, receiver.received[1].body, {}};
    EXPECT_EQ(event.at("data.object.status"), "requires_capture");
    EXPECT_EQ(event.at("request.idempotency_key"), "key of ord_1");
  });
}

TEST_F(Webhooks, AreSentOfEnabledEventsOnly) {
  with_paysim([](RunningPaysim& p) {
    Receiver receiver(p.runtime);
    p.control(http::Method::put, "/paysim/webhook",
              R"({"url":")" + receiver.url() +
                  R"(","secret":"whsec_x","enabledEvents":["payment_intent.amount_capturable_updated"]})");
    ASSERT_EQ(p.authorize("key", "pm_card_visa", "ord_1").status, 200);
    EXPECT_TRUE(settled(p));
    EXPECT_EQ(receiver.types(), (std::vector<std::string>{"payment_intent.amount_capturable_updated"}));
    const Reply events = p.get("/v1/events");
    EXPECT_EQ(events.count("data"), 2U) << "all of them can be read";
    EXPECT_NE(events.body.find(R"("pending_webhooks":1)"), std::string::npos);
    EXPECT_NE(events.body.find(R"("pending_webhooks":0)"), std::string::npos);
  });
}

TEST_F(Webhooks, AreSentAgainUntilTheyAreTaken) {
  with_paysim([](RunningPaysim& p) {
    Receiver receiver(p.runtime);
    receiver.answer = [](std::size_t number) { return number <= 2 ? 500 : 200; };
    order(p, receiver);
    EXPECT_TRUE(settled(p));
    EXPECT_EQ(receiver.received.size(), 4U) << "two of them twice";
    EXPECT_EQ(p.get("/paysim/summary").at("deliveries.delivered"), "2");
  });
}

TEST_F(Webhooks, GoTwiceLateOrNotAtAllAsTold) {
  with_paysim([](RunningPaysim& p) {
    Receiver receiver(p.runtime);
    p.behave(R"({"webhooks":{"duplicates":1}})");
    order(p, receiver);
    EXPECT_TRUE(p.eventually([&] { return receiver.received.size() == 4; }));
    std::set<std::string> ids;
    for (const auto& hook : receiver.received) ids.insert(Reply{200, hook.body, {}}.at("id"));
    EXPECT_EQ(ids.size(), 2U);

    p.behave(R"({"webhooks":{"drop":1}})");
    order(p, receiver, "ord_2");
    p.behave(R"({"webhooks":{"delayMs":100}})");
    const Instant before = p.ctx.now();
    order(p, receiver, "ord_3");
    EXPECT_TRUE(p.eventually([&] { return receiver.received.size() == 6; }));
    EXPECT_GE(p.ctx.now() - before, 100ms);
    for (const auto& hook : receiver.received) {
      const Reply event{200, hook.body, {}};
      EXPECT_NE(event.at("data.object.metadata.order_id"), "ord_2");
    }
  });
}

TEST_F(Webhooks, OvertakeEachOtherAsTold) {
  with_paysim([](RunningPaysim& p) {
    Receiver receiver(p.runtime);
    p.behave(R"({"seed":3,"webhooks":{"reorder":0.5,"reorderMs":150}})");
    for (int i = 0; i < 8; ++i) order(p, receiver, "ord_" + std::to_string(i));
    EXPECT_TRUE(p.eventually([&] { return receiver.received.size() == 16; }));
    std::vector<std::string> ids;
    for (const auto& hook : receiver.received) ids.push_back(Reply{200, hook.body, {}}.at("id"));
    EXPECT_FALSE(std::is_sorted(ids.begin(), ids.end()));
  });
}

TEST_F(Webhooks, SurviveARestart) {
  with_paysim([](RunningPaysim& p) {
    Receiver receiver(p.runtime);
    p.behave(R"({"webhooks":{"delayMs":2000}})");
    order(p, receiver);
    p.stop();
    EXPECT_TRUE(receiver.received.empty());
    p.start();
    EXPECT_TRUE(p.eventually([&] { return receiver.received.size() == 2; }));
    const std::string event = Reply{200, receiver.received[0].body, {}}.at("id");
    EXPECT_EQ(p.control(http::Method::post, "/paysim/events/" + event + "/redeliver", "{}").status, 202);
    EXPECT_TRUE(p.eventually([&] { return receiver.received.size() == 3; }));
    EXPECT_EQ(p.control(http::Method::post, "/paysim/events/evt_none/redeliver", "{}").status, 404);
  });
}

}  // namespace
}  // namespace holdfast::paysim
