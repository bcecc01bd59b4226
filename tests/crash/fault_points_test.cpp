// Ends the server at each named fault site, at the first pass and at a later one, starts it again and
// reconciles. Needs the binary with fault sites (target holdfast_with_faults), named by HOLDFAST_BINARY.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <thread>

#include "drills/frame/shop.hpp"
#include "drills/frame/shoppers.hpp"

namespace holdfast::drills {
namespace {

using namespace std::chrono_literals;
using ::testing::IsEmpty;

struct Kill {
  std::string site;
  int pass;
};

/// On the way of an order from the request to the receipt. messaging.after_handlers and its like are of
/// handlers inside a transaction, which the Order System has none of; broker_test.cpp passes those.
const Kill kKills[] = {
    {"idempotency.after_insert", 1},
    {"idempotency.after_insert", 20},
    {"idempotency.after_effect", 1},
    {"idempotency.after_effect", 20},
    {"idempotency.after_commit", 1},
    {"idempotency.after_commit", 20},
    {"outbox.after_insert", 1},
    {"outbox.after_insert", 20},
    {"maildir.before_link", 1},
    {"maildir.before_link", 20},
    {"maildir.after_link", 1},
    {"maildir.after_link", 20},
    {"messaging.after_record", 1},
    {"messaging.after_record", 20},
    {"messaging.after_heartbeat", 1},
    {"messaging.after_heartbeat", 20},
    {"messaging.after_external_handler", 1},
    {"messaging.after_external_handler", 20},
    {"messaging.after_take", 1},  // and no other: it has all buckets then
};

/// All of them where the binary has fault sites; none where it is the usual one.
std::vector<Kill> kills() {
  std::ifstream file(holdfast_binary(), std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  if (text.view().find("maildir.before_link") == std::string_view::npos) return {};
  return {std::begin(kKills), std::end(kKills)};
}

class FaultPoints : public ::testing::TestWithParam<Kill> {};

TEST_P(FaultPoints, EndingThereLosesAndDoublesNothing) {
  const Kill kill = GetParam();
  Shop shop;
  Journal journal;
  shop.server().stop();
  auto& environment = shop.server().options().environment;
  environment["HOLDFAST_FAULT_KILL"] = kill.site + ":" + std::to_string(kill.pass);
  shop.server().launch();
  environment.erase("HOLDFAST_FAULT_KILL");
  bool ready = true;
  try {
    shop.server().wait_until_ready();
  } catch (const std::runtime_error&) {
    ready = false;  // it took a lease or beat, and was ended, before it was ready
  }
  Shoppers shoppers(shop, journal, {.seed = test_seed(), .threads = 8, .pause = 2ms});
  EXPECT_EQ(shop.server().process().wait(30s).code, 137) << "the site was never passed, ready: " << ready;
  shop.server().start();
  shoppers.server_is_back();
  std::this_thread::sleep_for(100ms);
  shoppers.finish();
  EXPECT_GT(journal.placed(), 0U);
  EXPECT_THAT(shop.faults(journal), IsEmpty());
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(FaultPoints);
INSTANTIATE_TEST_SUITE_P(Sites, FaultPoints, ::testing::ValuesIn(kills()), [](const auto& each) {
  std::string name = each.param.site + "_" + std::to_string(each.param.pass);
  for (char& c : name) c = c == '.' ? '_' : c;
  return name;
});

}  // namespace
}  // namespace holdfast::drills
