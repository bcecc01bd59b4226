#include "holdfast/http/tarpit.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "holdfast/base/random.hpp"
#include "holdfast/http/request.hpp"
#include "holdfast/http/response.hpp"
#include "holdfast/runtime/cancellation.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/runtime.hpp"

namespace holdfast::http {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

/// In simulated time: what is not held back takes none.
class TarpitTest : public ::testing::Test {
 protected:
  void run(const TarpitOptions& options, const std::function<void(const Context&)>& test) {
    pit_ = tarpit(options, metrics_);
    runtime::Runtime runtime({.simulated = true, .manual_clock = &clock_}, clock_, random_);
    runtime.run(test);
  }

  /// How long an answer of `status` takes to reach a client.
  Duration ask(const Context& ctx, int status, std::string_view address = "203.0.113.7",
               std::string_view credentials = {}) {
    Request request;
    request.remote_address = address;
    if (!credentials.empty()) request.headers.push_back({"Authorization", credentials});
    const Instant asked = ctx.now();
    const Response response = pit_(ctx, request, [&](const Context&, Request&) {
      Response refused = Response::text(status, "as it was");
      refused.set("Retry-After", "7");
      return refused;
    });
    EXPECT_EQ(response.status, status);
    EXPECT_EQ(response.body, "as it was");
    EXPECT_EQ(response.header("Retry-After"), "7");
    return ctx.now() - asked;
  }
  std::uint64_t slowed() { return metrics_.counter("holdfast_http_slowed_refusals_total", "").value(); }

  ManualClock clock_;
  SeededRandom random_{1};
  observe::Metrics metrics_;
  Middleware pit_;
};

TEST_F(TarpitTest, AClientThatIsToldAgainAndAgainIsToldLater) {
  run({.delay = 100ms, .at_once = 3}, [&](const Context& ctx) {
    for (int i = 0; i < 3; ++i) EXPECT_EQ(ask(ctx, 429), 0ms) << i;
    for (int i = 0; i < 5; ++i) EXPECT_EQ(ask(ctx, 429), 100ms) << i;
    EXPECT_EQ(slowed(), 5U);
    EXPECT_EQ(ask(ctx, 429, "203.0.113.8"), 0ms) << "another client, for the first time";
    runtime::sleep_for(ctx, 1s);
    EXPECT_EQ(ask(ctx, 429), 0ms) << "in another second it begins anew";
  });
}

TEST_F(TarpitTest, ItIsBoundToNoMoreThanItsDelayAllows) {
  constexpr int kAsked = 200;
  run({.delay = 250ms, .at_once = 20}, [&](const Context& ctx) {
    const Instant began = ctx.now();
    for (int i = 0; i < kAsked; ++i) ask(ctx, 429);
    // Twenty at once and four more, each second.
    EXPECT_GE(ctx.now() - began, 8s);
  });
}

TEST_F(TarpitTest, OtherAnswersAreNeitherHeldBackNorCounted) {
  run({.delay = 100ms, .at_once = 2}, [&](const Context& ctx) {
    for (const int status : {200, 404, 503, 401, 200, 503, 403, 500}) EXPECT_EQ(ask(ctx, status), 0ms);
    EXPECT_EQ(ask(ctx, 429), 0ms);
    EXPECT_EQ(ask(ctx, 429), 0ms);
    EXPECT_EQ(ask(ctx, 200), 0ms);
    EXPECT_EQ(slowed(), 0U);
    EXPECT_EQ(ask(ctx, 429), 100ms);
    EXPECT_EQ(ask(ctx, 200), 0ms) << "what it is given is given at once";
  });
}

TEST_F(TarpitTest, AClientIsItsCredentialsWhereverItComesFrom) {
  run({.delay = 100ms, .at_once = 1}, [&](const Context& ctx) {
    EXPECT_EQ(ask(ctx, 429, "203.0.113.7", "Bearer one"), 0ms);
    EXPECT_EQ(ask(ctx, 429, "203.0.113.8", "Bearer one"), 100ms);
    EXPECT_EQ(ask(ctx, 429, "203.0.113.7", "Bearer two"), 0ms);
    EXPECT_EQ(ask(ctx, 429, "203.0.113.7"), 0ms);
  });
}

TEST_F(TarpitTest, HoldsABoundedNumberAndAnswersTheOthersAtOnce) {
  run({.delay = 100ms, .at_once = 0, .max_held = 2}, [&](const Context& ctx) {
    std::vector<Duration> took;
    runtime::FiberGroup clients(ctx);
    for (int i = 0; i < 5; ++i)
      clients.spawn("client", [&](const Context& own) { took.push_back(ask(own, 429)); });
    clients.wait();
    EXPECT_THAT(took, ::testing::ElementsAre(0ms, 0ms, 0ms, 100ms, 100ms));
    EXPECT_EQ(slowed(), 2U);
    EXPECT_EQ(ask(ctx, 429), 100ms) << "the places are free again";
  });
}

TEST_F(TarpitTest, WhoHasGoneIsNotHeldAnyLonger) {
  run({.delay = 1h, .at_once = 0, .max_held = 1}, [&](const Context& ctx) {
    runtime::CancellationSource gone;
    runtime::FiberGroup clients(ctx);
    Duration took{};
    clients.spawn("client",
                  [&](const Context& own) { took = ask(own.with_cancellation(gone.token()), 429); });
    runtime::sleep_for(ctx, 10ms);
    gone.cancel();
    clients.wait();
    EXPECT_EQ(took, 10ms);
    EXPECT_EQ(ask(ctx, 429), 1h) << "its place is free";
  });
}

TEST_F(TarpitTest, AClientCanNotBuyItselfOutWithAShortDeadline) {
  run({.delay = 100ms, .at_once = 0},
      [&](const Context& ctx) { EXPECT_EQ(ask(ctx.with_timeout(20ms), 429), 100ms); });
}

}  // namespace
}  // namespace holdfast::http
