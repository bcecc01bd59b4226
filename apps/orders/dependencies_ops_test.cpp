#include "orders/dependencies_ops.hpp"

#include <gmock/gmock.h>

#include "orders/testing/running_system.hpp"

namespace holdfast::orders {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testing::RunningSystem;
using testing::with_system;

constexpr const char* kWhy = R"({"why":"they asked us to stop"})";

TEST(DependenciesOps, ShowsAndSwitchesWhatThisServiceDependsOn) {
  with_system([](RunningSystem& s) {
    resilience::Pipeline& rates = s.system.dependencies().add("rates");
    (void)rates.call(s.ctx, [](resilience::Attempt&) { return 1; });
    const auto closed = s.get("/v1/ops/dependencies");
    ASSERT_EQ(closed.status, 200) << closed.body;
    EXPECT_THAT(closed.body, HasSubstr(R"("name":"rates","state":"closed","reason":"started")"));
    EXPECT_THAT(closed.body, HasSubstr(R"("succeeded":1)"));

    const auto opened = s.post("/v1/ops/dependencies/rates/open", kWhy);
    EXPECT_THAT(opened.body, HasSubstr(R"("state":"forced_open","reason":"by_hand")"));
    EXPECT_FALSE(rates.try_call(s.ctx, [](resilience::Attempt&) { return 1; }));
    EXPECT_THAT(s.get("/v1/ops/dependencies").body, HasSubstr(R"("refusals":{"breaker_forced_open":1})"));
    EXPECT_THAT(s.logged, HasSubstr("they asked us to stop"));
    const auto ready = s.get("/health/ready");
    EXPECT_EQ(ready.status, 200) << "what does not need it is served";
    EXPECT_THAT(ready.body, HasSubstr("rates is asked nothing (forced_open)"));

    EXPECT_THAT(s.post("/v1/ops/dependencies/rates/close", kWhy).body, HasSubstr("forced_closed"));
    EXPECT_THAT(s.post("/v1/ops/dependencies/rates/reset", kWhy).body, HasSubstr(R"("state":"closed")"));
    EXPECT_THAT(s.get("/health/ready").body, Not(HasSubstr("rates")));
    EXPECT_EQ(s.post("/v1/ops/dependencies/rates/open", "{}").status, 400) << "it must say why";
    EXPECT_EQ(s.post("/v1/ops/dependencies/ratse/open", kWhy).status, 404);

    s.key = s.make_key(access::Scope::read);
    EXPECT_EQ(s.get("/v1/ops/dependencies").status, 200);
    EXPECT_EQ(s.post("/v1/ops/dependencies/rates/open", kWhy).status, 403);
  });
}

TEST(DependenciesOps, WarnsOfSettingsThatNothingIsCalledBy) {
  with_system([](RunningSystem& s) { EXPECT_THAT(s.logged, HasSubstr("ratse")); },
              [](Settings& settings) { settings.dependencies["ratse"]; });
}

}  // namespace
}  // namespace holdfast::orders
