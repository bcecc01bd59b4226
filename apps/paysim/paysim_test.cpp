// What paysim promises whoever pays through it: Stripe's words, and its durability and idempotency.
#include "paysim/paysim.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "paysim/testing/running_paysim.hpp"

namespace holdfast::paysim {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Reply;
using testing::RunningPaysim;
using testing::with_paysim;

TEST(Paysim, AuthorizesCapturesAndRefunds) {
  with_paysim([](RunningPaysim& p) {
    const Reply held = p.authorize("k1", "pm_card_visa");
    ASSERT_EQ(held.status, 200) << held.body;
    EXPECT_EQ(held.at("status"), "requires_capture");
    EXPECT_EQ(held.at("amount_capturable"), "1999");
    EXPECT_EQ(held.at("metadata.order_id"), "ord_1");
    EXPECT_THAT(std::string(held.whole.header("Request-Id")), HasSubstr("req_"));
    const std::string id = held.at("id");

    EXPECT_EQ(p.post("/v1/payment_intents/" + id + "/capture", "amount_to_capture=2000").at("error.code"),
              "amount_too_large");
    const Reply captured = p.post("/v1/payment_intents/" + id + "/capture", "amount_to_capture=1500");
    EXPECT_EQ(captured.at("status"), "succeeded");
    EXPECT_EQ(captured.at("amount_received"), "1500");
    EXPECT_EQ(captured.at("amount_capturable"), "0");
    const Reply again = p.post("/v1/payment_intents/" + id + "/capture");
    EXPECT_EQ(again.status, 400);
    EXPECT_EQ(again.at("error.code"), "payment_intent_unexpected_state");
    EXPECT_EQ(again.at("error.payment_intent.id"), id);

    EXPECT_EQ(p.post("/v1/refunds", "payment_intent=" + id + "&amount=1501").status, 400);
    EXPECT_EQ(p.post("/v1/refunds", "payment_intent=" + id + "&amount=500").at("status"), "succeeded");
    EXPECT_EQ(p.post("/v1/refunds", "payment_intent=" + id).at("amount"), "1000");
    EXPECT_EQ(p.post("/v1/refunds", "payment_intent=" + id).at("error.code"), "charge_already_refunded");
    EXPECT_EQ(p.get("/v1/refunds?payment_intent=" + id).count("data"), 2U);
    EXPECT_EQ(
        p.get("/v1/payment_intents/" + id + "?expand[]=latest_charge").at("latest_charge.amount_refunded"),
        "1500");
    EXPECT_EQ(p.get("/paysim/book").at("totals"),
              R"({"intents":1,"authorized":1999,"capturable":0,"captured":1500,"refunded":1500})");
  });
}

TEST(Paysim, ConfirmsInASecondStepAndCancels) {
  with_paysim([](RunningPaysim& p) {
    const Reply made = p.post("/v1/payment_intents", "amount=5&currency=eur");
    EXPECT_EQ(made.at("status"), "requires_payment_method");
    const std::string path = "/v1/payment_intents/" + made.at("id");
    EXPECT_EQ(p.post(path + "/confirm").at("error.param"), "payment_method");
    EXPECT_EQ(p.post(path + "/confirm", "payment_method=pm_card_visa").at("status"), "succeeded");
    EXPECT_EQ(p.post(path + "/cancel").at("error.code"), "payment_intent_unexpected_state");

    const std::string held = "/v1/payment_intents/" + p.authorize("k", "pm_card_visa").at("id");
    const Reply cancelled = p.post(held + "/cancel", "cancellation_reason=requested_by_customer");
    EXPECT_EQ(cancelled.at("status"), "canceled");
    EXPECT_EQ(cancelled.at("amount_capturable"), "0");
    EXPECT_EQ(p.post(held + "/capture").status, 400);
    EXPECT_EQ(p.post("/v1/payment_intents/pi_none/capture").status, 404);
    EXPECT_EQ(p.get("/v1/payment_intents/pi_none").at("error.code"), "resource_missing");
  });
}

TEST(Paysim, DeclinesAsTheCardSays) {
  with_paysim([](RunningPaysim& p) {
    const Reply declined = p.authorize("k1", "pm_card_visa_chargeDeclinedInsufficientFunds");
    EXPECT_EQ(declined.status, 402);
    EXPECT_EQ(declined.at("error.type"), "card_error");
    EXPECT_EQ(declined.at("error.code"), "card_declined");
    EXPECT_EQ(declined.at("error.decline_code"), "insufficient_funds");
    EXPECT_EQ(declined.at("error.payment_intent.status"), "requires_payment_method");
    const std::string path = "/v1/payment_intents/" + declined.at("error.payment_intent.id");
    EXPECT_EQ(p.get(path).at("last_payment_error.decline_code"), "insufficient_funds");
    EXPECT_EQ(p.authorize("k2", "pm_card_chargeDeclinedExpiredCard").at("error.code"), "expired_card");
    EXPECT_EQ(p.post(path + "/confirm", "payment_method=pm_card_visa").at("status"), "requires_capture");
    EXPECT_EQ(p.get("/paysim/book").at("totals.authorized"), "1999") << "only what was paid in the end";
  });
}

TEST(Paysim, AsksThePayerWhereTheCardWantsIt) {
  with_paysim([](RunningPaysim& p) {
    const Reply asked = p.authorize("k1", "pm_card_authenticationRequired");
    EXPECT_EQ(asked.at("status"), "requires_action");
    EXPECT_EQ(asked.at("next_action.type"), "redirect_to_url");
    const std::string to = "/paysim/authenticate/" + asked.at("id");
    EXPECT_EQ(p.control(http::Method::post, to, R"({"passed":true})").at("status"), "requires_capture");
    const Reply never = p.post(
        "/v1/payment_intents",
        RunningPaysim::form("pm_card_authenticationRequired", "ord_2", "&error_on_requires_action=true"));
    EXPECT_EQ(never.status, 402);
    EXPECT_EQ(never.at("error.code"), "authentication_required");
  });
}

TEST(Paysim, SettlesLaterWhereToldTo) {
  with_paysim([](RunningPaysim& p) {
    p.behave(R"({"rules":[{"action":"async","ms":50}]})");
    const Reply processing = p.authorize("k1", "pm_card_visa");
    EXPECT_EQ(processing.at("status"), "processing");
    const std::string path = "/v1/payment_intents/" + processing.at("id");
    EXPECT_TRUE(p.eventually([&] { return p.get(path).at("status") == "requires_capture"; }));
    EXPECT_THAT(p.get("/v1/events").body, HasSubstr("payment_intent.amount_capturable_updated"));
  });
}

TEST(Paysim, AnswersAKeyTheSecondTimeAsTheFirst) {
  with_paysim([](RunningPaysim& p) {
    const Reply first = p.authorize("k1", "pm_card_visa");
    EXPECT_EQ(first.whole.header("Idempotent-Replayed"), "");
    p.post("/v1/payment_intents/" + first.at("id") + "/capture");
    const Reply second = p.authorize("k1", "pm_card_visa");
    EXPECT_EQ(second.body, first.body) << "as it was then, not as it is now";
    EXPECT_EQ(second.whole.header("Idempotent-Replayed"), "true");
    EXPECT_EQ(p.intents_of("ord_1"), 1U);

    const Reply declined = p.authorize("k2", "pm_card_chargeDeclined", "ord_2");
    EXPECT_EQ(p.authorize("k2", "pm_card_chargeDeclined", "ord_2").body, declined.body);
    EXPECT_EQ(p.intents_of("ord_2"), 1U);

    const Reply other = p.authorize("k1", "pm_card_visa", "ord_3");
    EXPECT_EQ(other.status, 400);
    EXPECT_EQ(other.at("error.type"), "idempotency_error");
    EXPECT_EQ(p.post("/v1/refunds", RunningPaysim::form("pm_card_visa"), "k9").status, 400);
    EXPECT_EQ(p.authorize("k9", "pm_card_visa").status, 200) << "what fails validation is not remembered";
    EXPECT_EQ(p.authorize(std::string(256, 'k'), "pm_card_visa").status, 400);
    EXPECT_EQ(p.get("/paysim/requests").at("replays"), "2");
  });
}

TEST(Paysim, RefusesAKeyWhileItsFirstRequestIsUnderWay) {
  with_paysim([](RunningPaysim& p) {
    p.behave(R"({"rules":[{"action":"delay","ms":2000,"times":1}]})");
    Reply slow;
    runtime::FiberGroup group(p.ctx);
    group.spawn("first", [&](const Context&) { slow = p.authorize("k1", "pm_card_visa"); });
    EXPECT_TRUE(p.eventually([&] { return p.get("/paysim/requests").at("operations.authorize") == "1"; }));
    const Reply second = p.authorize("k1", "pm_card_visa");
    EXPECT_EQ(second.status, 409);
    EXPECT_EQ(second.at("error.code"), "idempotency_key_in_use");
    group.wait();
    EXPECT_EQ(slow.status, 200);
    EXPECT_EQ(p.authorize("k1", "pm_card_visa").body, slow.body);
  });
}

TEST(Paysim, KeepsItsBookAndItsAnswersOverARestart) {
  with_paysim([](RunningPaysim& p) {
    const Reply first = p.authorize("k1", "pm_card_visa");
    p.stop();
    p.start();
    EXPECT_EQ(p.authorize("k1", "pm_card_visa").body, first.body);
    EXPECT_EQ(p.intents_of("ord_1"), 1U);
    EXPECT_EQ(p.get("/v1/payment_intents/" + first.at("id")).at("status"), "requires_capture");
  });
}

TEST(Paysim, ListsNewestFirstPageByPage) {
  with_paysim([](RunningPaysim& p) {
    for (int i = 0; i < 5; ++i)
      p.authorize("k" + std::to_string(i), "pm_card_visa", "ord_" + std::to_string(i));
    std::vector<std::string> orders;
    std::string after;
    for (;;) {
      const Reply page = p.get("/v1/payment_intents?limit=2" + after);
      const JsonDocument document = JsonDocument::parse(page.body);
      for (const JsonValue& intent : document.root().find("data")->items()) {
        orders.emplace_back(intent.find("metadata")->find("order_id")->as_string());
        after = "&starting_after=" + std::string(intent.find("id")->as_string());
      }
      if (page.at("has_more") == "false") break;
    }
    EXPECT_EQ(orders, (std::vector<std::string>{"ord_4", "ord_3", "ord_2", "ord_1", "ord_0"}));
    EXPECT_EQ(p.get("/v1/payment_intents?limit=0").status, 400);
    EXPECT_EQ(p.get("/v1/payment_intents?limit=101").status, 400);
    EXPECT_EQ(p.get("/v1/payment_intents?colour=red").at("error.code"), "parameter_unknown");
    EXPECT_EQ(p.get("/v1/payment_intents/search?query=amount>5").status, 400);
    EXPECT_EQ(p.get("/v1/events?type=payment_intent.created").count("data"), 5U);

    EXPECT_EQ(p.get("/paysim/book").count("intents"), 5U);
    const Reply page = p.get("/paysim/book?limit=3");
    EXPECT_EQ(page.count("intents"), 3U);
    EXPECT_EQ(p.get("/paysim/book?limit=3&after=" + page.at("next")).count("intents"), 2U);
    EXPECT_EQ(p.get("/paysim/book?limit=0").status, 400);
  });
}

TEST(Paysim, AsksForItsKey) {
  with_paysim([](RunningPaysim& p) {
    p.key = "";
    EXPECT_EQ(p.authorize("k", "pm_card_visa").status, 401);
    EXPECT_EQ(p.get("/paysim/book").status, 200) << "the controls are open";
    p.key = "sk_test_somebody_elses";
    const Reply wrong = p.authorize("k", "pm_card_visa");
    EXPECT_EQ(wrong.status, 401);
    EXPECT_THAT(wrong.at("error.message"), Not(HasSubstr("somebody")));
    EXPECT_EQ(p.get("/paysim/book").at("totals.intents"), "0");
    EXPECT_EQ(p.get("/v1/customers").status, 404);
    EXPECT_THAT(p.get("/v1/customers").at("error.message"), HasSubstr("Unrecognized request URL"));
  });
}

TEST(Paysim, ItsControlsTakeJsonOnly) {
  with_paysim([](RunningPaysim& p) {
    EXPECT_EQ(p.ask(http::Method::put, "/paysim/behaviour", "{}", {{"Content-Type", "text/plain"}}).status,
              400);
    EXPECT_EQ(p.post("/paysim/reset").status, 400);
    EXPECT_EQ(p.behave(R"({"rules":[{"action":"explode"}]})").status, 400);
    EXPECT_EQ(p.behave(R"({"rules":[{"action":"hang","operation":"refund"}]})").status, 200);
    p.authorize("k", "pm_card_visa");
    EXPECT_EQ(p.control(http::Method::post, "/paysim/reset", "{}").status, 200);
    EXPECT_EQ(p.get("/paysim/book").at("totals.intents"), "0");
    EXPECT_EQ(p.get("/paysim/requests").at("total"), "0");
    EXPECT_EQ(p.get("/paysim/behaviour").at("rules"), "[]");
    EXPECT_EQ(p.authorize("k", "pm_card_visa").whole.header("Idempotent-Replayed"), "");
  });
}

TEST(Paysim, ItsPageRunsItsOwnScriptOnly) {
  with_paysim([](RunningPaysim& p) {
    const Reply page = p.get("/");
    EXPECT_EQ(page.status, 200);
    const std::string policy(page.whole.header("Content-Security-Policy"));
    EXPECT_THAT(policy, HasSubstr("default-src 'none'; script-src 'sha256-"));
    EXPECT_THAT(policy, Not(HasSubstr("unsafe")));
    EXPECT_THAT(page.body, Not(HasSubstr("innerHTML")));
    p.authorize("k", "pm_card_visa", "<script>alert(1)</script>");
    EXPECT_EQ(p.get("/paysim/summary").count("intents"), 1U);
  });
}

}  // namespace
}  // namespace holdfast::paysim
