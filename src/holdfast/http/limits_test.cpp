#include <gmock/gmock.h>

#include "holdfast/base/random.hpp"
#include "holdfast/http/admission.hpp"
#include "holdfast/http/rate_limit.hpp"
#include "holdfast/runtime/runtime.hpp"

namespace holdfast::http {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

struct LimitsTest : ::testing::Test {
  Response ask(const Middleware& middleware, const Context& caller,
               std::string_view address = "203.0.113.7") {
    Request request;
    request.remote_address = address;
    return middleware(caller, request, [&](const Context&, Request&) {
      ++served;
      return Response::text(200, "ok");
    });
  }

  ManualClock clock;
  SeededRandom random{1};
  observe::Metrics metrics;
  Context ctx{clock};
  int served = 0;
};

TEST_F(LimitsTest, AnswersSayWhatIsLeftAndOneTooManyIsRefused) {
  resilience::RateLimiter limiter({{.name = "default", .rate = {.requests = 2, .window = 60s}}}, {}, random);
  const Middleware limit = rate_limit(limiter, metrics);
  const Response first = ask(limit, ctx);
  EXPECT_EQ(first.status, 200);
  EXPECT_EQ(first.header("RateLimit"), "\"default\";r=1;t=30");
  EXPECT_EQ(first.header("RateLimit-Policy"), "\"default\";q=2;w=60");
  EXPECT_EQ(first.header("X-RateLimit-Remaining"), "1");
  EXPECT_FALSE(first.has_header("Retry-After"));
  ask(limit, ctx);
  const Response refused = ask(limit, ctx);
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.header("Retry-After"), "30");
  EXPECT_EQ(refused.header("X-RateLimit-Remaining"), "0");
  EXPECT_EQ(refused.content_type(), "application/problem+json");
  EXPECT_THAT(refused.body, HasSubstr("\"rate_limited\""));
  EXPECT_EQ(served, 2);
  clock.advance(30s);
  EXPECT_EQ(ask(limit, ctx).status, 200);
  EXPECT_THAT(metrics.expose(),
              HasSubstr("holdfast_rate_limit_total{outcome=\"refused\",policy=\"default\"} 1\n"));
}

TEST_F(LimitsTest, ClientsAreTheirPrincipalElseTheirNetwork) {
  Request request;
  request.remote_address = "2001:db8:1:2:aaaa::1";
  EXPECT_EQ(client_key(ctx, request), "2001:db8:1:2::/64");
  request.remote_address = "203.0.113.7";
  EXPECT_EQ(client_key(ctx, request), "203.0.113.7");
  request.remote_address = "::ffff:203.0.113.7";
  EXPECT_EQ(client_key(ctx, request), "::ffff:203.0.113.7");
  EXPECT_EQ(client_key(ctx.with_principal({.subject = "key_1"}), request), "key_1");
}

TEST_F(LimitsTest, TiersHaveTheirOwnPolicies) {
  resilience::RateLimiter limiter({{.name = "free", .rate = {.requests = 1, .window = 60s}},
                                   {.name = "paid", .rate = {.requests = 3, .window = 60s}}},
                                  {}, random);
  const Middleware limit = rate_limit(limiter, metrics, {.policy = [](const Context& caller, const Request&) {
                                        return std::size_t{caller.principal().anonymous() ? 0u : 1u};
                                      }});
  const Context paid = ctx.with_principal({.subject = "key_1"});
  EXPECT_EQ(ask(limit, ctx).status, 200);
  EXPECT_EQ(ask(limit, ctx).status, 429);
  EXPECT_EQ(ask(limit, paid).status, 200);
  EXPECT_EQ(ask(limit, paid).header("RateLimit"), "\"paid\";r=1;t=40");
}

TEST_F(LimitsTest, AFullGateAnswers503AndServesAgainAfterwards) {
  runtime::Runtime runtime({.simulated = true, .manual_clock = &clock}, clock, random);
  runtime.run([&](const Context& main) {
    resilience::AdmissionGate gate("http", {.max_running = 1, .max_waiting = 0}, clock, metrics);
    const Middleware control = admission_control(gate, {.exempt = [](const Context&, const Request& request) {
                                                   return request.remote_address == "exempt";
                                                 }});
    {
      const auto held = gate.enter(main);
      const Response refused = ask(control, main);
      EXPECT_EQ(refused.status, 503);
      EXPECT_EQ(refused.header("Retry-After"), "1");
      EXPECT_THAT(refused.body, HasSubstr("\"overloaded\""));
      EXPECT_EQ(ask(control, main, "exempt").status, 200);
    }
    EXPECT_EQ(ask(control, main).status, 200);
  });
}

}  // namespace
}  // namespace holdfast::http
