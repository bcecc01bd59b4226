// `holdfast webhooks` beside a server whose subscriber is not there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/checkout_shop.hpp"

namespace holdfast::drills {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

/// The subscriber answers 404 to everything, which is a failure.
class WebhookCommands : public ::testing::Test {
 protected:
  WebhookCommands() {
    const HttpAnswer made =
        shop_.post("/v1/webhooks/subscribers",
                   R"({"url":")" + shop_.paysim().url() + R"(/nowhere","eventTypes":["order.*"]})");
    if (made.status != 201) throw std::runtime_error(made.body);
    subscriber_ = json_at(made.body, "subscriber.id");
  }
  Finished webhooks(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "webhooks");
    return shop_.server().run(std::move(arguments));
  }

  CheckoutShop shop_{{.carrier = false,
                      .environment = {{"HOLDFAST_WEBHOOKS_ALLOW_PRIVATE_ADDRESSES", "true"},
                                      {"HOLDFAST_WEBHOOKS_MAX_ATTEMPTS", "1"}}}};
  std::string subscriber_;
};

TEST_F(WebhookCommands, ShowWhatFailedAndSendItAgain) {
  const Finished listed = webhooks({"list"});
  EXPECT_EQ(listed.status.code, 0) << listed.err;
  EXPECT_THAT(listed.out, AllOf(HasSubstr(subscriber_), HasSubstr("order.*"), HasSubstr("enabled")));
  EXPECT_EQ(json_at(webhooks({"list", "--output", "json"}).out, "0.id"), subscriber_);

  const std::string order = shop_.place();
  const auto failed = [&] {
    return webhooks({"deliveries", subscriber_, "--status", "failed", "--output", "json"}).out;
  };
  ASSERT_TRUE(CheckoutShop::eventually([&] { return !json_at(failed(), "1.id").empty(); })) << failed();
  const std::string delivery = json_at(failed(), "0.id");
  const std::string finished_at = json_at(failed(), "0.finishedAt");
  EXPECT_THAT(webhooks({"deliveries", subscriber_}).out, AllOf(HasSubstr(delivery), HasSubstr("404")));

  const Finished again = webhooks({"redeliver", delivery});
  EXPECT_EQ(again.status.code, 0) << again.err;
  EXPECT_THAT(again.out, HasSubstr("1 will be sent again"));
  EXPECT_TRUE(CheckoutShop::eventually([&] {
    const std::string at = json_at(failed(), "0.finishedAt");
    return json_at(failed(), "0.id") == delivery && !at.empty() && at != finished_at;
  })) << "it was tried anew, and failed anew";
  const Finished since =
      webhooks({"redeliver", "--subscriber", subscriber_, "--since", "2026-01-01T00:00:00Z"});
  EXPECT_EQ(since.status.code, 0) << since.err;
  EXPECT_THAT(since.out, HasSubstr("will be sent again"));
}

TEST_F(WebhookCommands, SayWhatIsWrong) {
  EXPECT_EQ(webhooks({"redeliver"}).status.code, 2);
  EXPECT_EQ(webhooks({"redeliver", "--subscriber", subscriber_, "--since", "yesterday"}).status.code, 2);
  const Finished unknown = webhooks({"redeliver", "whd_none"});
  EXPECT_NE(unknown.status.code, 0);
  EXPECT_THAT(unknown.err, HasSubstr("whd_none"));
  EXPECT_NE(webhooks({"deliveries", "whs_none"}).status.code, 0);
  EXPECT_NE(webhooks({"enable", "whs_none"}).status.code, 0);
  const Finished enabled = webhooks({"enable", subscriber_});
  EXPECT_EQ(enabled.status.code, 0) << enabled.err;
  EXPECT_THAT(enabled.out, HasSubstr("is enabled"));
}

}  // namespace
}  // namespace holdfast::drills
