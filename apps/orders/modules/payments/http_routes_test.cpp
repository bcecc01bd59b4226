#include "orders/modules/payments/http_routes.hpp"

#include <gmock/gmock.h>

#include "holdfast/http/problem.hpp"
#include "holdfast/webhooks/signature.hpp"
#include "orders/modules/payments/testing/shop.hpp"

namespace holdfast::orders::payments {
namespace {

using ::testing::HasSubstr;
using testing::reason_of;
using testing::Shop;
using testing::with_shop;

constexpr const char* kSecret = "whsec_test";

/// The routes over a shop, called without a network.
struct Routes {
  explicit Routes(Shop& the_shop) : shop(the_shop), log({.level = observe::LogLevel::off}, the_shop.clock) {
    add_routes(router, shop.db, shop.payments);
    StripeSettings stripe;
    stripe.webhook_secret = config::Secret(kSecret);
    add_webhook_route(router,
                      {.payments = shop.payments,
                       .logger = log.logger("payments"),
                       .stripe = stripe,
                       .told = [this](const Context&, sql::Transaction&, const PaymentEvent&) { ++told; }});
    router.seal();
  }

  http::Response call(http::Method method, const std::string& target, const std::string& body = {},
                      const std::string& signature = {}) {
    http::Request request;
    request.method = method;
    request.method_name = to_string(method);
    EXPECT_TRUE(request.set_target(target));
    request.body = body;
    if (!signature.empty()) request.headers.push_back({"Stripe-Signature", signature});
    return router.handle(shop.ctx, request);
  }
  http::Response get(const std::string& target) { return call(http::Method::get, target); }
  http::Response webhook(const std::string& body, Duration age = Duration(0), const char* secret = kSecret) {
    const WallTime then = shop.clock.wall_now() - std::chrono::duration_cast<std::chrono::microseconds>(age);
    return call(http::Method::post, "/v1/webhooks/payments", body, webhooks::sign_stripe(secret, body, then));
  }
  std::string event(const std::string& id, const Payment& payment, const std::string& status) {
    return R"({"id":")" + id + R"(","type":"payment_intent.x","data":{"object":{"id":")" +
           payment.provider_ref.value_or("pi_none") + R"(","status":")" + status + R"(","amount":)" +
           std::to_string(payment.amount.minor) + R"(,"amount_received":)" +
           std::to_string(payment.amount.minor) + R"(,"currency":"gbp"}}})";
  }

  Shop& shop;
  observe::Log log;
  http::Router router;
  int told = 0;
};

TEST(PaymentRoutes, ShowAnOrdersPaymentWithItsLedger) {
  with_shop([](Shop& shop) {
    Routes routes(shop);
    const OrderId order = shop.paid(1250);
    const http::Response shown = routes.get("/v1/orders/" + order.text() + "/payment");
    EXPECT_EQ(shown.status, 200);
    EXPECT_THAT(shown.body, HasSubstr(R"("state":"captured")"));
    EXPECT_THAT(shown.body, HasSubstr(R"("charged":{"minor":1250,"currency":"GBP"})"));
    EXPECT_THAT(shown.body, HasSubstr(R"("owed":{"minor":0,"currency":"GBP"})"));
    EXPECT_THAT(shown.body, HasSubstr(R"("account":"clearing:memory","amountMinor":1250)"));
    const std::string other = shop.ids.make<OrderId>().text();
    EXPECT_EQ(reason_of([&] { routes.get("/v1/orders/" + other + "/payment"); }), "unknown_payment");
  });
}

TEST(PaymentRoutes, Reconcile) {
  with_shop([](Shop& shop) {
    Routes routes(shop);
    shop.paid(1250);
    const OrderId open = shop.open(300);
    shop.provider.fail_next(MemoryProvider::Failure::after);
    shop.authorize(open);
    shop.clock.advance(std::chrono::seconds(90));
    const std::string body = routes.get("/v1/ops/payments/reconciliation?provider=true").body;
    EXPECT_THAT(body, HasSubstr(R"("balanced":true)"));
    EXPECT_THAT(body, HasSubstr(R"("unknown":1,"oldestUnknownSeconds":90)"));
    EXPECT_THAT(body, HasSubstr(R"("ageSeconds":90)"));
    EXPECT_THAT(body, HasSubstr(R"("providerPayments":2,"providerComplete":true,"discrepancies":[])"));
  });
}

TEST(PaymentWebhooks, AreTakenFromWhoCanSignOnly) {
  with_shop([](Shop& shop) {
    Routes routes(shop);
    const OrderId order = shop.open(1250);
    const std::string body = routes.event("evt_1", shop.authorize(order), "succeeded");
    EXPECT_EQ(reason_of([&] { routes.webhook(body, Duration(0), "whsec_other"); }), "bad_signature");
    EXPECT_EQ(reason_of([&] { routes.call(http::Method::post, "/v1/webhooks/payments", body); }),
              "bad_signature");
    EXPECT_EQ(reason_of([&] { routes.webhook(body, std::chrono::minutes(6)); }), "stale_signature");
    EXPECT_EQ(shop.get(order).state, PaymentState::authorized);
    const http::Response taken = routes.webhook(body, std::chrono::minutes(4));
    EXPECT_EQ(taken.status, 200);
    EXPECT_THAT(taken.body, HasSubstr("applied"));
    EXPECT_EQ(shop.get(order).state, PaymentState::captured);
    EXPECT_EQ(routes.told, 1);
    EXPECT_THAT(routes.webhook(body).body, HasSubstr("duplicate"));
    EXPECT_EQ(routes.told, 1);
    for (const char* outcome : {"bad_signature", "malformed", "stale", "accepted", "duplicate"}) {
      const auto counted = shop.metrics.counter("holdfast_webhooks_received_total", "",
                                                {{"source", "payments"}, {"outcome", outcome}});
      EXPECT_EQ(counted.value(), 1U) << outcome;
    }
  });
}

TEST(PaymentWebhooks, OfNoInterestAreThankedFor) {
  with_shop([](Shop& shop) {
    Routes routes(shop);
    EXPECT_THAT(routes.webhook(R"({"id":"evt_1","type":"customer.created","data":{"object":{}}})").body,
                HasSubstr("ignored"));
    Payment stranger;
    stranger.provider_ref = "pi_stranger";
    EXPECT_THAT(routes.webhook(routes.event("evt_2", stranger, "succeeded")).body,
                HasSubstr("unknown_payment"));
    EXPECT_EQ(routes.told, 0);
    EXPECT_EQ(reason_of([&] { routes.webhook("{}"); }), "malformed_event");
  });
}

TEST(PaymentWebhooks, NeedNoKeyAndHaveABound) {
  with_shop([](Shop& shop) {
    Routes routes(shop);
    for (const auto& route : routes.router.routes()) {
      if (route->pattern != "/v1/webhooks/payments") continue;
      EXPECT_TRUE(route->info.scope.empty());
      EXPECT_EQ(route->info.max_body_bytes, std::size_t{256} * 1024);
      return;
    }
    FAIL();
  });
}

}  // namespace
}  // namespace holdfast::orders::payments
