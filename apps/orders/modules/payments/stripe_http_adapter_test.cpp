#include "orders/modules/payments/stripe_http_adapter.hpp"

#include <gmock/gmock.h>

#include "orders/modules/payments/testing/fake_stripe.hpp"
#include "orders/modules/payments/testing/shop.hpp"

namespace holdfast::orders::payments {
namespace {

using ::testing::ElementsAre;
using testing::FakeStripe;
using ::testing::HasSubstr;
using testing::reason_of;
using testing::StripeUnderTest;
using Failure = MemoryProvider::Failure;

/// An adapter before a fake API, on a fiber.
class StripeAdapter : public ::testing::Test {
 protected:
  void run(const std::function<void(const Context&)>& body) { runtime_.run(body); }

  Authorization authorization(Money amount = {1250, Currency::of("GBP")}) {
    Authorization made;
    made.payment_id = ids_.make<PaymentId>();
    made.order_id = ids_.make<OrderId>();
    made.key = made.order_id.text() + "/authorize";
    made.amount = amount;
    made.method = "pm_card_visa";
    made.first_asked_at = clock_.wall_now();
    return made;
  }
  std::string cause_of(const std::function<void()>& body) {
    try {
      body();
    } catch (const Error& error) {
      return std::string(error.reason()) + ": " + error.cause();
    }
    return "nothing thrown";
  }

  ManualClock clock_;
  SeededRandom random_{3};
  IdGenerator ids_{clock_, random_};
  runtime::Runtime runtime_{{.simulated = true, .manual_clock = &clock_}, clock_, random_};
  StripeUnderTest stripe_;
  FakeStripe& fake_ = stripe_.fake;
  PaymentProvider& provider_ = stripe_.provider();
};

TEST_F(StripeAdapter, SaysWhatTheApiWantsToHear) {
  run([&](const Context& ctx) {
    const Authorization wanted = authorization();
    provider_.authorize(ctx, wanted);
    EXPECT_EQ(fake_.last_form.at("amount"), "1250");
    EXPECT_EQ(fake_.last_form.at("currency"), "gbp");
    EXPECT_EQ(fake_.last_form.at("confirm"), "true");
    EXPECT_EQ(fake_.last_form.at("capture_method"), "manual");
    EXPECT_EQ(fake_.last_form.at("automatic_payment_methods[enabled]"), "true");
    EXPECT_EQ(fake_.last_form.at("automatic_payment_methods[allow_redirects]"), "never");
    EXPECT_EQ(fake_.last_form.at("metadata[order_id]"), wanted.order_id.text());
    EXPECT_EQ(fake_.last_form.at("metadata[payment_id]"), wanted.payment_id.text());
    EXPECT_THAT(fake_.keys, ElementsAre(wanted.key));
  });
}

// The API takes automatic payment methods with confirm=true only where it is told where customers come back
// to, or that no method may send them away.
TEST_F(StripeAdapter, SaysWhereCustomersComeBackToOrThatTheyMustNotBeSentAway) {
  run([&](const Context& ctx) {
    Authorization wanted = authorization();
    wanted.method = "pm_card_authenticationRequired";
    const ProviderPayment declined = provider_.authorize(ctx, wanted);
    EXPECT_EQ(declined.status, ProviderStatus::declined);
    EXPECT_EQ(fake_.last_form.at("automatic_payment_methods[allow_redirects]"), "never");
    EXPECT_EQ(fake_.last_form.at("error_on_requires_action"), "true");
    EXPECT_FALSE(fake_.last_form.contains("return_url"));

    StripeUnderTest returning("https://shop.example/paid");
    wanted.payment_id = ids_.make<PaymentId>();
    const ProviderPayment asked = returning.provider().authorize(ctx, wanted);
    EXPECT_EQ(asked.status, ProviderStatus::action_required);
    EXPECT_EQ(returning.fake.last_form.at("return_url"), "https://shop.example/paid");
    EXPECT_FALSE(returning.fake.last_form.contains("automatic_payment_methods[allow_redirects]"));
    EXPECT_FALSE(returning.fake.last_form.contains("error_on_requires_action"));
  });
}

TEST(StripeSettingsTest, AReturnUrlIsAPage) {
  for (const char* url : {"", "https://shop.example/paid", "http://127.0.0.1:8080/docs", "shop.example/paid",
                          "ftp://shop.example/", "https://", "/paid"}) {
    Settings settings;
    settings.provider = ProviderKind::stripe;
    settings.stripe.secret_key = config::Secret("sk_test");
    settings.stripe.return_url = url;
    Violations faults;
    settings.validate(faults);
    const std::string_view text = url;
    const bool good = text.empty() || text.starts_with("https://shop") || text.starts_with("http://127");
    EXPECT_EQ(faults.empty(), good) << url;
  }
}

TEST_F(StripeAdapter, KnowsCurrenciesThatTheApiCountsOtherwise) {
  EXPECT_EQ(stripe::to_amount({1250, Currency::of("JPY")}), 1250);
  EXPECT_EQ(stripe::to_amount({1250, Currency::of("ISK")}), 125000);
  EXPECT_EQ(stripe::from_amount(125000, Currency::of("ISK")), (Money{1250, Currency::of("ISK")}));
  EXPECT_EQ(stripe::from_amount(125001, Currency::of("ISK")), std::nullopt);
  EXPECT_EQ(stripe::to_amount({1250, Currency::of("KWD")}), 1250);
  EXPECT_EQ(stripe::to_amount({1255, Currency::of("KWD")}), std::nullopt);
  EXPECT_EQ(stripe::to_amount({1200, Currency::of("MGA")}), 12);
  EXPECT_EQ(stripe::to_amount({1250, Currency::of("MGA")}), std::nullopt);
  EXPECT_EQ(stripe::to_amount({-1, Currency::of("GBP")}), std::nullopt);
  run([&](const Context& ctx) {
    const ProviderPayment held = provider_.authorize(ctx, authorization({700, Currency::of("ISK")}));
    EXPECT_EQ(held.amount, (Money{700, Currency::of("ISK")}));
    EXPECT_EQ(fake_.last_form.at("amount"), "70000");
    EXPECT_EQ(reason_of([&] {
                provider_.authorize(ctx, authorization({1255, Currency::of("KWD")}));
              }),
              "payment_rejected");
  });
}

TEST_F(StripeAdapter, AnAnswerThatCanNotBeReadLeavesTheOutcomeUnknown) {
  run([&](const Context& ctx) {
    for (const char* body :
         {"", "<html>", "{}", R"({"id":"pi_1","status":"new_status","amount":1,"currency":"gbp"})",
          R"({"id":"../x","status":"requires_capture","amount":1,"currency":"gbp"})",
          R"({"id":"pi_1","status":"requires_capture","amount":"1","currency":"gbp"})",
          R"({"id":"pi_1","status":"succeeded","amount":1,"currency":"gbp","amount_received":2})"}) {
      fake_.answer_next = body;
      EXPECT_EQ(reason_of([&] { provider_.authorize(ctx, authorization()); }), "payment_outcome_unknown")
          << body;
      fake_.answer_next = body;
      EXPECT_EQ(reason_of([&] { provider_.fetch(ctx, "pi_1"); }), "payment_unavailable") << body;
    }
  });
}

TEST_F(StripeAdapter, AFailureThatTheApiKeepsForItsKeyIsAskedAboutAndThenLeftBehind) {
  run([&](const Context& ctx) {
    const Authorization wanted = authorization();
    fake_.remembered_failure = 500;
    EXPECT_EQ(reason_of([&] { provider_.authorize(ctx, wanted); }), "payment_outcome_unknown");
    const ProviderPayment held = provider_.authorize(ctx, wanted);
    EXPECT_EQ(held.status, ProviderStatus::authorized);
    EXPECT_EQ(fake_.effects, 1U);
    EXPECT_EQ(provider_.authorize(ctx, wanted).ref, held.ref) << "the same keys lead to the same payment";
    fake_.remembered_failure = 500;
    EXPECT_EQ(reason_of([&] { provider_.capture(ctx, held.ref, "c", wanted.amount); }),
              "payment_outcome_unknown");
    EXPECT_EQ(provider_.capture(ctx, held.ref, "c", wanted.amount).captured, wanted.amount);
    fake_.remembered_failure = 500;
    EXPECT_EQ(reason_of([&] { provider_.refund(ctx, held.ref, "r", wanted.amount); }),
              "payment_outcome_unknown");
    EXPECT_EQ(provider_.refund(ctx, held.ref, "r", wanted.amount).refunded, wanted.amount);
    EXPECT_EQ(provider_.refund(ctx, held.ref, "r", wanted.amount).refunded, wanted.amount);
    EXPECT_EQ(fake_.effects, 3U);
    EXPECT_EQ(fake_.refunds.size(), 1U);
  });
}

TEST_F(StripeAdapter, AFailureThatHidAnEffectIsSeenThrough) {
  run([&](const Context& ctx) {
    fake_.failure_hides_effect = true;
    const Authorization wanted = authorization();
    fake_.remembered_failure = 500;
    EXPECT_EQ(reason_of([&] { provider_.authorize(ctx, wanted); }), "payment_outcome_unknown");
    const ProviderPayment held = provider_.authorize(ctx, wanted);
    EXPECT_EQ(held.status, ProviderStatus::authorized);
    EXPECT_EQ(fake_.effects, 1U) << "not held twice";
    fake_.remembered_failure = 500;
    EXPECT_EQ(reason_of([&] { provider_.capture(ctx, held.ref, "c", wanted.amount); }),
              "payment_outcome_unknown");
    EXPECT_EQ(provider_.capture(ctx, held.ref, "c", wanted.amount).captured, wanted.amount);
    const Money part{250, wanted.amount.currency};
    fake_.remembered_failure = 500;
    EXPECT_EQ(reason_of([&] { provider_.refund(ctx, held.ref, "r", part); }), "payment_outcome_unknown");
    EXPECT_EQ(provider_.refund(ctx, held.ref, "r", part).refunded, part);
    EXPECT_EQ(fake_.effects, 3U);
  });
}

TEST_F(StripeAdapter, WhatWasAskedForInOtherWordsBeforeIsFound) {
  run([&](const Context& ctx) {
    StripeSettings settings;
    settings.url = "https://api.stripe.test";
    settings.secret_key = config::Secret(FakeStripe::kKey);
    settings.return_url = "https://shop.example/paid";  // as it is since the last restart
    StripeProvider later(
        settings, [&](const Context&, const http::ClientRequest& request) { return fake_.send(request); });
    const Authorization wanted = authorization();
    const ProviderPayment held = provider_.authorize(ctx, wanted);
    EXPECT_EQ(later.authorize(ctx, wanted).ref, held.ref);
    EXPECT_EQ(later.withdraw(ctx, wanted)->ref, held.ref);
    const Authorization withdrawn = authorization();
    EXPECT_FALSE(provider_.withdraw(ctx, withdrawn).has_value());
    EXPECT_EQ(reason_of([&] { later.authorize(ctx, withdrawn); }), "payment_rejected");
    EXPECT_FALSE(later.withdraw(ctx, withdrawn).has_value());
    EXPECT_EQ(fake_.intents.size(), 2U);
  });
}

TEST_F(StripeAdapter, ItsWordsBecomeOurs) {
  run([&](const Context& ctx) {
    StripeSettings settings;
    settings.url = "https://api.stripe.test";
    settings.secret_key = config::Secret("sk_wrong");
    StripeProvider stranger(
        settings, [&](const Context&, const http::ClientRequest& request) { return fake_.send(request); });
    const std::string cause = cause_of([&] { stranger.authorize(ctx, authorization()); });
    EXPECT_THAT(cause, HasSubstr("payment_rejected: the key in payments.stripe.secret_key"));
    EXPECT_THAT(cause, ::testing::Not(HasSubstr("sk_wrong")));
    EXPECT_EQ(stripe::decline_reason("card_declined", "stolen_card"), DeclineReason::card_declined);
    EXPECT_EQ(stripe::decline_reason("card_declined", "authentication_required"),
              DeclineReason::authentication_failed);
    EXPECT_EQ(stripe::decline_reason("incorrect_cvc", ""), DeclineReason::incorrect_cvc);
  });
}

TEST_F(StripeAdapter, RefundsThatTakeTheirTimeAreOnTheirWay) {
  run([&](const Context& ctx) {
    const Authorization wanted = authorization();
    const std::string ref = provider_.authorize(ctx, wanted).ref;
    provider_.capture(ctx, ref, "c", wanted.amount);
    fake_.refund_status = "pending";
    const ProviderPayment back = provider_.refund(ctx, ref, "r", wanted.amount);
    EXPECT_EQ(back.refunded.minor, 0);
    EXPECT_EQ(back.refunding, wanted.amount);
    fake_.refunds[0].status = "failed";
    EXPECT_EQ(provider_.fetch(ctx, ref).refunding.minor, 0);
  });
}

TEST_F(StripeAdapter, HonoursWhatTheApiSaysAboutRepeating) {
  run([&](const Context& ctx) {
    std::vector<ErrorCode> thrown;
    StripeSettings settings;
    settings.url = "https://api.stripe.test";
    settings.secret_key = config::Secret(FakeStripe::kKey);
    const StripeProvider::Around twice = [&](const Context& attempt_ctx,
                                             const StripeProvider::Attempt& attempt) {
      try {
        return attempt(attempt_ctx);
      } catch (const Error& error) {
        thrown.push_back(error.code());
      }
      return attempt(attempt_ctx);
    };
    StripeProvider provider(
        settings, [&](const Context&, const http::ClientRequest& request) { return fake_.send(request); },
        twice);
    fake_.failure = Failure::after;
    fake_.failures_left = 1;
    EXPECT_EQ(provider.authorize(ctx, authorization()).status, ProviderStatus::authorized)
        << "a second try decides what the first left open";
    fake_.failure = Failure::before;
    fake_.failures_left = 2;
    EXPECT_EQ(reason_of([&] { provider.authorize(ctx, authorization()); }), "payment_unavailable");
    thrown.clear();
    fake_.remembered_failure = 503;
    fake_.extra_headers = {{"Stripe-Should-Retry", "false"}};
    EXPECT_EQ(provider.authorize(ctx, authorization()).status, ProviderStatus::authorized);
    EXPECT_THAT(thrown, ElementsAre(ErrorCode::internal)) << "policies do not repeat that";
  });
}

TEST_F(StripeAdapter, ATryThatMayHaveArrivedIsNotForgottenForOneThatDidNot) {
  run([&](const Context& ctx) {
    StripeSettings settings;
    settings.url = "https://api.stripe.test";
    int tries = 0;
    StripeProvider provider(
        settings,
        [&](const Context&, const http::ClientRequest&) -> http::ClientResponse {
          throw Error(ErrorCode::unavailable, "")
              .reason(++tries == 1 ? "connection_lost" : "connection_failed");
        },
        [](const Context& attempt_ctx, const StripeProvider::Attempt& attempt) {
          try {
            attempt(attempt_ctx);
          } catch (const Error&) {
          }
          return attempt(attempt_ctx);
        });
    EXPECT_EQ(reason_of([&] { provider.authorize(ctx, authorization()); }), "payment_outcome_unknown");
    EXPECT_EQ(tries, 2);
  });
}

// ---- events ---------------------------------------------------------------------------------------

TEST(StripeEvents, AreTranslated) {
  const auto intent = stripe::read_event(
      R"({"id":"evt_1","type":"payment_intent.succeeded","data":{"object":{"id":"pi_1","status":"succeeded",
          "amount":1250,"amount_received":1250,"currency":"gbp","latest_charge":"ch_1","new":[1],
          "metadata":{"payment_id":"pay_01jz3s4m5e6f7g8h9jakbmcndp"}}}})");
  ASSERT_TRUE(intent.has_value());
  EXPECT_EQ(intent->id, "evt_1");
  EXPECT_EQ(intent->seen->status, ProviderStatus::captured);
  EXPECT_EQ(intent->seen->captured.minor, 1250);
  EXPECT_TRUE(intent->payment_id.has_value());
  const auto refunded = stripe::read_event(
      R"({"id":"evt_2","type":"charge.refunded","data":{"object":{"id":"ch_1","payment_intent":"pi_1","amount":1250,
          "amount_captured":1250,"amount_refunded":250,"currency":"gbp"}}})");
  EXPECT_EQ(refunded->seen->refunded.minor, 250);
  EXPECT_EQ(refunded->ref, "pi_1");
  const auto hint = stripe::read_event(
      R"({"id":"evt_3","type":"refund.failed","data":{"object":{"id":"re_1","payment_intent":"pi_1"}}})");
  EXPECT_FALSE(hint->seen.has_value());
  EXPECT_FALSE(
      stripe::read_event(R"({"id":"evt_4","type":"customer.created","data":{"object":{}}})").has_value());
  for (const char* body :
       {"", "[]", "{}", R"({"id":"evt_1","type":"payment_intent.succeeded"})",
        R"({"id":"evt_1","type":"payment_intent.succeeded","data":{"object":{"id":"pi_1"}}})"}) {
    EXPECT_EQ(reason_of([&] { stripe::read_event(body); }), "malformed_event") << body;
  }
}

}  // namespace
}  // namespace holdfast::orders::payments
