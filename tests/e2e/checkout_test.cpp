// What customers meet at the checkout: the server, paysim and carriersim as real processes over real sockets.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "drills/frame/raw_connection.hpp"
#include "support/checkout_shop.hpp"

namespace holdfast::drills {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kAsks = "pm_card_authenticationRequired";

bool has_mail(CheckoutShop& shop, const std::string& order, const std::string& kind) {
  return CheckoutShop::eventually(
      [&] { return shop.get("/v1/outbox-mail/" + order + "." + kind).status == 200; });
}

/// Until the customer is asked to confirm the payment.
bool waits_for_the_customer(CheckoutShop& shop, const std::string& order) {
  return CheckoutShop::eventually([&] { return shop.payment(order, "state") == "action_required"; });
}

TEST(Checkout, AnOrderIsPaidAndShipped) {
  CheckoutShop shop;
  const HttpAnswer placed = shop.try_place("pm_card_visa");
  ASSERT_EQ(placed.status, 201) << placed.body;
  EXPECT_EQ(json_at(placed.body, "status"), "pending");
  const std::string order = json_at(placed.body, "id");
  ASSERT_TRUE(shop.becomes(order, "shipped")) << shop.get("/v1/ops/sagas").body;

  EXPECT_EQ(shop.payment(order, "state"), "captured");
  EXPECT_EQ(shop.payment(order, "charged.minor"), "2500");
  EXPECT_EQ(shop.payment(order, "owed.minor"), "0");
  EXPECT_EQ(json_at(shop.intent(order), "captured"), "2500");
  const std::string shipment = shop.get("/v1/orders/" + order + "/shipment").body;
  EXPECT_EQ(json_at(shipment, "state"), "booked") << shipment;
  EXPECT_EQ(json_at(shop.carrier().book(), "bookings.0.tracking"), json_at(shipment, "trackingNumber"));
  EXPECT_EQ(json_at(shop.carrier().book(), "totals.bookings"), "1");
  EXPECT_TRUE(has_mail(shop, order, "receipt"));
  EXPECT_TRUE(has_mail(shop, order, "shipment"));

  EXPECT_EQ(shop.cancel(order).status, 409) << "it is on its way";
  const std::string books = shop.get("/v1/ops/payments/reconciliation?provider=true").body;
  EXPECT_EQ(json_at(books, "balanced"), "true") << books;
  EXPECT_EQ(json_at(books, "providerPayments"), "1");
  EXPECT_EQ(json_at(books, "discrepancies"), "[]");
  EXPECT_EQ(shop.server().stop().code, 0);
}

TEST(Checkout, CanBeWatched) {
  CheckoutShop shop;
  const std::string key = shop.server().create_key("read");
  const std::string order = shop.place();
  RawConnection watcher(shop.server().port());
  watcher.send("GET /v1/orders/" + order + "/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + key +
               "\r\n\r\n");
  ASSERT_TRUE(watcher.receive_until("event: order.shipped", 30s)) << watcher.received();
  const std::string& seen = watcher.received();
  const auto placed = seen.find("event: order.placed");
  const auto confirmed = seen.find("event: order.confirmed");
  ASSERT_NE(placed, std::string::npos) << seen;
  ASSERT_NE(confirmed, std::string::npos) << seen;
  EXPECT_LT(placed, confirmed);
  EXPECT_LT(confirmed, seen.find("event: order.shipped"));
}

TEST(Checkout, ADeclinedCardRejectsTheOrderAndSaysWhy) {
  CheckoutShop shop;
  const std::string before = shop.stock();
  const std::string order = shop.place("pm_card_visa_chargeDeclinedInsufficientFunds");
  ASSERT_TRUE(shop.becomes(order, "rejected"));
  EXPECT_EQ(shop.order(order, "statusReason"), "insufficient_funds");
  EXPECT_EQ(shop.stock(), before);
  EXPECT_EQ(shop.payment(order, "charged.minor"), "0");
  EXPECT_EQ(shop.payment(order, "declineReason"), "insufficient_funds");
  EXPECT_TRUE(has_mail(shop, order, "rejection"));
  EXPECT_EQ(shop.get("/v1/outbox-mail/" + order + ".receipt").status, 404);
  EXPECT_EQ(json_at(shop.carrier().book(), "totals.bookings"), "0");
  EXPECT_EQ(shop.cancel(order).status, 409);
}

TEST(Checkout, AnOrderThatNamesNoPaymentOrCantBeDeliveredIsNotTaken) {
  CheckoutShop shop;
  const std::string before = shop.stock();
  const HttpAnswer unpaid = shop.try_place("");
  EXPECT_EQ(unpaid.status, 422) << unpaid.body;
  EXPECT_EQ(json_at(unpaid.body, "code"), "payment_method_required");
  EXPECT_EQ(json_at(unpaid.body, "errors.0.pointer"), "/paymentMethod");
  const HttpAnswer too_long = shop.post(
      "/v1/orders",
      R"({"customerId":"ada","items":[{"sku":"MUG-ANCHOR","quantity":1}],"paymentMethod":"pm_card_visa",
          "shippingAddress":{"name":")" +
          std::string(190, 'A') +
          R"(","line1":"1 Harbour St","city":"Hull","postalCode":"1","country":"GB"}})",
      {{"Idempotency-Key", "long"}});
  EXPECT_EQ(too_long.status, 422) << too_long.body;
  EXPECT_EQ(json_at(too_long.body, "code"), "not_deliverable");
  EXPECT_EQ(json_at(too_long.body, "errors.0.pointer"), "/shippingAddress/name");
  EXPECT_EQ(shop.stock(), before);
  EXPECT_THAT(shop.get("/v1/orders").body, HasSubstr(R"("items":[])"));
  EXPECT_THAT(shop.paysim().book(), Not(HasSubstr("orderId\":\"ord_")));
}

TEST(Checkout, WaitsForTheCustomerAndGoesOnWithTheWebhook) {
  CheckoutShop shop;
  const std::string order = shop.place(kAsks);
  ASSERT_TRUE(waits_for_the_customer(shop, order));
  EXPECT_EQ(shop.order(order, "status"), "pending");
  EXPECT_TRUE(CheckoutShop::eventually([&] { return shop.saga(order, "status") == "waiting"; }));
  shop.authenticate(order, true);
  EXPECT_TRUE(shop.becomes(order, "shipped", 10s)) << "long before it would be asked";
  EXPECT_EQ(json_at(shop.intent(order), "captured"), "2500");
}

TEST(Checkout, ACustomerWhoFailsToConfirmIsToldSo) {
  CheckoutShop shop;
  const std::string before = shop.stock();
  const std::string order = shop.place(kAsks);
  ASSERT_TRUE(waits_for_the_customer(shop, order));
  shop.authenticate(order, false);
  ASSERT_TRUE(shop.becomes(order, "rejected", 10s));
  EXPECT_EQ(shop.order(order, "statusReason"), "authentication_failed");
  EXPECT_EQ(shop.stock(), before);
}

TEST(Checkout, ABankThatTakesItsTimeIsWaitedFor) {
  CheckoutShop shop;
  shop.paysim().behave(R"({"rules":[{"action":"async","ms":5000}]})");
  const std::string order = shop.place();
  ASSERT_TRUE(CheckoutShop::eventually([&] { return shop.payment(order, "state") == "processing"; }));
  EXPECT_EQ(shop.order(order, "status"), "pending");
  EXPECT_TRUE(shop.becomes(order, "shipped"));
}

TEST(Checkout, AWebhookThatNeverComesIsMadeUpForByAsking) {
  CheckoutShop shop({.environment = {{"HOLDFAST_CHECKOUT_CUSTOMER_PATIENCE", "6s"}}});
  shop.paysim().behave(R"({"webhooks":{"drop":1.0}})");
  const std::string before = shop.stock();
  const std::string confirmed = shop.place(kAsks);
  const std::string ignored = shop.place(kAsks);
  ASSERT_TRUE(waits_for_the_customer(shop, confirmed));
  shop.authenticate(confirmed, true);
  EXPECT_TRUE(shop.becomes(confirmed, "shipped"));
  ASSERT_TRUE(shop.becomes(ignored, "rejected"));
  EXPECT_EQ(shop.order(ignored, "statusReason"), "payment_not_confirmed");
  EXPECT_TRUE(CheckoutShop::eventually([&] { return shop.payment(ignored, "state") == "cancelled"; }));
  EXPECT_EQ(json_at(shop.intent(ignored), "status"), "canceled") << "it can't be confirmed any more";
  EXPECT_EQ(std::stoi(shop.stock()), std::stoi(before) - 2);
}

TEST(Checkout, AWebhookThatComesTooLateChangesNothing) {
  CheckoutShop shop;
  shop.paysim().behave(R"({"webhooks":{"delayMs":4000,"duplicates":1.0}})");
  const std::string order = shop.place(kAsks);
  ASSERT_TRUE(waits_for_the_customer(shop, order));
  shop.authenticate(order, true);
  ASSERT_EQ(shop.cancel(order).status, 200);
  ASSERT_TRUE(CheckoutShop::eventually([&] { return shop.saga(order, "status") == "compensated"; }));
  // Three things happened to it, of which two hooks each come.
  EXPECT_TRUE(CheckoutShop::eventually([&] {
    constexpr const char* kNone =
        "holdfast_webhooks_received_total{outcome=\"accepted\",source=\"payments\"} 0\n";
    return shop.get("/metrics").body.find(kNone) == std::string::npos;
  }));
  EXPECT_EQ(shop.order(order, "status"), "cancelled");
  EXPECT_EQ(shop.payment(order, "state"), "cancelled");
}

TEST(Checkout, CancelledWhilePendingLeavesNoHold) {
  CheckoutShop shop;
  const std::string before = shop.stock();
  const std::string order = shop.place(kAsks);
  ASSERT_TRUE(waits_for_the_customer(shop, order));
  const HttpAnswer cancelled = shop.cancel(order);
  ASSERT_EQ(cancelled.status, 200) << cancelled.body;
  EXPECT_EQ(json_at(cancelled.body, "status"), "cancelled");
  EXPECT_EQ(shop.stock(), before);
  EXPECT_TRUE(CheckoutShop::eventually([&] { return shop.payment(order, "state") == "cancelled"; }));
  EXPECT_EQ(json_at(shop.intent(order), "status"), "canceled");
  EXPECT_EQ(shop.cancel(order).status, 200) << "again changes nothing";
}

TEST(Checkout, CancelledWhileTheProviderIsBeingAskedChargesNothing) {
  CheckoutShop shop;
  shop.paysim().behave(R"({"rules":[{"action":"delay","operation":"authorize","ms":3000}]})");
  const std::string order = shop.place();
  ASSERT_TRUE(CheckoutShop::eventually([&] { return json_at(shop.paysim().requests(), "total") != "0"; }));
  ASSERT_EQ(shop.cancel(order).status, 200);
  ASSERT_TRUE(CheckoutShop::eventually([&] { return shop.saga(order, "status") == "compensated"; }));
  EXPECT_EQ(shop.payment(order, "charged.minor"), "0");
  EXPECT_EQ(json_at(shop.intent(order), "capturable"), "0") << shop.intent(order);
}

TEST(Checkout, CancelledWhileTheCarrierIsAwayGetsTheMoneyBack) {
  CheckoutShop shop;
  const std::string before = shop.stock();
  shop.carrier().behave(R"({"rules":[{"action":"error","status":503}]})");
  const std::string order = shop.place();
  ASSERT_TRUE(shop.becomes(order, "confirmed"));
  ASSERT_TRUE(CheckoutShop::eventually([&] { return shop.payment(order, "state") == "captured"; }));
  ASSERT_EQ(shop.cancel(order).status, 200);
  shop.carrier().behave("{}");  // what may have been booked can only be called off by asking
  ASSERT_TRUE(CheckoutShop::eventually([&] { return shop.payment(order, "state") == "refunded"; }));
  EXPECT_EQ(json_at(shop.intent(order), "refunded"), "2500");
  EXPECT_EQ(json_at(shop.carrier().book(), "totals.active"), "0");
  EXPECT_EQ(shop.stock(), before);
}

TEST(Checkout, WithoutACarrierAConfirmedOrderCanBeCancelledAndIsRefunded) {
  CheckoutShop shop({.carrier = false});
  const std::string before = shop.stock();
  const std::string order = shop.place();
  ASSERT_TRUE(shop.becomes(order, "confirmed"));
  ASSERT_TRUE(CheckoutShop::eventually([&] { return shop.saga(order, "status") == "completed"; }));
  ASSERT_EQ(shop.cancel(order).status, 200);
  ASSERT_TRUE(CheckoutShop::eventually([&] { return shop.payment(order, "state") == "refunded"; }));
  EXPECT_EQ(shop.order(order, "status"), "cancelled");
  EXPECT_EQ(json_at(shop.intent(order), "refunded"), "2500");
  EXPECT_EQ(shop.stock(), before);
  EXPECT_TRUE(has_mail(shop, order, "cancellation"));
}

TEST(Checkout, AForgedOrOldWebhookIsRefused) {
  CheckoutShop shop;
  const std::string event = R"({"id":"evt_1","type":"payment_intent.succeeded","data":{"object":{}}})";
  for (const char* signature :
       {"", "t=1,v1=00", "v1=abc", "t=99999999999,v1=ab",
        "t=1700000000,v1=5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd"}) {
    const HttpAnswer answer = shop.post("/v1/webhooks/payments", event, {{"Stripe-Signature", signature}});
    EXPECT_EQ(answer.status, 400) << signature << ": " << answer.body;
  }
  CheckoutShop silent({.carrier = false, .environment = {{"HOLDFAST_PAYMENTS_STRIPE_WEBHOOK_SECRET", ""}}});
  const HttpAnswer answer = silent.post("/v1/webhooks/payments", event, {{"Stripe-Signature", "t=1,v1=00"}});
  EXPECT_EQ(answer.status, 503) << answer.body;
  EXPECT_EQ(json_at(answer.body, "code"), "webhooks_not_configured");
}

TEST(Checkout, AProductsPageIsServedWithoutItsSlowParts) {
  CheckoutShop shop({.carrier = false, .environment = {{"HOLDFAST_CATALOG_PAGE_REVIEWS_DELAY", "2s"}}});
  const HttpAnswer page = shop.get("/v1/products/" + std::string(CheckoutShop::kSku) + "/page");
  ASSERT_EQ(page.status, 200) << page.body;
  EXPECT_THAT(json_at(page.body, "degraded"), HasSubstr("reviews")) << page.body;
  EXPECT_THAT(shop.get("/metrics").body, HasSubstr(R"(holdfast_page_parts_total{outcome=")"));
}

}  // namespace
}  // namespace holdfast::drills
