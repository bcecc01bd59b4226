// Checkouts while something is broken: processes that die, providers that are away, wrong settings.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/checkout_shop.hpp"

namespace holdfast::drills {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

/// So that a few orders open the breaker, and it probes soon.
CheckoutShopOptions sensitive() {
  return {.carrier = false,
          .environment = {},
          .arguments = {"--set", "dependencies.payments.breaker.minimum_calls=2", "--set",
                        "dependencies.payments.breaker.open_for=500ms", "--set",
                        "dependencies.payments.breaker.open_at_most=500ms", "--set",
                        "dependencies.payments.timeout.attempt=500ms"}};
}

std::string breaker_of(CheckoutShop& shop, const std::string& name) {
  const std::string all = shop.get("/v1/ops/dependencies").body;
  for (int i = 0; i < 9; ++i) {
    const std::string item = "items." + std::to_string(i);
    if (json_at(all, item + ".name") == name) return json_at(all, item + ".state");
  }
  return "";
}

TEST(CheckoutOutage, AWorkerOfItsOwnDoesWhatTheServerDoesNot) {
  CheckoutShop shop({.arguments = {"--no-worker"}});
  const std::string order = shop.place();
  EXPECT_FALSE(shop.becomes(order, "shipped", 1s)) << "nobody is there to do it";
  EXPECT_EQ(shop.order(order, "status"), "pending");
  const auto worker = shop.server().spawn({"worker"});
  EXPECT_TRUE(shop.becomes(order, "shipped"));
  const std::string asks = shop.place("pm_card_authenticationRequired");
  ASSERT_TRUE(CheckoutShop::eventually([&] { return shop.payment(asks, "state") == "action_required"; }));
  shop.authenticate(asks, true);  // heard by the server, done by the worker
  EXPECT_TRUE(shop.becomes(asks, "shipped"));
  worker->terminate();
  EXPECT_EQ(worker->wait(20s).code, 0) << worker->err();
}

TEST(CheckoutOutage, AServerKilledInTheMiddleGoesOnAfterItsRestart) {
  CheckoutShop shop;
  for (const char* operation : {"authorize", "capture"}) {
    shop.paysim().behave(R"({"rules":[{"action":"delay","operation":")" + std::string(operation) +
                         R"(","ms":3000}]})");
    const std::string order = shop.place();
    ASSERT_TRUE(CheckoutShop::eventually(
        [&] { return shop.saga(order, "step") == operation && shop.saga(order, "status") == "running"; }));
    shop.server().kill();
    shop.paysim().behave("{}");
    shop.server().start();
    EXPECT_TRUE(shop.becomes(order, "shipped")) << operation;
    EXPECT_EQ(json_at(shop.intent(order), "captured"), "2500") << "once";
    EXPECT_EQ(shop.get("/v1/outbox-mail/" + order + ".rejection").status, 404);
  }
  EXPECT_EQ(json_at(shop.carrier().book(), "totals.active"), "2");
  EXPECT_EQ(json_at(shop.carrier().book(), "totals.duplicated"), "0");
}

TEST(CheckoutOutage, AProviderThatIsAwayIsToldAndWaitedFor) {
  CheckoutShop shop(sensitive());
  shop.paysim().kill();
  std::vector<std::string> orders;
  for (int i = 0; i < 3; ++i) orders.push_back(shop.place());
  EXPECT_TRUE(CheckoutShop::eventually([&] { return breaker_of(shop, "payments") == "open"; }));
  EXPECT_TRUE(CheckoutShop::eventually([&] {
    const HttpAnswer ready = shop.get("/health/ready");
    return ready.status == 200 && ready.body.find("payments is asked nothing") != std::string::npos;
  })) << "it is told, and yet no reason to send no traffic";
  EXPECT_EQ(shop.get("/v1/products?limit=1").status, 200);
  for (const std::string& order : orders) EXPECT_EQ(shop.order(order, "status"), "pending");

  shop.paysim().start();
  for (const std::string& order : orders) {
    EXPECT_TRUE(shop.becomes(order, "confirmed")) << shop.get("/v1/ops/sagas").body;
    EXPECT_NE(shop.intent(order), "");
  }
  EXPECT_TRUE(CheckoutShop::eventually([&] { return breaker_of(shop, "payments") == "closed"; }));
  EXPECT_TRUE(CheckoutShop::eventually(
      [&] { return shop.get("/health/ready").body.find("asked nothing") == std::string::npos; }));
  EXPECT_THAT(shop.server().process().err(), HasSubstr("breaker changed"));
}

TEST(CheckoutOutage, AnOperatorCanStopAskingTheProvider) {
  CheckoutShop shop(sensitive());
  const std::string why = R"({"why":"they asked us to stop"})";
  ASSERT_EQ(shop.post("/v1/ops/dependencies/payments/open", why).status, 200);
  const std::string order = shop.place();
  ASSERT_TRUE(CheckoutShop::eventually([&] {
    return shop.saga(order, "error").find("breaker_forced_open") != std::string::npos;
  })) << shop.get("/v1/ops/sagas").body;
  EXPECT_EQ(shop.order(order, "status"), "pending");
  EXPECT_EQ(shop.intent(order), "") << "nothing was sent";
  ASSERT_EQ(shop.post("/v1/ops/dependencies/payments/reset", why).status, 200);
  EXPECT_TRUE(shop.becomes(order, "confirmed"));
}

TEST(CheckoutOutage, AWrongKeyIsToldAndRightedByARestart) {
  CheckoutShop shop(
      {.carrier = false, .environment = {{"HOLDFAST_PAYMENTS_STRIPE_SECRET_KEY", "sk_test_mistyped"}}});
  const std::string order = shop.place();
  ASSERT_TRUE(CheckoutShop::eventually([&] {
    return shop.saga(order, "error").find("payments.stripe.secret_key was refused") != std::string::npos;
  })) << shop.get("/v1/ops/sagas").body;
  EXPECT_EQ(shop.order(order, "status"), "pending");
  EXPECT_EQ(shop.server().stop().code, 0);
  EXPECT_THAT(shop.server().process().err(),
              AllOf(HasSubstr("payments.stripe.secret_key was refused"), Not(HasSubstr("sk_test_mistyped"))));
  shop.server().options().environment["HOLDFAST_PAYMENTS_STRIPE_SECRET_KEY"] = PaysimProcess::kSecretKey;
  shop.server().start();
  EXPECT_TRUE(shop.becomes(order, "confirmed"));
}

/// That nothing is held is known only when the provider says so; until then an order is not rejected.
TEST(CheckoutOutage, AProviderThatStaysAwayForTooLongRejectsTheOrderOnceItIsBack) {
  CheckoutShopOptions options = sensitive();
  options.environment["HOLDFAST_CHECKOUT_PATIENCE"] = "1s";
  CheckoutShop shop(std::move(options));
  const std::string before = shop.stock();
  shop.paysim().kill();
  const std::string order = shop.place();
  ASSERT_TRUE(CheckoutShop::eventually([&] { return shop.saga(order, "status") == "compensating"; }));
  EXPECT_EQ(shop.order(order, "status"), "pending");
  shop.paysim().start();
  ASSERT_TRUE(shop.becomes(order, "rejected"));
  EXPECT_EQ(shop.order(order, "statusReason"), "payment_unavailable");
  EXPECT_EQ(shop.payment(order, "state"), "cancelled");
  EXPECT_EQ(shop.stock(), before);
}

TEST(CheckoutOutage, AnAddressWhereNobodyIsIsTold) {
  CheckoutShop shop(
      {.carrier = false, .environment = {{"HOLDFAST_PAYMENTS_STRIPE_URL", "https://nobody.invalid"}}});
  const std::string order = shop.place();
  EXPECT_TRUE(CheckoutShop::eventually([&] {
    return shop.saga(order, "error").find("nobody.invalid") != std::string::npos;
  })) << shop.get("/v1/ops/sagas").body;
  EXPECT_TRUE(CheckoutShop::eventually(
      [&] { return shop.server().process().err().find("nobody.invalid") != std::string::npos; }));
}

TEST(CheckoutOutage, SettingsThatCantWorkAreNamedBeforeAnythingStarts) {
  const TemporaryFolder folder;
  const auto serve = [&](std::map<std::string, std::string> environment) {
    environment["HOLDFAST_DATA"] = (folder.path() / "data").string();
    environment["HOLDFAST_HTTP_ADDRESS"] = "127.0.0.1:0";
    return run(
        {.command = {holdfast_binary(), "serve"}, .folder = folder.path(), .environment = environment});
  };
  const Finished keyless = serve({{"HOLDFAST_PAYMENTS_PROVIDER", "stripe"}});
  EXPECT_EQ(keyless.status.code, 3) << keyless.err;
  EXPECT_THAT(keyless.err, HasSubstr("payments.stripe.secret_key"));
  EXPECT_EQ(keyless.err.find("must be set"), keyless.err.rfind("must be set"))
      << "told once: " << keyless.err;
  const Finished insecure = serve({{"HOLDFAST_PAYMENTS_PROVIDER", "stripe"},
                                   {"HOLDFAST_PAYMENTS_STRIPE_SECRET_KEY", "sk_live_secret"},
                                   {"HOLDFAST_PAYMENTS_STRIPE_URL", "http://api.example.com"}});
  EXPECT_EQ(insecure.status.code, 3) << insecure.err;
  EXPECT_THAT(insecure.err, AllOf(HasSubstr("payments.stripe.url"), Not(HasSubstr("sk_live_secret"))));
  const Finished misspelt = serve({{"HOLDFAST_PAYMENTS_PROVIDER", "strip"}});
  EXPECT_EQ(misspelt.status.code, 3) << misspelt.err;
  EXPECT_THAT(misspelt.err, HasSubstr("payments.provider"));
  const Finished impatient = serve({{"HOLDFAST_CHECKOUT_CUSTOMER_PATIENCE", "0s"}});
  EXPECT_EQ(impatient.status.code, 3) << impatient.err;
  EXPECT_THAT(impatient.err, HasSubstr("checkout.customer_patience"));
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "data"));
}

}  // namespace
}  // namespace holdfast::drills
