// Checkouts that need a person: what operators see, and what retry and abandon do, by command and by API.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/checkout_shop.hpp"

namespace holdfast::drills {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class ParkedSagas : public ::testing::Test {
 protected:
  /// An order that was paid and is cancelled while the provider refuses to refund.
  std::string cancel_without_refund() {
    const std::string order = shop_.place();
    EXPECT_TRUE(CheckoutShop::eventually([&] { return shop_.saga(order, "status") == "completed"; }));
    shop_.paysim().behave(R"({"rules":[{"action":"error","operation":"refund","status":400}]})");
    EXPECT_EQ(shop_.cancel(order).status, 200);
    EXPECT_TRUE(CheckoutShop::eventually([&] {
      return shop_.saga(order, "status", "give-back") == "parked";
    })) << shop_.get("/v1/ops/sagas").body;
    return order;
  }
  Finished sagas(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "sagas");
    return shop_.server().run(std::move(arguments));
  }

  CheckoutShop shop_{{.carrier = false, .environment = {{"HOLDFAST_CHECKOUT_UNDO_PATIENCE", "1s"}}}};
};

TEST_F(ParkedSagas, AreShownAndGoOnWhenRetried) {
  const std::string order = cancel_without_refund();
  const std::string id = shop_.saga(order, "id", "give-back");
  EXPECT_EQ(shop_.order(order, "status"), "cancelled");
  EXPECT_EQ(shop_.payment(order, "state"), "captured");
  EXPECT_TRUE(CheckoutShop::eventually(
      [&] { return shop_.get("/health/ready").body.find("parked") != std::string::npos; }));
  EXPECT_TRUE(CheckoutShop::eventually([&] {
    const std::string log = shop_.server().process().err();
    return log.find("a saga is parked") != std::string::npos && log.find(id) != std::string::npos;
  })) << shop_.server().process().err();

  const Finished listed = sagas({"list", "--status", "parked"});
  EXPECT_EQ(listed.status.code, 0);
  EXPECT_THAT(listed.out, AllOf(HasSubstr(id), HasSubstr(order), HasSubstr("give money back")));
  EXPECT_EQ(json_at(sagas({"list", "--status", "parked", "--output", "json"}).out, "0.id"), id);
  const Finished shown = sagas({"show", id});
  EXPECT_EQ(shown.status.code, 0);
  EXPECT_THAT(shown.out, AllOf(HasSubstr("parked"), HasSubstr("give money back"), HasSubstr("400")));
  EXPECT_EQ(json_at(sagas({"show", id, "--output", "json"}).out, "saga.key"), order);

  shop_.paysim().behave("{}");
  const Finished retried = sagas({"retry", id});
  EXPECT_EQ(retried.status.code, 0) << retried.err;
  EXPECT_THAT(retried.out, HasSubstr("retried"));
  EXPECT_TRUE(
      CheckoutShop::eventually([&] { return shop_.saga(order, "status", "give-back") == "completed"; }));
  EXPECT_EQ(shop_.payment(order, "state"), "refunded");
  EXPECT_EQ(json_at(shop_.intent(order), "refunded"), "2500");
  const Finished again = sagas({"retry", id});
  EXPECT_NE(again.status.code, 0);
  EXPECT_THAT(again.err, HasSubstr("is completed"));
}

TEST_F(ParkedSagas, AreEndedWhenAbandonedAndSayWhy) {
  const std::string order = cancel_without_refund();
  const std::string id = shop_.saga(order, "id", "give-back");
  EXPECT_EQ(sagas({"abandon", id}).status.code, 2) << "it must say what was done";
  const Finished abandoned = sagas({"abandon", id, "--reason", "refunded by phone"});
  EXPECT_EQ(abandoned.status.code, 0) << abandoned.err;
  EXPECT_EQ(shop_.saga(order, "status", "give-back"), "abandoned");
  EXPECT_THAT(sagas({"show", id}).out, HasSubstr("refunded by phone"));
  EXPECT_NE(sagas({"retry", id}).status.code, 0);
  EXPECT_TRUE(CheckoutShop::eventually(
      [&] { return shop_.get("/health/ready").body.find("parked") == std::string::npos; }));
  EXPECT_EQ(shop_.payment(order, "state"), "captured") << "nothing more was done";
  EXPECT_NE(sagas({"show", "sag_none"}).status.code, 0);
  EXPECT_EQ(sagas({"list", "--status", "stuck"}).status.code, 2);
}

TEST_F(ParkedSagas, CanBeWorkedOnThroughTheApi) {
  const std::string order = cancel_without_refund();
  const std::string path = "/v1/ops/sagas/" + shop_.saga(order, "id", "give-back");
  EXPECT_THAT(shop_.get("/v1/ops/sagas?status=parked").body, HasSubstr(order));
  EXPECT_THAT(shop_.get("/v1/ops/sagas?unfinished=true&definition=checkout").body, Not(HasSubstr(order)));
  EXPECT_EQ(json_at(shop_.get(path).body, "saga.status"), "parked");
  shop_.paysim().behave("{}");
  EXPECT_EQ(shop_.post(path + "/retry", "{}").status, 200);
  EXPECT_TRUE(CheckoutShop::eventually([&] { return shop_.payment(order, "state") == "refunded"; }));
  EXPECT_EQ(shop_.post(path + "/retry", "{}").status, 409);
  EXPECT_EQ(shop_.post(path + "/abandon", R"({"reason":"x"})").status, 409);
  EXPECT_EQ(shop_.get("/v1/ops/sagas/sag_none").status, 404);
}

}  // namespace
}  // namespace holdfast::drills
