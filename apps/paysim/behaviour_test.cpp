#include "paysim/behaviour.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "holdfast/base/error.hpp"
#include "paysim/cards.hpp"

namespace holdfast::paysim {
namespace {

using namespace std::chrono_literals;

class BehaviourTest : public ::testing::Test {
 protected:
  Plan plan(Operation operation, std::string_view card = "pm_card_visa") {
    return behaviour.plan(operation, card);
  }
  int fired(int calls, Action action) {
    int count = 0;
    for (int i = 0; i < calls; ++i) count += plan(Operation::authorize).is(action) ? 1 : 0;
    return count;
  }
  ManualClock clock;
  Behaviour behaviour{clock};
};

TEST_F(BehaviourTest, BehavesUntilToldOtherwise) {
  EXPECT_FALSE(plan(Operation::authorize).deed);
  behaviour.set(R"({"rules":[{"action":"hang"}]})");
  EXPECT_TRUE(plan(Operation::read).is(Action::hang));
  behaviour.set("{}");
  EXPECT_FALSE(plan(Operation::authorize).deed);
}

TEST_F(BehaviourTest, MatchesByOperationAndCard) {
  behaviour.set(
      R"({"rules":[{"action":"drop_after","operation":"capture"},
                   {"action":"decline","card":"pm_card_amex","declineCode":"lost_card"}]})");
  EXPECT_TRUE(plan(Operation::capture).is(Action::drop_after));
  EXPECT_FALSE(plan(Operation::authorize).deed);
  const Plan amex = plan(Operation::authorize, "pm_card_amex");
  ASSERT_TRUE(amex.is(Action::decline));
  EXPECT_EQ(amex.deed->decline_code, "lost_card");
  EXPECT_FALSE(plan(Operation::refund, "pm_card_amex").deed) << "a refund can't be declined";
  EXPECT_TRUE(behaviour.names_cards());
}

TEST_F(BehaviourTest, DelaysAddUpAndTheFirstOtherRuleDecides) {
  behaviour.set(
      R"({"rules":[{"action":"delay","ms":100},{"action":"hang"},{"action":"delay","ms":50},
                   {"action":"drop_before"}]})");
  const Plan both = plan(Operation::authorize);
  EXPECT_EQ(both.delay, 150ms);
  EXPECT_TRUE(both.is(Action::hang));
}

TEST_F(BehaviourTest, ChanceFollowsTheSeed) {
  const auto pattern = [&](int seed) {
    behaviour.set(R"({"seed":)" + std::to_string(seed) + R"(,"rules":[{"action":"hang","rate":0.3}]})");
    std::string fires;
    for (int i = 0; i < 200; ++i) fires += plan(Operation::authorize).is(Action::hang) ? 'x' : '.';
    return fires;
  };
  const std::string one = pattern(1);
  EXPECT_EQ(one, pattern(1));
  EXPECT_NE(one, pattern(2));
  const auto hangs = std::count(one.begin(), one.end(), 'x');
  EXPECT_GT(hangs, 30);
  EXPECT_LT(hangs, 90);
}

TEST_F(BehaviourTest, FiresOnlySoManyTimes) {
  behaviour.set(R"({"rules":[{"action":"error","times":3}]})");
  EXPECT_EQ(fired(10, Action::error), 3);
}

TEST_F(BehaviourTest, FlapsByTheClock) {
  behaviour.set(R"({"rules":[{"action":"flap","upMs":2000,"downMs":1000,"status":503}]})");
  EXPECT_FALSE(plan(Operation::authorize).deed);
  clock.advance(1999ms);
  EXPECT_FALSE(plan(Operation::authorize).deed);
  clock.advance(1ms);
  EXPECT_TRUE(plan(Operation::authorize).is(Action::flap));
  clock.advance(999ms);
  EXPECT_TRUE(plan(Operation::authorize).is(Action::flap));
  clock.advance(1ms);
  EXPECT_FALSE(plan(Operation::authorize).deed) << "up again";
}

TEST_F(BehaviourTest, RefusesOrdersThatMakeNoSenseAndKeepsTheOld) {
  behaviour.set(R"({"rules":[{"action":"hang"}]})");
  for (const char* bad :
       {"", "[]", R"({"rules":[{"action":"explode"}]})", R"({"rules":[{"action":"hang","rate":1.5}]})",
        R"({"rules":[{"action":"hang","rate":-0.5}]})", R"({"rules":[{"action":"delay","ms":-1}]})",
        R"({"rules":[{"action":"error","status":200}]})", R"({"rules":[{"action":"flap","downMs":0}]})",
        R"({"rules":[{"operation":"capture"}]})", R"({"ruels":[]})", R"({"webhooks":{"drop":2}})"}) {
    EXPECT_THROW(behaviour.set(bad), Error) << bad;
  }
  std::string many = R"({"rules":[{"action":"hang"})";
  for (std::size_t i = 0; i < Behaviour::kMaxRules; ++i) many += R"(,{"action":"hang"})";
  EXPECT_THROW(behaviour.set(many + "]}"), Error);
  EXPECT_TRUE(plan(Operation::authorize).is(Action::hang));
}

TEST_F(BehaviourTest, ShowsWhatItTakes) {
  behaviour.set(R"({"seed":7,"rules":[{"action":"error","status":429,"retryAfter":2,"rate":0.5}]})");
  const std::string shown = behaviour.json();
  behaviour.set(shown);
  EXPECT_EQ(behaviour.json(), shown);
}

TEST_F(BehaviourTest, WebhooksGoOnceUnlessToldOtherwise) {
  EXPECT_EQ(behaviour.webhook_times(), std::vector<Duration>{0ms});
  behaviour.set(R"({"webhooks":{"duplicates":1,"delayMs":50}})");
  EXPECT_EQ(behaviour.webhook_times(), (std::vector<Duration>{50ms, 50ms}));
  behaviour.set(R"({"webhooks":{"reorder":1,"reorderMs":700}})");
  EXPECT_EQ(behaviour.webhook_times(), std::vector<Duration>{700ms});
  behaviour.set(R"({"webhooks":{"drop":1}})");
  EXPECT_TRUE(behaviour.webhook_times().empty());
}

TEST_F(BehaviourTest, ACardsOwnFaultComesAfterTheRules) {
  const auto declined = find_card("4000 0000 0000 9995");
  ASSERT_TRUE(declined);
  EXPECT_EQ(declined->payment_method, "pm_card_visa_chargeDeclinedInsufficientFunds");
  const Plan own = behaviour.plan(Operation::authorize, declined->payment_method, declined->fault);
  ASSERT_TRUE(own.is(Action::decline));
  EXPECT_EQ(own.deed->decline_code, "insufficient_funds");
  EXPECT_FALSE(behaviour.plan(Operation::cancel, declined->payment_method, declined->fault).deed);
  behaviour.set(R"({"rules":[{"action":"hang"}]})");
  EXPECT_TRUE(behaviour.plan(Operation::authorize, "", declined->fault).is(Action::hang));
}

TEST(Cards, KnowsStripesNamesAndItsOwn) {
  EXPECT_FALSE(find_card("pm_card_visa")->fault);
  EXPECT_EQ(find_card("5555555555554444")->brand, "mastercard");
  EXPECT_EQ(find_card("pm_hang")->fault->action, Action::hang);
  EXPECT_EQ(find_card("pm_drop_after_charge")->fault->action, Action::drop_after);
  EXPECT_EQ(find_card("pm_delay_500ms")->fault->ms, 500);
  EXPECT_EQ(find_card("pm_error_503")->fault->status, 503);
  for (const char* none : {"", "pm_none", "4111", "pm_delay_ms", "pm_delay_-1ms", "pm_delay_60001ms",
                           "pm_error_200", "pm_error_"}) {
    EXPECT_FALSE(find_card(none)) << none;
  }
}

}  // namespace
}  // namespace holdfast::paysim
