// The real `paysim`: killed under load it forgets nothing it has answered and charges nothing twice; and what
// a developer meets at its command line.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <mutex>
#include <thread>

#include "drills/frame/paysim_process.hpp"
#include "holdfast/base/json.hpp"

namespace holdfast::drills {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

constexpr int kCustomers = 8;

std::string form_of(const std::string& order) {
  return "amount=1999&currency=gbp&confirm=true&capture_method=manual&payment_method=pm_card_visa&metadata["
         "order_id]=" +
         order;
}

HttpAnswer authorize(HttpConnection& http, const std::string& order) {
  return http.post(
      "/v1/payment_intents", form_of(order),
      {{"Content-Type", "application/x-www-form-urlencoded"}, {"Idempotency-Key", "key-" + order}});
}

/// What customers were told: the intent of each order that was answered, and the orders that were not.
struct Told {
  std::mutex mutex;
  std::map<std::string, std::string> intents;
  std::vector<std::string> unanswered;
};

std::string id_in(const std::string& body) {
  return std::string(JsonDocument::parse(body).root().find("id")->as_string());
}

/// Authorizes one order after the other until no answer comes.
void customer(std::uint16_t port, int number, Told& told) {
  HttpConnection http(port, 10s, PaysimProcess::kSecretKey);
  for (int i = 0;; ++i) {
    const std::string order = "ord_" + std::to_string(number) + "_" + std::to_string(i);
    try {
      const HttpAnswer answer = authorize(http, order);
      const std::lock_guard lock(told.mutex);
      if (answer.status == 200) told.intents[order] = id_in(answer.body);
    } catch (const NoAnswer&) {
      const std::lock_guard lock(told.mutex);
      told.unanswered.push_back(order);
      return;
    }
  }
}

/// The book as order → intent; an order in it twice fails the test.
std::map<std::string, std::string> book_of(PaysimProcess& paysim) {
  std::map<std::string, std::string> book;
  const JsonDocument document = JsonDocument::parse(paysim.book(), {.max_bytes = 64 << 20});
  for (const JsonValue& intent : document.root().find("intents")->items()) {
    const auto [at, added] =
        book.emplace(intent.find("orderId")->as_string(), intent.find("id")->as_string());
    EXPECT_TRUE(added) << at->first << " was charged twice";
  }
  return book;
}

TEST(PaysimBinary, KilledUnderLoadItKeepsWhatItAnsweredAndChargesNothingTwice) {
  PaysimProcess paysim;
  Told told;
  std::vector<std::thread> customers;
  for (int i = 0; i < kCustomers; ++i) customers.emplace_back(customer, paysim.port(), i, std::ref(told));
  for (;;) {
    std::this_thread::sleep_for(20ms);
    const std::lock_guard lock(told.mutex);
    if (told.intents.size() >= 500) break;
  }
  paysim.kill();
  for (std::thread& each : customers) each.join();
  ASSERT_EQ(told.unanswered.size(), static_cast<std::size_t>(kCustomers));

  paysim.start();
  auto book = book_of(paysim);
  for (const auto& [order, intent] : told.intents) EXPECT_EQ(book[order], intent) << order;

  // Whoever was not answered asks again with the same key.
  HttpConnection http(paysim.port(), 10s, PaysimProcess::kSecretKey);
  for (const std::string& order : told.unanswered) {
    const bool was_charged = book.contains(order);
    const HttpAnswer again = authorize(http, order);
    ASSERT_EQ(again.status, 200) << again.body;
    EXPECT_EQ(again.header("idempotent-replayed") == "true", was_charged);
    if (was_charged) {
      EXPECT_EQ(id_in(again.body), book[order]);
    }
  }
  book = book_of(paysim);
  EXPECT_EQ(book.size(), told.intents.size() + told.unanswered.size());
  EXPECT_EQ(paysim.stop().code, 0) << paysim.process().err();
}

TEST(PaysimBinary, CtrlCStopsItAndItStartsAgain) {
  PaysimProcess paysim;
  {
    HttpConnection http(paysim.port(), 10s, PaysimProcess::kSecretKey);
    ASSERT_EQ(authorize(http, "ord_1").status, 200);
  }
  paysim.process().interrupt();
  EXPECT_EQ(paysim.process().wait(20s).code, 0);
  paysim.start();
  EXPECT_THAT(paysim.book(), HasSubstr("ord_1"));
}

TEST(PaysimBinary, SaysWhatToDoAboutATakenPortAndBadOrders) {
  PaysimProcess paysim;
  try {
    PaysimProcess second({.arguments = {"--address", "127.0.0.1:" + std::to_string(paysim.port())}});
    FAIL() << "two listen at one port";
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), HasSubstr("choose another address with --address"));
  }
  EXPECT_THROW(PaysimProcess({.arguments = {"--behaviour", R"({"rules":[{"action":"explode"}]})"}}),
               std::runtime_error);
  PaysimProcess declining({.arguments = {"--behaviour", R"({"rules":[{"action":"decline"}]})"}});
  HttpConnection http(declining.port(), 10s, PaysimProcess::kSecretKey);
  EXPECT_EQ(authorize(http, "ord_1").status, 402);
}

}  // namespace
}  // namespace holdfast::drills
