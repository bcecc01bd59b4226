// Sending and politeness against an API made up here, in virtual time.
#include <gtest/gtest.h>

#include <deque>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "cli/replay/order_json.hpp"
#include "cli/replay/polite_api.hpp"
#include "cli/replay/sending.hpp"
#include "cli/replay/state_file.hpp"
#include "holdfast/base/error.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/sql/testing/temporary_folder.hpp"

namespace holdfast::cli {
namespace {

using namespace std::chrono_literals;

class InVirtualTime : public testing::Test {
 protected:
  void run(const std::function<void(const Context&)>& body) {
    runtime::Runtime runtime({.simulated = true, .manual_clock = &clock_}, clock_, random_);
    runtime.run(body);
  }
  ManualClock clock_;
  SeededRandom random_{7};
};

class Scripted final : public Api {
 public:
  std::deque<std::function<ApiAnswer()>> answers;
  std::vector<Instant> calls;
  ApiAnswer call(const Context& ctx, const ApiRequest&) override {
    calls.push_back(ctx.now());
    auto next = std::move(answers.front());
    answers.pop_front();
    return next();
  }
};

ApiAnswer status(int code, std::optional<Duration> retry_after = {}) {
  return {.status = code, .body = "", .retry_after = retry_after};
}

using Politeness = InVirtualTime;

TEST_F(Politeness, WaitsAtLeastAsLongAsTheServerAsks) {
  Scripted api;
  api.answers = {[] { return status(503, 7s); }, [] { return status(429, 3s); }, [] { return status(200); }};
  PoliteApi polite(api, random_, {});
  run([&](const Context& ctx) { EXPECT_EQ(polite.call(ctx, {}).status, 200); });
  ASSERT_EQ(api.calls.size(), 3u);
  EXPECT_GE(api.calls[1] - api.calls[0], 7s);
  EXPECT_GE(api.calls[2] - api.calls[1], 3s);
  EXPECT_EQ(polite.retries(), 2u);
}

TEST_F(Politeness, ConnectionFailuresAreRetriedWithinPatience) {
  Scripted api;
  for (int i = 0; i < 1000; ++i) {
    api.answers.push_back([]() -> ApiAnswer { throw Error(ErrorCode::unavailable, "connection refused"); });
  }
  PoliteApi polite(api, random_, {.patience = 10s});
  run([&](const Context& ctx) {
    const Instant began = ctx.now();
    EXPECT_THROW(polite.call(ctx, {}), Error);
    EXPECT_LE(ctx.now() - began, 10s);
  });
  EXPECT_GT(api.calls.size(), 2u);
  EXPECT_LT(api.calls.size(), 100u);
}

TEST_F(Politeness, RefusalsForGoodAreNotRepeated) {
  for (const int code : {200, 201, 400, 401, 403, 404, 409, 422})
    EXPECT_FALSE(worth_retrying(status(code))) << code;
  for (const int code : {408, 425, 429, 500, 502, 503, 504})
    EXPECT_TRUE(worth_retrying(status(code))) << code;
  EXPECT_TRUE(worth_retrying(status(409, 1s)));  // the same key is being worked on
}

TEST_F(Politeness, StoppingEndsTheWaitForAnotherAttempt) {
  Scripted api;
  api.answers = {[] { return status(503, 50s); }};
  PoliteApi polite(api, random_, {}, [&] { return !api.calls.empty(); });
  run([&](const Context& ctx) {
    const Instant began = ctx.now();
    EXPECT_THROW(polite.call(ctx, {}), Error);
    EXPECT_LT(ctx.now() - began, 1s);
    EXPECT_THROW(polite.call(ctx, {}), Error);
  });
  EXPECT_EQ(api.calls.size(), 1u);
}

TEST_F(Politeness, TheAnswerIsGivenWhenPatienceEnds) {
  Scripted api;
  for (int i = 0; i < 20; ++i) api.answers.push_back([] { return status(503, 4s); });
  PoliteApi polite(api, random_, {.patience = 10s});
  run([&](const Context& ctx) { EXPECT_EQ(polite.call(ctx, {}).status, 503); });
  EXPECT_EQ(api.calls.size(), 3u);  // at 0, 4 and 8 s; the next would be past 10 s
}

/// Takes orders as the real one does, keys included.
class Shop final : public Api {
 public:
  std::map<std::string, std::string> orders_by_key;
  std::set<std::string> products;
  std::vector<std::string> cancelled;
  std::size_t in_flight = 0, most_in_flight = 0;
  std::string refuse_key;

  ApiAnswer call(const Context& ctx, const ApiRequest& request) override {
    most_in_flight = std::max(most_in_flight, ++in_flight);
    runtime::sleep_for(ctx, 1ms);
    --in_flight;
    if (request.target == "/v1/products") {
      const JsonDocument body = JsonDocument::parse(request.body);
      const bool is_new = products.insert(std::string(body.root().find("sku")->as_string())).second;
      return is_new ? status(201)
                    : ApiAnswer{.status = 409, .body = R"({"code":"sku_exists","detail":"taken"})"};
    }
    if (request.target == "/v1/orders") return place(request);
    cancelled.push_back(request.target);
    return status(200);
  }

 private:
  ApiAnswer place(const ApiRequest& request) {
    if (request.idempotency_key == refuse_key) {
      return {.status = 409, .body = R"({"code":"insufficient_stock","detail":"Only 1 left."})"};
    }
    const auto [at, is_new] = orders_by_key.try_emplace(request.idempotency_key);
    if (is_new) at->second = answer_to(request.body, orders_by_key.size());
    return {.status = 201, .body = at->second, .retry_after = {}, .replayed = !is_new};
  }
  static std::string answer_to(const std::string& body, std::size_t number) {
    const JsonDocument sent = JsonDocument::parse(body);
    std::string out;
    JsonWriter writer(out);
    std::int64_t total = 0;
    writer.begin_object().member("id", "ord_" + std::to_string(number)).member("status", "confirmed");
    writer.key("items").begin_array();
    for (const JsonValue& item : sent.root().find("items")->items()) {
      const std::int64_t quantity = item.find("quantity")->as_int64();
      total += quantity * 100;
      writer.begin_object().member("sku", item.find("sku")->as_string()).member("quantity", quantity);
      writer.key("unitPrice").raw(R"({"minor":100,"currency":"GBP"})").end_object();
    }
    writer.end_array()
        .key("total")
        .begin_object()
        .member("minor", total)
        .member("currency", "GBP")
        .end_object();
    writer.end_object();
    return out;
  }
};

class SendingPlans : public InVirtualTime {
 protected:
  SendingPlans() {
    plan_.skus = {"A1", "B2"};
    plan_.needed = {50, 50};
    plan_.products = {{.sku = "A1", .name = "One", .price_minor = 100},
                      {.sku = "B2", .name = "Two", .price_minor = 100}};
    for (int i = 0; i < 25; ++i) {
      plan_.orders.push_back(
          {.invoice = std::to_string(1000 + i), .customer = "7", .date = i, .lines = {{0, 1}, {1, 2}}});
    }
    plan_.cancellations = {{"C1", 3}, {"C2", 4}};
  }
  void send_all(Sending& sending, const Context& ctx) {
    sending.create_products(ctx, nullptr);
    sending.send_orders(ctx, nullptr);
    sending.send_cancellations(ctx, nullptr);
  }
  ReplayPlan plan_;
  Shop shop_;
  StateFile state_{"", "", ""};
};

TEST_F(SendingPlans, SendsEverythingOnceWithAsManyClientsAsAsked) {
  Sending sending(shop_, plan_, state_, {.clients = 4}, [] { return false; });
  run([&](const Context& ctx) { send_all(sending, ctx); });
  EXPECT_EQ(sending.products().done, 2u);
  EXPECT_EQ(sending.orders().done, 25u);
  EXPECT_EQ(sending.orders().mismatched, 0u);
  EXPECT_EQ(sending.cancellations().done, 2u);
  EXPECT_EQ(shop_.most_in_flight, 4u);
  EXPECT_EQ(shop_.orders_by_key.size(), 25u);
  EXPECT_EQ(state_.orders().at("1000").total_minor, 300);
}

TEST_F(SendingPlans, AnotherRunChangesNothing) {
  run([&](const Context& ctx) {
    Sending first(shop_, plan_, state_, {}, [] { return false; });
    send_all(first, ctx);
    StateFile forgotten("", "", "");
    Sending second(shop_, plan_, forgotten, {}, [] { return false; });
    send_all(second, ctx);
    EXPECT_EQ(second.products().known, 2u);
    EXPECT_EQ(second.orders().replayed, 25u);
    EXPECT_EQ(forgotten.orders(), state_.orders());
    Sending third(shop_, plan_, state_, {}, [] { return false; });
    send_all(third, ctx);
    EXPECT_EQ(third.orders().known, 25u);
  });
  EXPECT_EQ(shop_.orders_by_key.size(), 25u);
}

TEST_F(SendingPlans, StopsAfterWhatIsInFlight) {
  run([&](const Context& ctx) {
    Sending sending(shop_, plan_, state_, {.clients = 2}, [&] { return shop_.orders_by_key.size() >= 6; });
    send_all(sending, ctx);
    EXPECT_EQ(sending.orders().done, shop_.orders_by_key.size());
    EXPECT_LE(sending.orders().done, 7u);
    EXPECT_EQ(sending.cancellations().done, 0u);
  });
}

TEST_F(SendingPlans, BreaksOffWhenTheServerIsNotToBeHad) {
  Scripted gone;
  for (int i = 0; i < 100; ++i) {
    gone.answers.push_back([]() -> ApiAnswer { throw Error(ErrorCode::unavailable, "connection refused"); });
  }
  Sending sending(gone, plan_, state_, {.clients = 4}, [] { return false; });
  run([&](const Context& ctx) { sending.send_orders(ctx, nullptr); });
  EXPECT_TRUE(sending.broken_off());
  EXPECT_EQ(sending.orders().gave_up, 1u);
  EXPECT_EQ(sending.last_failure(), "connection refused");
}

TEST_F(SendingPlans, RefusedOrdersAreCountedAndTheirCancellationsNotSent) {
  shop_.refuse_key = "1003";
  Sending sending(shop_, plan_, state_, {}, [] { return false; });
  run([&](const Context& ctx) { send_all(sending, ctx); });
  EXPECT_EQ(sending.orders().refused, 1u);
  EXPECT_EQ(sending.orders().done, 24u);
  EXPECT_EQ(sending.cancellations().done, 1u);
  EXPECT_EQ(sending.refusals().at("insufficient_stock").example, "Order 1003: Only 1 left.");
  EXPECT_EQ(sending.refusals().at("order_not_acknowledged").count, 1u);
}

TEST_F(SendingPlans, ARateIsKept) {
  Sending sending(shop_, plan_, state_, {.clients = 8, .orders_per_second = 10}, [] { return false; });
  run([&](const Context& ctx) {
    const Instant began = ctx.now();
    sending.send_orders(ctx, nullptr);
    EXPECT_GE(ctx.now() - began, 2400ms);
    EXPECT_LT(ctx.now() - began, 2600ms);
  });
}

class States : public testing::Test {
 protected:
  const sql::TemporaryFolder folder_;
  const std::string path_ = folder_.path() / "state.jsonl";
};

TEST_F(States, SurviveAndForgetOnlyATornLine) {
  const Acknowledged first{"ord_1", 300, "GBP", 17'000'000'000'000'000'000u};
  {
    StateFile state(path_, "http://a", "x.csv:9");
    state.add("1", first);
    state.close();
  }
  std::ofstream(path_, std::ios::app) << R"({"invoice":"2","orderId":"ord)";
  {
    StateFile state(path_, "http://a", "x.csv:9");
    EXPECT_EQ(state.orders().size(), 1u);
    state.add("3", first);
    state.close();
  }
  StateFile state(path_, "http://a", "x.csv:9");
  ASSERT_EQ(state.orders().size(), 2u);
  EXPECT_EQ(*state.find("1"), first);
  EXPECT_EQ(*state.find("3"), first);
}

TEST_F(States, BelongToOneServerAndFile) {
  StateFile(path_, "http://a", "x.csv:9").close();
  EXPECT_THROW(StateFile(path_, "http://b", "x.csv:9"), Error);
  EXPECT_THROW(StateFile(path_, "http://a", "y.csv:9"), Error);
}

}  // namespace
}  // namespace holdfast::cli
