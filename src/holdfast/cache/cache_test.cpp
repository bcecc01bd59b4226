#include "holdfast/cache/cache.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "holdfast/cache/testing/cache_contract.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/sync.hpp"

namespace holdfast::cache {
namespace {

using namespace std::chrono_literals;
using redis::testing::RedisServer;
using redis::testing::shared_server;
using redis::testing::System;
using testing::Kind;
using testing::make_process;
using testing::Number;
using testing::Process;

const Decode kText = [](std::string_view encoded) { return std::make_shared<const std::string>(encoded); };

Entry text_entry(const std::string& text, Duration fresh = 10s, Duration usable = 20s) {
  auto shared = std::make_shared<const std::string>(text);
  return {.value = {.object = shared, .encoded = shared, .bytes = text.size()},
          .fresh_for = fresh,
          .usable_for = usable,
          .load_took = 5ms};
}

std::string text_of(const Found& found) {
  if (!found.entry) return "(nothing)";
  if (!found.entry->value.object) return "(absent)";
  return *static_cast<const std::string*>(found.entry->value.object.get());
}

class CacheContract : public ::testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    if (GetParam() != Kind::memory && RedisServer::unwanted()) GTEST_SKIP() << "HOLDFAST_EMBEDDED_ONLY=1";
  }
  static redis::ClientOptions options() {
    return System::options(GetParam() == Kind::memory ? redis::Address() : shared_server().address());
  }
  /// A system with one process' cache, empty.
  void run(const std::function<void(const Context&, System&, Process&)>& body, std::size_t loops = 2) {
    System system(loops);
    system.run([&](const Context& ctx) {
      if (GetParam() != Kind::memory) system.client(options())->command(ctx, {"FLUSHALL"});
      const auto process = make_process(GetParam(), system, options());
      System::eventually(ctx, "it hears invalidations", [&] { return process->settled(); });
      body(ctx, system, *process);
    });
  }
};

std::string name_of(const ::testing::TestParamInfo<Kind>& info) {
  return info.param == Kind::memory ? "memory" : info.param == Kind::redis ? "redis" : "tiered";
}

INSTANTIATE_TEST_SUITE_P(Adapters, CacheContract, ::testing::Values(Kind::memory, Kind::redis, Kind::tiered),
                         name_of);

TEST_P(CacheContract, KeepsWhatIsPutUnderAClaim) {
  run([](const Context& ctx, System&, Process& process) {
    Cache& cache = process.cache();
    EXPECT_EQ(text_of(cache.find(ctx, "k", kText)), "(nothing)");
    EXPECT_EQ(cache.put(ctx, "k", cache.claim(ctx, "k", 5s), text_entry("hello")), Kept::kept);
    for (const Look look : {Look::nearest, Look::shared}) {
      const Found found = cache.find(ctx, "k", kText, look);
      EXPECT_EQ(text_of(found), "hello");
      ASSERT_TRUE(found.entry);
      EXPECT_LE(found.entry->fresh_for, 10s);
      EXPECT_GT(found.entry->fresh_for, 5s);
      EXPECT_GT(found.entry->usable_for, 15s);
      EXPECT_LT(found.entry->age, 5s);
      EXPECT_EQ(found.entry->load_took, 5ms);
    }
    EXPECT_EQ(text_of(cache.find(ctx, "other", kText)), "(nothing)");
    EXPECT_EQ(cache.put(ctx, "k", cache.claim(ctx, "k", 5s), text_entry("world")), Kept::kept);
    EXPECT_EQ(text_of(cache.find(ctx, "k", kText)), "world");
  });
}

TEST_P(CacheContract, KnowsWhatIsNotThere) {
  run([](const Context& ctx, System&, Process& process) {
    Cache& cache = process.cache();
    EXPECT_EQ(cache.put(ctx, "k", cache.claim(ctx, "k", 5s), {.fresh_for = 5s, .usable_for = 5s}),
              Kept::kept);
    EXPECT_EQ(text_of(cache.find(ctx, "k", kText)), "(absent)");
    EXPECT_EQ(text_of(cache.find(ctx, "k", kText, Look::shared)), "(absent)");
  });
}

TEST_P(CacheContract, ForgetsAtTheEndOfItsTime) {
  run([](const Context& ctx, System&, Process& process) {
    Cache& cache = process.cache();
    EXPECT_EQ(cache.put(ctx, "k", cache.claim(ctx, "k", 5s), text_entry("short", 20ms, 40ms)), Kept::kept);
    System::eventually(ctx, "it is gone", [&] { return !cache.find(ctx, "k", kText).entry; });
  });
}

TEST_P(CacheContract, WhatIsInvalidatedWhileItIsLoadedIsNotKept) {
  run([](const Context& ctx, System&, Process& process) {
    Cache& cache = process.cache();
    const Claim claim = cache.claim(ctx, "k", 5s);
    EXPECT_EQ(claim.state, Claim::State::granted);
    cache.invalidate(ctx, "k");
    EXPECT_EQ(cache.put(ctx, "k", claim, text_entry("old")), Kept::refused);
    EXPECT_EQ(text_of(cache.find(ctx, "k", kText)), "(nothing)");
    EXPECT_EQ(cache.put(ctx, "k", cache.claim(ctx, "k", 5s), text_entry("new")), Kept::kept);
    cache.invalidate(ctx, "k");
    EXPECT_EQ(text_of(cache.find(ctx, "k", kText)), "(nothing)");
    EXPECT_EQ(text_of(cache.find(ctx, "k", kText, Look::shared)), "(nothing)");
  });
}

/// Of adapters that several processes share.
class CacheBetweenProcesses : public CacheContract {};
INSTANTIATE_TEST_SUITE_P(Adapters, CacheBetweenProcesses, ::testing::Values(Kind::redis, Kind::tiered),
                         name_of);

TEST_P(CacheBetweenProcesses, AClaimIsHeldByOne) {
  run([](const Context& ctx, System& system, Process& process) {
    const auto other = make_process(GetParam(), system, options());
    Cache& a = process.cache();
    Cache& b = other->cache();
    const Claim mine = a.claim(ctx, "k", 5s);
    EXPECT_EQ(mine.state, Claim::State::granted);
    const Claim theirs = b.claim(ctx, "k", 5s);
    EXPECT_EQ(theirs.state, Claim::State::taken);
    b.give_up(ctx, "k", theirs);
    EXPECT_EQ(b.claim(ctx, "k", 5s).state, Claim::State::taken) << "only who has it gives it up";
    a.give_up(ctx, "k", mine);
    const Claim short_one = b.claim(ctx, "k", 30ms);
    EXPECT_EQ(short_one.state, Claim::State::granted);
    Claim late;
    System::eventually(ctx, "it ends by itself", [&] {
      late = a.claim(ctx, "k", 5s);
      return late.state == Claim::State::granted;
    });
    EXPECT_EQ(b.put(ctx, "k", short_one, text_entry("too late")), Kept::refused);
    EXPECT_EQ(a.put(ctx, "k", late, text_entry("in time")), Kept::kept);
    EXPECT_EQ(text_of(b.find(ctx, "k", kText)), "in time");
  });
}

TEST_P(CacheBetweenProcesses, WhatAnotherInvalidatesIsGone) {
  run([](const Context& ctx, System& system, Process& process) {
    const auto other = make_process(GetParam(), system, options());
    System::eventually(ctx, "it hears", [&] { return other->settled(); });
    Cache& a = process.cache();
    Cache& b = other->cache();
    a.put(ctx, "k", a.claim(ctx, "k", 5s), text_entry("v"));
    EXPECT_EQ(text_of(b.find(ctx, "k", kText)), "v");
    EXPECT_EQ(text_of(b.find(ctx, "k", kText)), "v");
    a.invalidate(ctx, "k");
    System::eventually(ctx, "b has heard", [&] { return !b.find(ctx, "k", kText).entry; });
  });
}

TEST_P(CacheContract, ManyProcessesThatMissTogetherLoadOnce) {
  run([](const Context& ctx, System& system, Process& process) {
    const std::size_t processes = GetParam() == Kind::memory ? 1 : 3;
    std::vector<std::unique_ptr<Process>> others;
    std::vector<std::unique_ptr<Cached<Number>>> cached;
    std::atomic<int> loads{0};
    std::atomic<int> right{0};
    const auto loader = [&](const Context& own, const std::string&) -> std::optional<Number> {
      ++loads;
      runtime::sleep_for(own, 100ms);
      return Number{7};
    };
    CachedOptions given{.name = "number", .claim_wait = 10s};
    for (std::size_t i = 0; i < processes; ++i) {
      if (i > 0) others.push_back(make_process(GetParam(), system, options()));
      cached.push_back(std::make_unique<Cached<Number>>(i == 0 ? process.cache() : others.back()->cache(),
                                                        given, system.clock, system.random, system.metrics,
                                                        loader));
    }
    runtime::FiberGroup group(ctx);
    for (std::size_t i = 0; i < 900; ++i) {
      group.spawn("asker", [&, i](const Context& own) {
        right += cached[i % processes]->get(own, "k")->value == 7 ? 1 : 0;
      });
    }
    group.wait();
    EXPECT_EQ(right, 900);
    EXPECT_EQ(loads, 1);
    cached.clear();
  });
}

/// The promise that matters: once invalidate() has returned, nobody here is shown what was before.
TEST_P(CacheContract, NobodyIsShownWhatWasInvalidatedBeforeTheyAsked) {
  run(
      [](const Context& ctx, System& system, Process& process) {
        std::atomic<std::int64_t> source{0};     // what is true
        std::atomic<std::int64_t> published{0};  // what everybody must have heard of
        std::atomic<int> too_old{0};
        std::atomic<int> asked{0};
        std::atomic<int> running{4};
        runtime::Signal ended;
        Cached<Number> cached(process.cache(), {.name = "number", .fresh_for = 60s}, system.clock,
                              system.random, system.metrics,
                              [&](const Context& own, const std::string&) -> std::optional<Number> {
                                const std::int64_t seen = source.load();
                                if (seen % 3 == 0)
                                  runtime::sleep_for(own, 1ms);  // long enough to be overtaken
                                return Number{seen};
                              });
        for (std::size_t loop = 0; loop < 4; ++loop) {
          system.runtime.spawn_on(loop, "reader or writer", [&, loop] {
            runtime::FiberGroup group(ctx);
            for (int fiber = 0; fiber < (loop == 0 ? 1 : 4); ++fiber) {
              group.spawn("one", [&, loop](const Context& own) {
                for (int i = 0; i < (loop == 0 ? 150 : 400); ++i) {
                  if (loop == 0) {
                    const std::int64_t value = ++source;
                    cached.invalidate(own, "k");
                    published = value;
                    runtime::sleep_for(own, Duration(500us));
                  } else {
                    const std::int64_t before = published.load();
                    too_old += cached.get(own, "k")->value < before ? 1 : 0;
                    ++asked;
                    if (i % 16 == 0) runtime::sleep_for(own, Duration(300us));
                  }
                }
              });
            }
            group.wait();
            --running;
            ended.notify();
          });
        }
        for (std::uint64_t seen = ended.version(); running > 0; seen = ended.version())
          ended.wait_past(ctx, seen, "readers and writers");
        EXPECT_EQ(too_old, 0);
        EXPECT_EQ(asked, 3 * 4 * 400);
      },
      4);
}

class CacheOutage : public CacheContract {};
INSTANTIATE_TEST_SUITE_P(Adapters, CacheOutage, ::testing::Values(Kind::redis, Kind::tiered), name_of);

TEST_P(CacheOutage, AKilledRedisCostsSpeedAndNothingElse) {
  RedisServer server;
  System system;
  system.run([&](const Context& ctx) {
    const auto process = make_process(GetParam(), system, System::options(server.address()), 100ms);
    System::eventually(ctx, "it hears", [&] { return process->settled(); });
    std::atomic<std::int64_t> source{1};
    std::atomic<int> loads{0};
    Cached<Number> cached(process->cache(), {.name = "number"}, system.clock, system.random, system.metrics,
                          [&](const Context&, const std::string&) -> std::optional<Number> {
                            ++loads;
                            return Number{source.load()};
                          });
    EXPECT_EQ(cached.get(ctx, "k")->value, 1);
    EXPECT_EQ(cached.get(ctx, "k")->value, 1);
    EXPECT_EQ(loads, 1);
    server.kill();
    source = 2;
    EXPECT_THROW(cached.invalidate(ctx, "k"), Error) << "others could not be told";
    EXPECT_EQ(cached.get(ctx, "k")->value, 2) << "this process knows anyway";
    source = 3;  // changed by another process, which could not tell us
    System::eventually(ctx, "what can't be confirmed is not believed for long",
                       [&] { return cached.get(ctx, "k")->value == 3; });
    const Instant begun = system.clock.now();
    for (int i = 0; i < 1000; ++i) ASSERT_EQ(cached.get(ctx, "k")->value, 3);
    EXPECT_LT(system.clock.now() - begun, 5s) << "no timeouts";
    server.start();
    System::eventually(ctx, "it is used again", [&] {
      if (!process->settled()) return false;
      cached.get(ctx, "again");
      const int before = loads;
      cached.get(ctx, "again");
      return loads == before;
    });
  });
}

TEST_P(CacheOutage, WhatWasMissedWhileTheConnectionWasAwayIsNotBelievedAfterwards) {
  RedisServer server;
  System system;
  system.run([&](const Context& ctx) {
    const auto process = make_process(GetParam(), system, System::options(server.address()), 60s);
    System::eventually(ctx, "it hears", [&] { return process->settled(); });
    std::atomic<std::int64_t> source{1};
    Cached<Number> cached(
        process->cache(), {.name = "number"}, system.clock, system.random, system.metrics,
        [&](const Context&, const std::string&) -> std::optional<Number> { return Number{source.load()}; });
    EXPECT_EQ(cached.get(ctx, "k")->value, 1);
    server.kill();
    if (GetParam() == Kind::tiered)
      System::eventually(ctx, "the loss is noticed", [&] { return !process->settled(); });
    source = 2;  // and its invalidation was published to nobody
    server.start();
    System::eventually(ctx, "it hears again",
                       [&] { return process->settled() && !process->cache().find(ctx, "none", kText).away; });
    EXPECT_EQ(cached.get(ctx, "k")->value, 2);
  });
}

TEST_P(CacheOutage, ARedisThatHangsIsGivenUpAndNothingOldIsShownForLong) {
  RedisServer server;
  System system;
  system.run([&](const Context& ctx) {
    redis::ClientOptions options = System::options(server.address());
    options.connection.answer_timeout = 150ms;
    options.connection.connect_timeout = 200ms;
    const auto process = make_process(GetParam(), system, options, 100ms);
    System::eventually(ctx, "it hears", [&] { return process->settled(); });
    std::atomic<std::int64_t> source{1};
    Cached<Number> cached(
        process->cache(), {.name = "number"}, system.clock, system.random, system.metrics,
        [&](const Context&, const std::string&) -> std::optional<Number> { return Number{source.load()}; });
    EXPECT_EQ(cached.get(ctx, "k")->value, 1);
    server.stop();
    source = 2;  // and another process' invalidation can't reach us
    System::eventually(ctx, "it is noticed", [&] { return cached.get(ctx, "k")->value == 2; });
    server.resume();
    // What lay in Redis from before is there again: its invalidation is owed by who made the change.
    System::eventually(ctx, "the invalidation gets through", [&] {
      try {
        cached.invalidate(ctx, "k");
        return true;
      } catch (const Error&) {
        return false;
      }
    });
    EXPECT_EQ(cached.get(ctx, "k")->value, 2);
  });
}

TEST(RedisCacheFormat, WhatIsNotUnderstoodIsNoEntry) {
  if (RedisServer::unwanted()) GTEST_SKIP() << "HOLDFAST_EMBEDDED_ONLY=1";
  System system;
  system.run([&](const Context& ctx) {
    const auto client = system.client(shared_server().address());
    client->command(ctx, {"FLUSHALL"});
    RedisCache cache(*client, system.random);
    cache.put(ctx, "k", cache.claim(ctx, "k", 5s), text_entry("v"));
    EXPECT_EQ(text_of(cache.find(ctx, "k", [](std::string_view) { return nullptr; })), "(nothing)");
    EXPECT_EQ(text_of(cache.find(ctx, "k", kText)), "v");
    client->command(ctx, {"SET", "holdfast:c:k", "someone else's", "PX", "10000"});
    EXPECT_EQ(text_of(cache.find(ctx, "k", kText)), "(nothing)");
    client->command(ctx, {"DEL", "holdfast:c:k"});
    client->command(ctx, {"LPUSH", "holdfast:c:k", "a list"});
    EXPECT_EQ(text_of(cache.find(ctx, "k", kText)), "(nothing)");
  });
}

}  // namespace
}  // namespace holdfast::cache
