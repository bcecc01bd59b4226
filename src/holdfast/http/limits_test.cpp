#include <gmock/gmock.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "holdfast/base/random.hpp"
#include "holdfast/http/admission.hpp"
#include "holdfast/http/rate_limit.hpp"
#include "holdfast/http/testing/test_server.hpp"
#include "holdfast/resilience/rate_limiter.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/runtime/sync.hpp"

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

TEST_F(LimitsTest, AClientMayAskForLessThanItsRouteNotForMore) {
  const Route checkout{.method = Method::post, .pattern = "/o", .info = {.priority = Priority::critical}};
  const Route browsing{.method = Method::get, .pattern = "/p", .info = {}};
  const auto priority = [&](const Route& route, const char* asked, Priority read, bool admin = false) {
    Request request;
    request.route = &route;
    if (asked != nullptr) request.headers.push_back({"X-Priority", asked});
    AdmissionControlOptions options;
    if (admin) options.may_raise = [](const Context&, const Request&) { return true; };
    return priority_of(ctx.with_priority(read), request, options);
  };
  EXPECT_EQ(priority(checkout, nullptr, Priority::normal), Priority::critical);
  EXPECT_EQ(priority(checkout, "normal", Priority::normal), Priority::normal);
  EXPECT_EQ(priority(checkout, "background", Priority::background), Priority::background);
  EXPECT_EQ(priority(browsing, "critical", Priority::critical), Priority::normal);
  EXPECT_EQ(priority(browsing, "critical", Priority::critical, true), Priority::critical);
}

/// The bulkhead of reports is full of them, and more come all the time; orders do not notice.
TEST_F(LimitsTest, SaturatedReportsLeaveOrdersAlone) {
  SystemClock real;
  resilience::AdmissionGate gate("http", {.max_running = 4, .max_waiting = 4}, real, metrics);
  resilience::AdmissionGate reports("reports", {.max_running = 2, .max_waiting = 3, .max_wait = 20s}, real,
                                    metrics);
  runtime::Latch report_ends;
  std::atomic<int> reports_at_work = 0;
  Router router;
  AdmissionControlOptions options;
  options.bulkheads.emplace("reports", &reports);
  router.use(admission_control(gate, std::move(options)));
  router.get("/report",
             [&](const Context& own, Request&) {
               ++reports_at_work;
               report_ends.wait(own, "test");
               --reports_at_work;
               return Response::text(200, "report");
             },
             {.priority = Priority::background, .bulkhead = "reports"});
  router.post("/orders",
              [](const Context& own, Request&) {
                return Response::text(own.priority() == Priority::critical ? 201 : 500, "order");
              },
              {.priority = Priority::critical});
  testing::TestServer server(std::move(router));
  std::vector<std::unique_ptr<testing::RawClient>> clients;
  for (int i = 0; i < 5; ++i) {
    clients.push_back(std::make_unique<testing::RawClient>(server.port()));
    clients.back()->send("GET /report HTTP/1.1\r\nHost: x\r\n\r\n");
  }
  while (server.server->statistics().requests_in_flight < 5) std::this_thread::yield();
  testing::RawClient orders(server.port());
  for (int i = 0; i < 50; ++i) {
    orders.send("POST /orders HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    ASSERT_EQ(testing::status_of(orders.response()), 201);
  }
  orders.send("GET /report HTTP/1.1\r\nHost: x\r\n\r\n");
  const std::string refused = orders.response();
  EXPECT_EQ(testing::status_of(refused), 503);
  EXPECT_THAT(refused, HasSubstr("\"bulkhead_full\""));
  EXPECT_THAT(refused, HasSubstr("Retry-After: "));
  EXPECT_LE(reports_at_work, 2);
  report_ends.open();
  for (auto& client : clients) EXPECT_EQ(testing::status_of(client->response()), 200);
}

}  // namespace
}  // namespace holdfast::http
