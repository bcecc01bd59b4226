#include "holdfast/cache/cached.hpp"

#include <gmock/gmock.h>

#include "holdfast/cache/memory_cache.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/runtime.hpp"

namespace holdfast::cache {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

struct Tea {
  std::string name;
  std::int64_t price = 0;
};
HOLDFAST_DESCRIBE(Tea, (name, price))

}  // namespace

namespace another_release {
struct Tea {
  std::string name;
  std::int64_t price = 0;
  bool organic = false;
};
HOLDFAST_DESCRIBE(Tea, (name, price, organic))
}  // namespace another_release

namespace {

struct CachedTest : ::testing::Test {
  void run(const std::function<void(const Context&)>& body) {
    runtime::Runtime runtime({.simulated = true, .manual_clock = &clock}, clock, random);
    runtime.run(body);
  }
  /// Takes `load_takes`; says what `price` says; fails while `broken`; has no tea called "none".
  Cached<Tea> teas(CachedOptions options = {}) {
    if (options.name.empty()) options.name = "tea";
    return Cached<Tea>(memory, options, clock, random, metrics,
                       [this](const Context& ctx, const std::string& key) { return load(ctx, key); });
  }
  std::optional<Tea> load(const Context& ctx, const std::string& key) {
    ++loads;
    const std::int64_t then = price;
    if (load_takes > Duration(0)) runtime::sleep_for(ctx, load_takes);
    if (broken) throw Error(ErrorCode::unavailable, "The tea house is closed.");
    if (key == "none") return std::nullopt;
    return Tea{key, then};
  }
  std::uint64_t asked(const char* outcome) {
    return metrics
        .counter("holdfast_cache_requests_total",
                 "What was asked of a cache: fresh hits, hits that say there is none, stale ones "
                 "served while refreshed, stale ones served for an error, misses.",
                 {{"cache", "tea"}, {"outcome", outcome}})
        .value();
  }

  ManualClock clock;
  SeededRandom random{1};
  observe::Metrics metrics;
  MemoryCache memory{{}, clock, random, metrics};
  int loads = 0;
  std::int64_t price = 300;
  Duration load_takes{0};
  bool broken = false;
};

TEST_F(CachedTest, FiveThousandMissesAreOneLoad) {
  run([&](const Context& ctx) {
    auto cached = teas();
    load_takes = 50ms;
    int right = 0;
    runtime::FiberGroup group(ctx);
    for (int i = 0; i < 5000; ++i)
      group.spawn("asker",
                  [&](const Context& own) { right += cached.get(own, "assam")->price == 300 ? 1 : 0; });
    group.wait();
    EXPECT_EQ(right, 5000);
    EXPECT_EQ(loads, 1);
  });
}

TEST_F(CachedTest, RemembersAlsoWhatIsNotThereButNotForLong) {
  run([&](const Context& ctx) {
    auto cached = teas({.absent_for = 5s});
    EXPECT_EQ(cached.get(ctx, "none"), nullptr);
    EXPECT_EQ(cached.get(ctx, "none"), nullptr);
    EXPECT_EQ(loads, 1);
    EXPECT_EQ(asked("absent_hit"), 1U);
    clock.advance(5s);
    EXPECT_EQ(cached.get(ctx, "none"), nullptr);
    EXPECT_EQ(loads, 2);
    auto forgetful = teas({.name = "other", .absent_for = 0s});
    forgetful.get(ctx, "none");
    forgetful.get(ctx, "none");
    EXPECT_EQ(loads, 4);
  });
}

TEST_F(CachedTest, StaleIsServedAtOnceWhileOneRefreshesBehind) {
  run([&](const Context& ctx) {
    auto cached = teas({.fresh_for = 10s, .stale_while_refreshed = 20s, .jitter = 0});
    cached.get(ctx, "assam");
    price = 400;
    load_takes = 100ms;
    clock.advance(11s);
    const Instant begun = clock.now();
    for (int i = 0; i < 50; ++i) {
      const auto answer = cached.ask(ctx, "assam");
      EXPECT_EQ(answer.value->price, 300);
      EXPECT_TRUE(answer.stale);
      EXPECT_EQ(answer.age, Duration(11s));
    }
    EXPECT_EQ(clock.now(), begun) << "nobody waited";
    runtime::sleep_for(ctx, 101ms);
    EXPECT_EQ(loads, 2) << "one refresh";
    EXPECT_EQ(cached.get(ctx, "assam")->price, 400);
    EXPECT_EQ(asked("stale_hit"), 50U);
  });
}

TEST_F(CachedTest, PastThatWhoComesWaitsAndAnErrorIsAnsweredWithWhatWas) {
  run([&](const Context& ctx) {
    auto cached = teas({.fresh_for = 10s, .stale_while_refreshed = 0s, .stale_if_error = 60s, .jitter = 0});
    cached.get(ctx, "assam");
    price = 400;
    clock.advance(10s);
    EXPECT_EQ(cached.get(ctx, "assam")->price, 400) << "who comes waits";
    broken = true;
    clock.advance(30s);
    const auto answer = cached.ask(ctx, "assam");
    EXPECT_EQ(answer.value->price, 400);
    EXPECT_TRUE(answer.stale);
    EXPECT_EQ(answer.age, Duration(30s));
    EXPECT_EQ(asked("stale_if_error"), 1U);
    clock.advance(40s);
    EXPECT_THROW(cached.get(ctx, "assam"), Error) << "too old to be shown";
    broken = false;
    EXPECT_EQ(cached.get(ctx, "assam")->price, 400);
  });
}

TEST_F(CachedTest, ASlowSourceIsAnErrorToWhoHasNoTime) {
  run([&](const Context& ctx) {
    auto cached = teas({.fresh_for = 10s, .stale_while_refreshed = 0s, .jitter = 0});
    cached.get(ctx, "assam");
    load_takes = 1s;
    clock.advance(12s);
    const Instant begun = clock.now();
    EXPECT_TRUE(cached.ask(ctx.with_timeout(50ms), "assam").stale);
    EXPECT_LE(clock.now() - begun, 50ms);
  });
}

TEST_F(CachedTest, AFailureIsSharedAndNotRemembered) {
  run([&](const Context& ctx) {
    auto cached = teas();
    broken = true;
    load_takes = 10ms;
    int failed = 0;
    runtime::FiberGroup group(ctx);
    for (int i = 0; i < 20; ++i) {
      group.spawn("asker", [&](const Context& own) {
        try {
          cached.get(own, "assam");
        } catch (const Error&) {
          ++failed;
        }
      });
    }
    group.wait();
    EXPECT_EQ(failed, 20);
    EXPECT_EQ(loads, 1);
    broken = false;
    EXPECT_EQ(cached.get(ctx, "assam")->price, 300);
  });
}

TEST_F(CachedTest, RefreshesEarlierTheLongerLoadingTakesAndTheNearerTheEnd) {
  run([&](const Context& ctx) {
    auto cached = teas({.fresh_for = 10s, .jitter = 0, .early = 1});
    load_takes = 1s;
    const auto early = [&](Duration age) {  // of 400 fresh entries of that age, asked once each
      const int before = loads;
      for (int i = 0; i < 400; ++i) cached.get(ctx, std::to_string(i));
      runtime::sleep_for(ctx, 1100ms);
      const int refreshed = loads - before;
      clock.advance(60s);
      for (int i = 0; i < 400; ++i) cached.invalidate(ctx, std::to_string(i));
      runtime::FiberGroup group(ctx);
      for (int i = 0; i < 400; ++i)
        group.spawn("anew", [&, i](const Context& own) { cached.get(own, std::to_string(i)); });
      group.wait();
      clock.advance(age);
      return refreshed;
    };
    early(5s);                        // makes them, and lets them grow to 5 s
    const int at_half = early(9s);    // e^-5 of 400 is 2.7
    const int at_ninety = early(0s);  // e^-1 of 400 is 147
    EXPECT_LE(at_half, 15);
    EXPECT_GT(at_ninety, 50);
    EXPECT_LT(at_ninety, 250);
  });
}

TEST_F(CachedTest, WhatWasLoadedTogetherEndsApart) {
  run([&](const Context& ctx) {
    auto cached = teas({.fresh_for = 100s, .stale_while_refreshed = 0s, .jitter = 0.5, .early = 0});
    for (int i = 0; i < 200; ++i) cached.get(ctx, std::to_string(i));
    clock.advance(75s);
    loads = 0;
    for (int i = 0; i < 200; ++i) cached.get(ctx, std::to_string(i));
    EXPECT_GT(loads, 60);
    EXPECT_LT(loads, 140);
  });
}

TEST_F(CachedTest, WhoAsksAfterAnInvalidationDoesNotShareALoadFromBeforeIt) {
  run([&](const Context& ctx) {
    auto cached = teas();
    load_takes = 100ms;
    runtime::FiberGroup group(ctx);
    group.spawn("before", [&](const Context& own) { EXPECT_EQ(cached.get(own, "assam")->price, 300); });
    runtime::sleep_for(ctx, 10ms);
    price = 400;
    cached.invalidate(ctx, "assam");
    group.spawn("after", [&](const Context& own) { EXPECT_EQ(cached.get(own, "assam")->price, 400); });
    group.wait();
    EXPECT_EQ(cached.get(ctx, "assam")->price, 400) << "and what was loaded before was not kept";
    EXPECT_EQ(loads, 2);
  });
}

TEST_F(CachedTest, WhatAnotherProcessPutBeforeTheClaimIsNotLoadedAgain) {
  /// Another process is done between our look and our claim.
  struct Overtaken final : Cache {
    explicit Overtaken(MemoryCache& real) : real(real) {}
    Found find(const Context& ctx, std::string_view key, const Decode& decode, Look look) override {
      return real.find(ctx, key, decode, look);
    }
    Claim claim(const Context& ctx, std::string_view key, Duration time) override {
      const Entry theirs{.value = {.object = std::make_shared<const Tea>(Tea{"assam", 1}), .bytes = 10},
                         .fresh_for = 60s,
                         .usable_for = 60s};
      real.put(ctx, key, real.claim(ctx, key, time), theirs);
      return real.claim(ctx, key, time);
    }
    Kept put(const Context& ctx, std::string_view key, const Claim& claim, const Entry& entry) override {
      return real.put(ctx, key, claim, entry);
    }
    void give_up(const Context&, std::string_view, const Claim&) noexcept override { ++given_up; }
    void invalidate(const Context& ctx, std::string_view key) override { real.invalidate(ctx, key); }
    MemoryCache& real;
    int given_up = 0;
  } overtaken(memory);
  run([&](const Context& ctx) {
    Cached<Tea> cached(overtaken, {.name = "tea"}, clock, random, metrics,
                       [this](const Context& own, const std::string& key) { return load(own, key); });
    EXPECT_EQ(cached.get(ctx, "assam")->price, 1);
    EXPECT_EQ(loads, 0);
    EXPECT_EQ(overtaken.given_up, 1) << "others need not wait for the claim's end";
  });
}

TEST_F(CachedTest, ALoaderOfTheCallRefreshesInItsOwnTimeWhileOthersAreServed) {
  run([&](const Context& ctx) {
    auto cached = teas({.fresh_for = 10s, .stale_while_refreshed = 20s, .jitter = 0});
    const auto of_now = [&](const Context& own) { return load(own, "assam"); };
    EXPECT_EQ(cached.get_or_load(ctx, "assam", of_now)->price, 300);
    EXPECT_EQ(cached.get_or_load(ctx, "assam", of_now)->price, 300);
    EXPECT_EQ(loads, 1);
    clock.advance(11s);
    price = 400;
    load_takes = 100ms;
    int fresh = 0;
    int old = 0;
    runtime::FiberGroup group(ctx);
    for (int i = 0; i < 10; ++i) {
      group.spawn("asker", [&](const Context& own) {
        (cached.get_or_load(own, "assam", of_now)->price == 400 ? fresh : old) += 1;
      });
    }
    group.wait();
    EXPECT_EQ(fresh, 1);
    EXPECT_EQ(old, 9);
    broken = true;
    clock.advance(11s);
    EXPECT_EQ(cached.get_or_load(ctx, "assam", of_now)->price, 400) << "a refresh that fails hurts nobody";
  });
}

TEST_F(CachedTest, AnotherReleasesShapeIsAnotherKey) {
  EXPECT_NE(shape_of<Tea>(), shape_of<another_release::Tea>());
  EXPECT_EQ(shape_of<Tea>().size(), 8U);
  run([&](const Context& ctx) {
    auto cached = teas();
    cached.get(ctx, "assam");
    Cached<another_release::Tea> next(memory, {.name = "tea"}, clock, random, metrics,
                                      [](const Context&, const std::string& key) {
                                        return another_release::Tea{key, 1, true};
                                      });
    EXPECT_TRUE(next.get(ctx, "assam")->organic);
    auto meaning = teas({.name = "tea", .version = 2});
    meaning.get(ctx, "assam");
    EXPECT_EQ(loads, 2);
  });
}

TEST_F(CachedTest, WriteThroughPutsTheNewValueThereAtOnce) {
  run([&](const Context& ctx) {
    auto cached = teas();
    load_takes = 100ms;
    runtime::FiberGroup group(ctx);
    group.spawn("before", [&](const Context& own) { cached.get(own, "assam"); });
    runtime::sleep_for(ctx, 10ms);
    cached.put(ctx, "assam", Tea{"assam", 500});
    group.wait();
    EXPECT_EQ(cached.get(ctx, "assam")->price, 500);
    EXPECT_EQ(loads, 1);
    cached.put(ctx, "assam", std::nullopt);
    EXPECT_EQ(cached.get(ctx, "assam"), nullptr);
  });
}

TEST_F(CachedTest, ItWaitsForItsRefreshesAndTellsThemToEnd) {
  run([&](const Context& ctx) {
    load_takes = 0s;
    {
      auto cached = teas({.fresh_for = 1s, .jitter = 0});
      cached.get(ctx, "assam");
      clock.advance(2s);
      load_takes = 3s;
      cached.get(ctx, "assam");
      runtime::yield();
    }
    EXPECT_EQ(loads, 2);
    EXPECT_THAT(metrics.expose(),
                HasSubstr("holdfast_cache_refreshes_total{cache=\"tea\",outcome=\"failed\"} 1"));
  });
}

TEST_F(CachedTest, RefusesWhatMakesNoSense) {
  EXPECT_THROW(teas({.name = "Tea!"}), Error);
  EXPECT_THROW(teas({.fresh_for = -1s}), Error);
  run([&](const Context& ctx) {
    auto cached = teas();
    try {
      cached.get(ctx, std::string(2000, 'x'));
      ADD_FAILURE();
    } catch (const Error& error) {
      EXPECT_EQ(error.reason(), "cache_key_too_long");
    }
  });
}

}  // namespace
}  // namespace holdfast::cache
