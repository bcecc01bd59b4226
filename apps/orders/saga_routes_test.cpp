// The operators' view of sagas over HTTP, with a checkout in memory.
#include "orders/saga_routes.hpp"

#include <gmock/gmock.h>

#include "holdfast/runtime/fiber.hpp"
#include "orders/testing/running_system.hpp"

namespace holdfast::orders {
namespace {

using namespace std::chrono_literals;
using testing::Answer;
using ::testing::HasSubstr;
using testing::RunningSystem;

constexpr const char* kSagas = "/v1/ops/sagas";

void with_checkout(const std::function<void(RunningSystem&)>& body) {
  testing::with_system(
      [&](RunningSystem& system) {
        system.add_product("MUG", 850, 100);
        body(system);
      },
      [](Settings& settings) {
        settings.payments.provider = payments::ProviderKind::memory;
        settings.payments.default_method = "pm_card_visa";
      });
}

std::string place(RunningSystem& system, const std::string& key, const std::string& method = "pm_card_visa") {
  return system
      .order(key,
             R"({"customerId":"1","items":[{"sku":"MUG","quantity":1}],"paymentMethod":")" + method + R"("})")
      .text("id");
}

bool eventually(RunningSystem& system, const std::function<bool()>& holds) {
  for (const Instant until = system.ctx.now() + 20s; !holds();) {
    if (system.ctx.now() >= until) return false;
    runtime::sleep_for(system.ctx, 2ms);
  }
  return true;
}

std::string saga_of(RunningSystem& system, const std::string& order, std::string_view member) {
  const JsonDocument page = system.get(std::string(kSagas) + "?key=" + order).json();
  const auto items = page.root().find("items")->items();
  return items.empty() ? std::string() : std::string(items[0].find(member)->as_string());
}

TEST(SagaRoutes, ListAndShowWhatACheckoutIsAt) {
  with_checkout([](RunningSystem& s) {
    const std::string done = place(s, "k1");
    const std::string waits = place(s, "k2", "pm_card_authenticationRequired");
    ASSERT_TRUE(eventually(s, [&] { return saga_of(s, done, "status") == "completed"; }));
    ASSERT_TRUE(eventually(s, [&] { return saga_of(s, waits, "status") == "waiting"; }));
    const std::string unfinished = s.get(std::string(kSagas) + "?unfinished=true").body;
    EXPECT_THAT(unfinished, HasSubstr(waits));
    EXPECT_THAT(unfinished, ::testing::Not(HasSubstr(done)));
    EXPECT_THAT(s.get(std::string(kSagas) + "?status=completed&definition=checkout").body, HasSubstr(done));

    const Answer shown = s.get(std::string(kSagas) + "/" + saga_of(s, waits, "id"));
    EXPECT_EQ(shown.status, 200);
    EXPECT_THAT(shown.body, HasSubstr(R"({"name":"customer","status":"current")"));
    EXPECT_THAT(shown.body, HasSubstr(R"({"name":"authorize","status":"done")"));
    EXPECT_THAT(shown.body, HasSubstr(waits)) << "its state";
    EXPECT_EQ(s.get(std::string(kSagas) + "/sag_none").status, 404);
    EXPECT_EQ(s.get(std::string(kSagas) + "?status=stuck").status, 400);
  });
}

TEST(SagaRoutes, AreListedAPageAtATime) {
  with_checkout([](RunningSystem& s) {
    std::vector<std::string> orders;
    for (int i = 0; i < 5; ++i) orders.push_back(place(s, "k" + std::to_string(i)));
    std::vector<std::string> seen;
    std::string cursor;
    do {
      const Answer page =
          s.get(std::string(kSagas) + "?limit=2" + (cursor.empty() ? "" : "&cursor=" + cursor));
      ASSERT_EQ(page.status, 200) << page.body;
      const JsonDocument json = page.json();
      for (const JsonValue& item : json.root().find("items")->items())
        seen.emplace_back(item.find("key")->as_string());
      cursor = page.text("nextCursor");
    } while (!cursor.empty());
    EXPECT_THAT(seen, ::testing::ElementsAreArray(orders.rbegin(), orders.rend()))
        << "newest first, each once";
    EXPECT_EQ(s.get(std::string(kSagas) + "?cursor=nonsense").status, 400);
  });
}

TEST(SagaRoutes, OnlyAdministratorsInterfere) {
  with_checkout([](RunningSystem& s) {
    const std::string order = place(s, "k1", "pm_card_authenticationRequired");
    ASSERT_TRUE(eventually(s, [&] { return saga_of(s, order, "status") == "waiting"; }));
    const std::string path = std::string(kSagas) + "/" + saga_of(s, order, "id");
    s.key = s.make_key(access::Scope::write);
    EXPECT_EQ(s.get(path).status, 200);
    EXPECT_EQ(s.post(path + "/retry").status, 403);
    EXPECT_EQ(s.post(path + "/abandon", R"({"reason":"x"})").status, 403);
    s.key = "";
    EXPECT_EQ(s.get(kSagas).status, 401);
    s.key = s.admin;
    const Answer not_parked = s.post(path + "/retry");
    EXPECT_EQ(not_parked.status, 409);
    EXPECT_EQ(not_parked.text("code"), "saga_not_parked");
    EXPECT_EQ(s.post(path + "/abandon", "{}").status, 400) << "it must say why";
    EXPECT_EQ(s.post(path + "/abandon", R"({"reason":"settled by phone"})").status, 200);
    EXPECT_EQ(saga_of(s, order, "status"), "abandoned");
    EXPECT_THAT(s.get(path).body, HasSubstr("settled by phone"));
    EXPECT_EQ(s.post(path + "/abandon", R"({"reason":"again"})").text("code"), "saga_finished");
    EXPECT_EQ(s.post(std::string(kSagas) + "/sag_none/retry").status, 404);
  });
}

}  // namespace
}  // namespace holdfast::orders
