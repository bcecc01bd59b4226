#include "carriersim/behaviour.hpp"

#include <gtest/gtest.h>

#include "holdfast/base/error.hpp"

namespace holdfast::carriersim {
namespace {

using namespace std::chrono_literals;

TEST(CarrierBehaviour, BehavesUntilToldOtherwise) {
  Behaviour behaviour;
  EXPECT_FALSE(behaviour.plan(Operation::book).deed);
  behaviour.set(R"({"rules":[{"action":"hang"}]})");
  EXPECT_TRUE(behaviour.plan(Operation::ask).is(Action::hang));
  behaviour.set("{}");
  EXPECT_FALSE(behaviour.plan(Operation::ask).deed);
}

TEST(CarrierBehaviour, MatchesByOperationAndRefusesBookingsOnly) {
  Behaviour behaviour;
  behaviour.set(R"({"rules":[{"action":"drop_after","operation":"cancel"},{"action":"refuse"}]})");
  EXPECT_TRUE(behaviour.plan(Operation::cancel).is(Action::drop_after));
  EXPECT_TRUE(behaviour.plan(Operation::book).is(Action::refuse));
  EXPECT_FALSE(behaviour.plan(Operation::ask).deed);
}

TEST(CarrierBehaviour, DelaysAddUpAndTheFirstOtherRuleDecides) {
  Behaviour behaviour;
  behaviour.set(
      R"({"rules":[{"action":"delay","ms":100},{"action":"busy"},{"action":"delay","ms":50},{"action":"hang"}]})");
  const Plan plan = behaviour.plan(Operation::book);
  EXPECT_EQ(plan.delay, 150ms);
  EXPECT_TRUE(plan.is(Action::busy));
}

TEST(CarrierBehaviour, FiresSoManyTimesAndByTheSeed) {
  Behaviour behaviour;
  behaviour.set(R"({"rules":[{"action":"error","times":2}]})");
  int fired = 0;
  for (int i = 0; i < 5; ++i) fired += behaviour.plan(Operation::book).is(Action::error) ? 1 : 0;
  EXPECT_EQ(fired, 2);

  const auto pattern = [&](int seed) {
    behaviour.set(R"({"seed":)" + std::to_string(seed) + R"(,"rules":[{"action":"error","rate":0.5}]})");
    std::string made;
    for (int i = 0; i < 64; ++i) made += behaviour.plan(Operation::book).deed ? 'x' : '.';
    return made;
  };
  const std::string once = pattern(7);
  EXPECT_EQ(pattern(7), once);
  EXPECT_NE(pattern(8), once);
}

TEST(CarrierBehaviour, RefusesOrdersThatMakeNoSenseAndKeepsTheOldOnes) {
  Behaviour behaviour;
  behaviour.set(R"({"rules":[{"action":"busy"}]})");
  for (const char* wrong :
       {"", "[]", R"({"rules":[{"action":"explode"}]})", R"({"rules":[{"action":"hang","rate":1.5}]})",
        R"({"rules":[{"action":"error","status":200}]})", R"({"rules":[{"action":"delay","ms":-1}]})",
        R"({"rules":[{"action":"hang","operation":"deliver"}]})", R"({"ruless":[]})"}) {
    EXPECT_THROW(behaviour.set(wrong), Error) << wrong;
  }
  std::string many = R"({"rules":[{"action":"busy"})";
  for (std::size_t i = 0; i < Behaviour::kMaxRules; ++i) many += R"(,{"action":"busy"})";
  EXPECT_THROW(behaviour.set(many + "]}"), Error);
  EXPECT_TRUE(behaviour.plan(Operation::ask).is(Action::busy));
  const std::string shown = behaviour.json();
  behaviour.set(shown);
  EXPECT_EQ(behaviour.json(), shown);
}

}  // namespace
}  // namespace holdfast::carriersim
