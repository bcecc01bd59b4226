#include "holdfast/observe/health.hpp"

#include <gmock/gmock.h>

#include <stdexcept>

#include "holdfast/base/error.hpp"

namespace holdfast::observe {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

struct HealthTest : ::testing::Test {
  ManualClock clock;
  Health health{clock};
};

TEST_F(HealthTest, IsNotReadyBeforeItsComponentsAre) {
  auto database = health.add("database");
  EXPECT_EQ(health.report().http_status(), 503);
  EXPECT_EQ(health.report().checks[0].state.reason, "starting");
  database.set(Readiness::ready);
  EXPECT_EQ(health.report().readiness, Readiness::ready);
  EXPECT_EQ(health.report().http_status(), 200);
}

TEST_F(HealthTest, OnlyACriticalCheckTakesItOutOfRotation) {
  auto database = health.add("database", {.critical = true});
  auto mail = health.add("mail", {.critical = false});
  database.set(Readiness::ready);
  mail.set(Readiness::not_ready, "connection refused");
  EXPECT_EQ(health.report().readiness, Readiness::degraded);
  EXPECT_EQ(health.report().http_status(), 200);
  database.set(Readiness::not_ready, "disk full");
  EXPECT_EQ(health.report().http_status(), 503);
  database.set(Readiness::degraded, "slow");
  EXPECT_EQ(health.report().readiness, Readiness::degraded);
}

TEST_F(HealthTest, SaysSoInJson) {
  auto mail = health.add("mail", {.critical = false});
  clock.advance(1s);
  mail.set(Readiness::degraded, "say \"please\" to admin@example.com");
  clock.advance(1500ms);
  EXPECT_EQ(health.report().to_json(),
            R"({"status":"degraded","checks":[{"name":"mail","status":"degraded","critical":false,)"
            R"("reason":"say \"please\" to a***@example.com","sinceSeconds":1.5}]})");
}

TEST_F(HealthTest, AsksProbesAndJudgesTheirTime) {
  HealthState answer{Readiness::ready};
  Duration takes(0);
  const auto probe = health.add_probe("smtp", {.timeout = 100ms}, [&](Duration timeout) {
    EXPECT_EQ(timeout, 100ms);
    clock.advance(takes);
    return answer;
  });
  EXPECT_EQ(health.report().readiness, Readiness::ready);
  takes = 101ms;
  EXPECT_EQ(health.report().readiness, Readiness::not_ready);
  EXPECT_THAT(health.report().checks[0].state.reason, HasSubstr("took 0.101 s"));
}

TEST_F(HealthTest, AProbeThatThrowsIsNotReady) {
  const auto probe =
      health.add_probe("x", {}, [](Duration) -> HealthState { throw std::runtime_error("no route"); });
  EXPECT_EQ(health.report().checks[0].state.reason, "no route");
  EXPECT_EQ(health.report().http_status(), 503);
}

TEST_F(HealthTest, DrainingIsForEver) {
  auto database = health.add("database");
  database.set(Readiness::ready);
  health.start_draining();
  EXPECT_EQ(health.report().http_status(), 503);
}

TEST_F(HealthTest, ACheckThatIsGoneIsForgotten) {
  {
    const auto gone = health.add("gone");
    EXPECT_THROW((void)health.add("gone"), Error);
    EXPECT_EQ(health.report().checks.size(), 1u);
  }
  EXPECT_TRUE(health.report().checks.empty());
  EXPECT_EQ(health.report().readiness, Readiness::ready);
}

}  // namespace
}  // namespace holdfast::observe
