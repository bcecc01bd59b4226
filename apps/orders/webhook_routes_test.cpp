// Outgoing webhooks of the whole system: from an order's event to a receiver that verifies it.
#include "orders/webhook_routes.hpp"

#include <gtest/gtest.h>

#include <map>
#include <mutex>

#include "holdfast/http/testing/test_server.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "holdfast/webhooks/signature.hpp"
#include "orders/testing/running_system.hpp"

namespace holdfast::orders {
namespace {

using namespace std::chrono_literals;
using testing::Answer;
using testing::RunningSystem;

constexpr const char* kOrder = R"({"customerId":"c1","items":[{"sku":"MUG-1","quantity":1}]})";
constexpr const char* kSubscribers = "/v1/webhooks/subscribers";

struct Hook {
  webhooks::StandardHeaders headers;
  std::string body;
};

/// Somebody else's server: keeps what it is sent and answers with `status`.
class Receiver {
 public:
  std::string url() const { return "http://127.0.0.1:" + std::to_string(server_.port()) + "/hooks"; }
  void answer_with(int status) { status_ = status; }
  std::size_t count() {
    const std::lock_guard lock(mutex_);
    return hooks_.size();
  }
  Hook hook(std::size_t index) {
    const std::lock_guard lock(mutex_);
    return hooks_.at(index);
  }

 private:
  http::Router routes() {
    http::Router router;
    router.post("/hooks", [this](const Context&, http::Request& request) {
      const std::lock_guard lock(mutex_);
      hooks_.push_back({{std::string(request.header(webhooks::kWebhookIdHeader)),
                         std::string(request.header(webhooks::kWebhookTimestampHeader)),
                         std::string(request.header(webhooks::kWebhookSignatureHeader))},
                        std::string(request.body)});
      return http::Response(status_);
    });
    return router;
  }

  std::mutex mutex_;
  std::vector<Hook> hooks_;
  std::atomic<int> status_{204};
  http::testing::TestServer server_{routes()};
};

bool eventually(RunningSystem& system, const std::function<bool()>& holds) {
  const Instant until = system.ctx.now() + 20s;
  while (!holds()) {
    if (system.ctx.now() >= until) return false;
    runtime::sleep_for(system.ctx, 2ms);
  }
  return true;
}

void with_receiver(const std::function<void(RunningSystem&, Receiver&)>& test) {
  Receiver receiver;
  testing::with_system(
      [&](RunningSystem& system) {
        system.add_product("MUG-1", 500, 1000);
        test(system, receiver);
      },
      [](Settings& settings) { settings.webhooks.allow_private_addresses = true; });
}

struct Subscribed {
  std::string id;
  std::vector<webhooks::StandardSecret> secrets;
};

Subscribed subscribe(RunningSystem& system, const std::string& url) {
  const Answer made = system.post(kSubscribers, R"({"url":")" + url + R"(","eventTypes":["order.*"]})");
  EXPECT_EQ(made.status, 201) << made.body;
  const JsonDocument json = made.json();
  return {std::string(json.root().find("subscriber")->find("id")->as_string()),
          {webhooks::StandardSecret::parse(json.root().find("secret")->as_string()).value()}};
}

std::string path_of(const Subscribed& subscriber, std::string_view rest = "") {
  return std::string(kSubscribers) + "/" + subscriber.id + std::string(rest);
}

TEST(Webhooks, TellASubscriberOfOrders) {
  with_receiver([](RunningSystem& system, Receiver& receiver) {
    const Subscribed subscriber = subscribe(system, receiver.url());
    const std::string order = system.order("k1", kOrder).text("id");
    ASSERT_TRUE(eventually(system, [&] { return receiver.count() == 1; }));
    const Hook hook = receiver.hook(0);
    EXPECT_EQ(webhooks::verify_standard(subscriber.secrets, hook.headers, hook.body,
                                        system.runtime.clock().wall_now()),
              webhooks::Verdict::genuine);
    const JsonDocument body = JsonDocument::parse(hook.body);
    EXPECT_EQ(body.root().find("type")->as_string(), "order.placed");
    EXPECT_EQ(body.root().find("data")->find("id")->as_string(), order);
    ASSERT_TRUE(eventually(system, [&] {
      return system.get(path_of(subscriber, "/deliveries?status=delivered")).body.find("whd_") !=
             std::string::npos;
    }));
  });
}

TEST(Webhooks, AreForAdministrators) {
  with_receiver([](RunningSystem& system, Receiver&) {
    system.key = system.make_key(access::Scope::write);
    EXPECT_EQ(system.get(kSubscribers).status, 403);
    EXPECT_EQ(system.post(kSubscribers, R"({"url":"https://a.example/"})").status, 403);
    system.key.clear();
    EXPECT_EQ(system.get(kSubscribers).status, 401);
  });
}

TEST(Webhooks, AddASubscriberOnceAKey) {
  with_receiver([](RunningSystem& system, Receiver&) {
    const std::string body = R"({"url":"https://a.example/"})";
    const Answer first = system.post(kSubscribers, body, {{"Idempotency-Key", "k1"}});
    const Answer again = system.post(kSubscribers, body, {{"Idempotency-Key", "k1"}});
    EXPECT_EQ(first.status, 201);
    EXPECT_EQ(again.body, first.body);
    EXPECT_EQ(system.get(kSubscribers).json().root().find("items")->items().size(), 1U);
    EXPECT_EQ(system.get(kSubscribers).body.find("whsec_"), std::string::npos);
    EXPECT_EQ(system.get(first.header("Location")).status, 200);
  });
}

TEST(Webhooks, RefuseWhatIsNoSubscriber) {
  with_receiver([](RunningSystem& system, Receiver&) {
    EXPECT_EQ(system.post(kSubscribers, R"({"url":"ftp://a.example/"})").text("code"), "bad_url");
    EXPECT_EQ(system.post(kSubscribers, R"({"url":"https://a.example/","eventTypes":["ORDER"]})").status,
              400);
    EXPECT_EQ(system.get("/v1/webhooks/subscribers/whs_01jz3s4m5e6f7g8h9jakbmcndp").status, 404);
    EXPECT_EQ(system.post("/v1/webhooks/deliveries/whd_01jz3s4m5e6f7g8h9jakbmcndp/redeliver").status, 404);
  });
  testing::with_system([](RunningSystem& system) {
    EXPECT_EQ(system.post(kSubscribers, R"({"url":"http://a.example/"})").text("code"), "bad_url");
    EXPECT_EQ(system.post(kSubscribers, R"({"url":"https://127.0.0.1/"})").text("code"), "bad_url");
  });
}

TEST(Webhooks, ChangeRotateTestAndRemove) {
  with_receiver([](RunningSystem& system, Receiver& receiver) {
    const Subscribed subscriber = subscribe(system, receiver.url());
    const Answer changed =
        system.ask(http::Method::patch, path_of(subscriber), R"({"description":"the shop"})");
    EXPECT_EQ(changed.status, 200) << changed.body;
    EXPECT_EQ(changed.text("description"), "the shop");
    const Answer rotated = system.post(path_of(subscriber, "/rotate-secret"));
    ASSERT_EQ(rotated.status, 200) << rotated.body;
    const std::vector secrets = {webhooks::StandardSecret::parse(rotated.text("secret")).value()};
    EXPECT_EQ(system.post(path_of(subscriber, "/test")).status, 202);
    ASSERT_TRUE(eventually(system, [&] { return receiver.count() == 1; }));
    const Hook hook = receiver.hook(0);
    const WallTime now = system.runtime.clock().wall_now();
    EXPECT_EQ(webhooks::verify_standard(secrets, hook.headers, hook.body, now), webhooks::Verdict::genuine);
    EXPECT_EQ(webhooks::verify_standard(subscriber.secrets, hook.headers, hook.body, now),
              webhooks::Verdict::genuine)
        << "the old secret holds for a day";
    EXPECT_EQ(system.ask(http::Method::delete_, path_of(subscriber)).status, 204);
    EXPECT_EQ(system.get(path_of(subscriber)).status, 404);
    EXPECT_EQ(system.get(path_of(subscriber, "/deliveries")).status, 404);
  });
}

TEST(Webhooks, DisableWhoIsGoneAndSendAgainOnceEnabled) {
  with_receiver([](RunningSystem& system, Receiver& receiver) {
    const Subscribed subscriber = subscribe(system, receiver.url());
    receiver.answer_with(410);
    system.order("k1", kOrder);
    ASSERT_TRUE(
        eventually(system, [&] { return system.get(path_of(subscriber)).text("disabledReason") == "gone"; }));
    const std::string since = R"({"since":"2020-01-01T00:00:00Z"})";
    EXPECT_EQ(system.post(path_of(subscriber, "/redeliver"), since).status, 409);
    receiver.answer_with(200);
    EXPECT_EQ(system.post(path_of(subscriber, "/enable")).text("status"), "enabled");
    const Answer again = system.post(path_of(subscriber, "/redeliver"), since);
    EXPECT_EQ(again.status, 202);
    EXPECT_EQ(again.json().root().find("redelivered")->as_int64(), 1);
    ASSERT_TRUE(eventually(system, [&] { return receiver.count() == 2; }));
    EXPECT_EQ(receiver.hook(1).headers.id, receiver.hook(0).headers.id);
    const JsonDocument list = system.get(path_of(subscriber, "/deliveries")).json();
    const std::string id(list.root().find("items")->items()[0].find("id")->as_string());
    EXPECT_EQ(system.post("/v1/webhooks/deliveries/" + id + "/redeliver").status, 202);
    ASSERT_TRUE(eventually(system, [&] { return receiver.count() == 3; }));
  });
}

TEST(Webhooks, ListDeliveriesInPages) {
  with_receiver([](RunningSystem& system, Receiver& receiver) {
    const Subscribed subscriber = subscribe(system, receiver.url());
    for (int i = 0; i < 5; ++i) system.post(path_of(subscriber, "/test"));
    std::string cursor;
    std::vector<std::string> ids;
    for (int page = 0; page < 3; ++page) {
      const Answer answer = system.get(path_of(subscriber, "/deliveries?limit=2" + cursor));
      const JsonDocument json = answer.json();
      for (const JsonValue& item : json.root().find("items")->items()) {
        ids.emplace_back(item.find("id")->as_string());
      }
      cursor = "&cursor=" + answer.text("nextCursor");
    }
    EXPECT_EQ(ids.size(), 5U);
    EXPECT_TRUE(std::is_sorted(ids.rbegin(), ids.rend()));
    EXPECT_EQ(cursor, "&cursor=") << "the last page has no next";
  });
}

}  // namespace
}  // namespace holdfast::orders
