#include "cli/replay/reconciliation.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "holdfast/base/error.hpp"
#include "holdfast/runtime/runtime.hpp"

namespace holdfast::cli {
namespace {

using namespace std::chrono_literals;

/// Answers as a server in good order would; a test breaks one thing.
class Server final : public Api {
 public:
  std::map<std::string, std::string> answers = {
      {"/v1/orders?limit=200", R"({"items":[)" + order("ord_1", "confirmed", 2) + R"(],"nextCursor":"c1"})"},
      {"/v1/orders?limit=200&cursor=c1", R"({"items":[)" + order("ord_2", "cancelled", 3) + "]}"},
      {"/v1/stock?limit=200",
       R"({"items":[{"sku":"A1","quantity":98,"opening":90,"adjusted":10,"sold":5}]})"},
      {"/v1/ops/subscriptions", R"({"groups":[{"group":"notifications","lag":0,"parked":0}]})"},
      {"/v1/outbox-mail?limit=200",
       R"({"items":[{"orderId":"ord_1","kind":"receipt"},{"orderId":"ord_2","kind":"receipt"},
                    {"orderId":"ord_2","kind":"cancellation"}]})"},
      {"/v1/ops/reconciliation", R"({"balanced":true,"imbalances":[],"salesMismatches":[]})"}};

  static std::string order(const std::string& id, const std::string& status, int quantity) {
    return R"({"id":")" + id + R"(","customerId":"7","status":")" + status +
           R"(","items":[{"sku":"A1","name":"One","quantity":)" + std::to_string(quantity) +
           R"(,"unitPrice":{"minor":100,"currency":"GBP"}}],"total":{"minor":)" +
           std::to_string(quantity * 100) + R"(,"currency":"GBP"}})";
  }
  ApiAnswer call(const Context&, const ApiRequest& request) override {
    const auto found = answers.find(request.target);
    return found == answers.end() ? ApiAnswer{.status = 404, .body = ""}
                                  : ApiAnswer{.status = 200, .body = found->second};
  }
};

class Reconciling : public testing::Test {
 protected:
  Reconciling() {
    acknowledged_["1001"] = read_order(Server::order("ord_1", "confirmed", 2)).acknowledged();
    acknowledged_["1002"] = read_order(Server::order("ord_2", "confirmed", 3)).acknowledged();
  }
  Reconciliation run() {
    ManualClock clock;
    SeededRandom random(1);
    runtime::Runtime runtime({.simulated = true, .manual_clock = &clock}, clock, random);
    Reconciliation result;
    runtime.run([&](const Context& ctx) {
      result = reconcile(ctx, server_,
                         {.acknowledged = acknowledged_, .cancelled = cancelled_, .receipts_timeout = 5s},
                         [](std::string_view, std::uint64_t) {});
    });
    return result;
  }
  /// The names of the checks that do not hold.
  std::vector<std::string> broken() {
    std::vector<std::string> names;
    for (const Check& check : run().checks) {
      if (!check.held) names.push_back(check.name);
    }
    return names;
  }
  using Names = std::vector<std::string>;

  Server server_;
  std::unordered_map<std::string, Acknowledged> acknowledged_;
  std::vector<std::string> cancelled_{"1002"};
};

TEST_F(Reconciling, HoldsWhereEverythingAgrees) {
  const Reconciliation result = run();
  EXPECT_TRUE(result.held());
  EXPECT_EQ(result.checks.size(), 6u);
  EXPECT_TRUE(result.examples.empty());
}

TEST_F(Reconciling, SeesAMissingOrder) {
  acknowledged_["1003"] = {"ord_3", 100, "GBP", 1};
  EXPECT_EQ(broken(), Names{"orders_stored_once"});
}

TEST_F(Reconciling, SeesAnOrderListedTwice) {
  server_.answers["/v1/orders?limit=200&cursor=c1"] = R"({"items":[)" +
                                                      Server::order("ord_2", "cancelled", 3) + "," +
                                                      Server::order("ord_2", "cancelled", 3) + "]}";
  const Names names = broken();
  EXPECT_NE(std::ranges::find(names, "orders_stored_once"), names.end());
}

TEST_F(Reconciling, SeesAnotherTotalThanAcknowledged) {
  acknowledged_["1001"].total_minor = 199;
  EXPECT_EQ(broken(), Names{"orders_as_acknowledged"});
}

TEST_F(Reconciling, SeesOtherLinesThanAcknowledged) {
  acknowledged_["1001"].lines_hash ^= 1;
  EXPECT_EQ(broken(), Names{"orders_as_acknowledged"});
}

TEST_F(Reconciling, SeesACancellationThatIsNotDone) {
  cancelled_.push_back("1001");
  EXPECT_EQ(broken(), Names{"cancellations_done"});
}

TEST_F(Reconciling, SeesLostStock) {
  server_.answers["/v1/stock?limit=200"] =
      R"({"items":[{"sku":"A1","quantity":97,"opening":90,"adjusted":10}]})";
  EXPECT_EQ(broken(), Names{"stock"});
  EXPECT_EQ(run().examples.at(0), "A1: stock 97, but 100 initial - 5 sold + 3 returned");
}

TEST_F(Reconciling, SeesSoldGoodsWithoutStock) {
  server_.answers["/v1/stock?limit=200"] = R"({"items":[]})";
  EXPECT_EQ(broken(), Names{"stock"});
}

TEST_F(Reconciling, SeesMissingAndRepeatedReceipts) {
  server_.answers["/v1/outbox-mail?limit=200"] =
      R"({"items":[{"orderId":"ord_1","kind":"receipt"},{"orderId":"ord_1","kind":"receipt"}]})";
  EXPECT_EQ(broken(), Names{"receipts"});
  EXPECT_EQ(run().examples.size(), 2u);
}

TEST_F(Reconciling, WaitsForEventsOnlySoLong) {
  server_.answers["/v1/ops/subscriptions"] = R"({"groups":[{"group":"notifications","lag":3,"parked":0}]})";
  const Reconciliation result = run();
  EXPECT_NE(result.checks[4].figures.find("3 events not handled in time"), std::string::npos)
      << result.checks[4].figures;
}

TEST_F(Reconciling, SeesALedgerOutOfBalance) {
  server_.answers["/v1/ops/reconciliation"] =
      R"({"balanced":false,"imbalances":[{"sku":"A1","level":1,"movements":2}],"salesMismatches":[]})";
  EXPECT_EQ(broken(), Names{"ledger"});
}

TEST_F(Reconciling, AKeyThatMayNotLookIsSaidSo) {
  server_.answers.erase("/v1/ops/reconciliation");
  EXPECT_THROW(run(), Error);
}

}  // namespace
}  // namespace holdfast::cli
