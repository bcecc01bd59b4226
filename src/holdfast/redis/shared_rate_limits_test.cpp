#include "holdfast/redis/shared_rate_limits.hpp"

#include <gtest/gtest.h>

#include <atomic>

#include "holdfast/redis/testing/system.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/sync.hpp"

namespace holdfast::redis {
namespace {

using namespace std::chrono_literals;
using resilience::RateDecision;
using resilience::RateLimiter;
using resilience::RateLimits;
using resilience::RatePolicy;
using testing::RedisServer;
using testing::RedisTest;
using testing::shared_server;
using testing::System;

enum class Kind : std::uint8_t { local, shared };

/// The port's promises, asked of every adapter.
class RateLimitsContract : public ::testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    if (GetParam() == Kind::shared && RedisServer::unwanted()) GTEST_SKIP() << "HOLDFAST_EMBEDDED_ONLY=1";
  }
  void run(std::vector<RatePolicy> policies,
           const std::function<void(const Context&, System&, RateLimits&)>& body, std::size_t loops = 2) {
    System system(loops);
    system.run([&](const Context& ctx) {
      if (GetParam() == Kind::local) {
        RateLimiter limits(policies, {}, system.random);
        return body(ctx, system, limits);
      }
      const auto client = system.client(shared_server().address());
      client->command(ctx, {"FLUSHALL"});
      SharedRateLimits limits(*client, policies, {.patience = 5s}, system.clock, system.random,
                              system.metrics);
      body(ctx, system, limits);
    });
  }
};

INSTANTIATE_TEST_SUITE_P(Adapters, RateLimitsContract, ::testing::Values(Kind::local, Kind::shared),
                         [](const auto& given) { return given.param == Kind::local ? "local" : "redis"; });

TEST_P(RateLimitsContract, LetsABurstThroughAndThenSaysWhen) {
  run({{.name = "p", .rate = {.requests = 60, .window = 1h, .burst = 5}}},
      [](const Context& ctx, System&, RateLimits& limits) {
        for (std::uint64_t i = 0; i < 5; ++i) {
          const RateDecision decision = limits.try_acquire(ctx, 0, "ada");
          EXPECT_TRUE(decision.allowed) << i;
          EXPECT_EQ(decision.remaining, 4 - i);
        }
        for (int i = 0; i < 3; ++i) {
          const RateDecision refused = limits.try_acquire(ctx, 0, "ada");
          EXPECT_FALSE(refused.allowed);
          EXPECT_EQ(refused.remaining, 0U);
          EXPECT_GT(refused.retry_after, 50s);
          EXPECT_LE(refused.retry_after, 60s);
          EXPECT_GT(refused.full_after, 4min);
        }
        EXPECT_TRUE(limits.try_acquire(ctx, 0, "eve").allowed) << "each client has its own";
      });
}

TEST_P(RateLimitsContract, TakesAllOrNoneAndLooksForNothing) {
  run({{.name = "p", .rate = {.requests = 1, .window = 1h, .burst = 10}},
       {.name = "q", .rate = {.requests = 1, .window = 1h}}},
      [](const Context& ctx, System&, RateLimits& limits) {
        EXPECT_EQ(limits.try_acquire(ctx, 0, "ada", 0).remaining, 10U);
        EXPECT_TRUE(limits.try_acquire(ctx, 0, "ada", 7).allowed);
        EXPECT_FALSE(limits.try_acquire(ctx, 0, "ada", 4).allowed);
        EXPECT_TRUE(limits.try_acquire(ctx, 0, "ada", 3).allowed);
        const RateDecision never = limits.try_acquire(ctx, 0, "ada", 11);
        EXPECT_FALSE(never.allowed);
        EXPECT_EQ(never.retry_after, RateDecision::kNeverPasses);
        EXPECT_TRUE(limits.try_acquire(ctx, 1, "ada").allowed) << "each policy counts for itself";
        EXPECT_FALSE(limits.try_acquire(ctx, 1, "ada").allowed);
        EXPECT_TRUE(limits.try_acquire(ctx, 1, std::string(5000, 'x')).allowed);
        EXPECT_FALSE(limits.try_acquire(ctx, 1, std::string(5000, 'x')).allowed);
      });
}

TEST_P(RateLimitsContract, TokensComeBackWithTime) {
  run({{.name = "p", .rate = {.requests = 50, .window = 1s, .burst = 1}}},
      [](const Context& ctx, System& system, RateLimits& limits) {
        const Instant begun = system.clock.now();
        int allowed = 0;
        while (allowed < 10) {
          const RateDecision decision = limits.try_acquire(ctx, 0, "ada");
          if (decision.allowed) {
            ++allowed;
          } else {
            EXPECT_LE(decision.retry_after, 25ms);
            runtime::sleep_for(ctx, decision.retry_after);
          }
        }
        EXPECT_GE(system.clock.now() - begun, 175ms);
      });
}

TEST_P(RateLimitsContract, ThreadsTogetherGetNoMoreThanThereIs) {
  run(
      {{.name = "p", .rate = {.requests = 1, .window = 1h, .burst = 500}}},
      [](const Context& ctx, System& system, RateLimits& limits) {
        std::atomic<int> allowed{0};
        std::atomic<int> running{4};
        runtime::Signal ended;
        for (std::size_t loop = 0; loop < 4; ++loop) {
          system.runtime.spawn_on(loop, "client", [&] {
            runtime::FiberGroup group(ctx);
            for (int fiber = 0; fiber < 25; ++fiber) {
              group.spawn("one", [&](const Context& own) {
                for (int i = 0; i < 10; ++i) allowed += limits.try_acquire(own, 0, "ada").allowed ? 1 : 0;
              });
            }
            group.wait();
            --running;
            ended.notify();
          });
        }
        for (std::uint64_t seen = ended.version(); running > 0; seen = ended.version())
          ended.wait_past(ctx, seen, "clients");
        EXPECT_EQ(allowed, 500);
      },
      4);
}

TEST_F(RedisTest, ProcessesShareOneLimitAndOvershootNoMoreThanTheyHoldLeased) {
  System system(4);
  system.run([&](const Context& ctx) {
    // 2,000 a second and a burst of 200: a process takes 20 at a time.
    const std::vector<RatePolicy> policies{
        {.name = "p", .rate = {.requests = 2000, .window = 1s, .burst = 200}}};
    std::vector<std::unique_ptr<Client>> clients;
    std::vector<std::unique_ptr<SharedRateLimits>> processes;
    for (int i = 0; i < 4; ++i) {
      clients.push_back(system.client(shared_server().address()));
      processes.push_back(std::make_unique<SharedRateLimits>(
          *clients.back(), policies, SharedRateOptions{.prefix = "bound:", .processes = 4, .patience = 5s},
          system.clock, system.random, system.metrics));
    }
    clients[0]->command(ctx, {"FLUSHALL"});
    EXPECT_EQ(processes[0]->leased(0), 20U);
    std::atomic<int> allowed{0};
    std::atomic<int> asked{0};
    std::atomic<int> running{4};
    runtime::Signal ended;
    const Instant begun = system.clock.now();
    // Longer where the machine lets them ask too seldom for all that comes meanwhile.
    constexpr int kOfUse = 960;
    const auto goes_on = [&] {
      const Duration since = system.clock.now() - begun;
      return since < 700ms || (since < 10s && (allowed < kOfUse || asked <= allowed * 2));
    };
    for (std::size_t loop = 0; loop < 4; ++loop) {
      system.runtime.spawn_on(loop, "process", [&, loop] {
        while (goes_on()) {
          for (int i = 0; i < 50; ++i) {
            allowed += processes[loop]->try_acquire(ctx, 0, "ada").allowed ? 1 : 0;
            ++asked;
          }
          runtime::sleep_for(ctx, 1ms);
        }
        --running;
        ended.notify();
      });
    }
    for (std::uint64_t seen = ended.version(); running > 0; seen = ended.version())
      ended.wait_past(ctx, seen, "processes");
    const double seconds = std::chrono::duration<double>(system.clock.now() - begun).count();
    EXPECT_LE(allowed, static_cast<int>(200 + 2000 * seconds + 4 * 20) + 1);
    EXPECT_GE(allowed, kOfUse) << "and makes use of what there is";
    EXPECT_GT(asked, allowed * 2) << "they asked for more than there is, or this shows nothing";
    const auto counted = [&](const char* outcome) {
      return system.metrics
          .counter("holdfast_rate_limit_shared_total",
                   "Decisions about shared limits: from tokens and refusals that are here, after "
                   "asking Redis, by this process' share because Redis was away.",
                   {{"outcome", outcome}})
          .value();
    };
    EXPECT_EQ(counted("fallback"), 0U);
    EXPECT_GT(counted("local"), 4 * counted("asked")) << "most of it is decided here";
  });
}

TEST_F(RedisTest, WithoutRedisEachProcessAppliesItsShare) {
  RedisServer server;
  System system;
  system.run([&](const Context& ctx) {
    const auto client = system.client(server.address());
    SharedRateLimits limits(*client, {{.name = "p", .rate = {.requests = 1, .window = 1h, .burst = 40}}},
                            {.processes = 4, .patience = 5s}, system.clock, system.random, system.metrics);
    EXPECT_TRUE(limits.try_acquire(ctx, 0, "ada").allowed);
    server.kill();
    int allowed = 0;
    const Instant begun = system.clock.now();
    for (int i = 0; i < 500; ++i) allowed += limits.try_acquire(ctx, 0, "eve").allowed ? 1 : 0;
    EXPECT_EQ(allowed, 10) << "a quarter of the burst";
    EXPECT_LT(system.clock.now() - begun, 20s) << "no timeouts";
    server.start();
    System::eventually(ctx, "they share again",
                       [&] { return limits.try_acquire(ctx, 0, "eve", 0).remaining == 40; });
  });
}

TEST_F(RedisTest, ARedisThatHangsCostsOnePatienceAndNotOneEach) {
  RedisServer server;
  System system(1);
  system.run([&](const Context& ctx) {
    ClientOptions options = System::options(server.address());
    options.connection.answer_timeout = 200ms;
    options.connection.connect_timeout = 200ms;
    const auto client = system.client(options);
    SharedRateLimits limits(*client, {{.name = "p", .rate = {.requests = 1, .window = 1h, .burst = 4000}}},
                            {.processes = 4, .patience = 100ms}, system.clock, system.random, system.metrics);
    EXPECT_TRUE(limits.try_acquire(ctx, 0, "ada", 4).allowed);
    server.stop();
    const Instant begun = system.clock.now();
    int allowed = 0;
    for (int i = 0; i < 500; ++i)
      allowed += limits.try_acquire(ctx, 0, "eve " + std::to_string(i)).allowed ? 1 : 0;
    EXPECT_EQ(allowed, 500);
    EXPECT_LT(system.clock.now() - begun, 20s) << "of 50 that one patience each would take";
    server.resume();
  });
}

TEST_F(RedisTest, SharedLimitsAreTokenBuckets) {
  System system;
  system.run([&](const Context&) {
    const auto client = system.client(shared_server().address());
    EXPECT_THROW(
        SharedRateLimits(*client, {{.name = "p", .algorithm = resilience::RateAlgorithm::fixed_window}}, {},
                         system.clock, system.random, system.metrics),
        Error);
  });
}

}  // namespace
}  // namespace holdfast::redis
