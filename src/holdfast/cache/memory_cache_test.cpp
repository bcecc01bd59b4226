#include "holdfast/cache/memory_cache.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <string>

#include "holdfast/cache/internal/envelope.hpp"
#include "holdfast/runtime/runtime.hpp"

namespace holdfast::cache {
namespace {

using namespace std::chrono_literals;

struct MemoryCacheTest : ::testing::Test {
  static Entry entry(std::size_t bytes, Duration usable = 60s) {
    return {.value = {.object = std::make_shared<const std::string>("v"), .bytes = bytes},
            .fresh_for = usable,
            .usable_for = usable};
  }
  static bool put(MemoryCache& cache, const std::string& key, std::size_t bytes = 100) {
    return cache.put(key, cache.claim(key), entry(bytes)) == Kept::kept;
  }
  ManualClock clock;
  SeededRandom random{1};
  observe::Metrics metrics;
};

TEST_F(MemoryCacheTest, IsBoundedInBytesAndEntries) {
  MemoryCache by_bytes({.max_bytes = 100'000, .parts = 1}, clock, random, metrics);
  for (int i = 0; i < 2000; ++i) put(by_bytes, std::to_string(i), 300);
  EXPECT_LE(by_bytes.statistics().bytes, 100'000U);
  EXPECT_GT(by_bytes.statistics().bytes, 90'000U) << "and uses what it has";
  EXPECT_GT(by_bytes.statistics().evicted, 1500U);
  MemoryCache by_entries({.name = "e", .max_entries = 50, .parts = 1}, clock, random, metrics);
  for (int i = 0; i < 2000; ++i) put(by_entries, std::to_string(i));
  EXPECT_EQ(by_entries.statistics().entries, 50U);
  EXPECT_FALSE(put(by_bytes, "huge", 50'000)) << "nothing pushes out all else";
}

TEST_F(MemoryCacheTest, AScanDoesNotWashOutWhatIsPopular) {
  MemoryCache cache({.max_entries = 200, .parts = 1}, clock, random, metrics);
  const auto ask = [&](const std::string& key) {
    if (cache.find(key)) return true;
    put(cache, key);
    return false;
  };
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < 100; ++i) ask("popular " + std::to_string(i));
  }
  for (int i = 0; i < 20'000; ++i) ask("scanned once " + std::to_string(i));
  int left = 0;
  for (int i = 0; i < 100; ++i) left += cache.find("popular " + std::to_string(i)) ? 1 : 0;
  EXPECT_GE(left, 90) << "LRU would have kept none";
}

TEST_F(MemoryCacheTest, WhatBecomesPopularGetsIn) {
  MemoryCache cache({.max_entries = 200, .parts = 1}, clock, random, metrics);
  const auto ask = [&](const std::string& key) {
    if (cache.find(key)) return true;
    put(cache, key);
    return false;
  };
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 150; ++i) ask("yesterday's " + std::to_string(i));
  }
  int hits = 0;
  for (int round = 0; round < 60; ++round) {
    hits = 0;
    for (int i = 0; i < 150; ++i) hits += ask("today's " + std::to_string(i)) ? 1 : 0;
  }
  EXPECT_GE(hits, 140) << "old fame fades";
}

TEST_F(MemoryCacheTest, EntriesEndAtTheirOwnTime) {
  MemoryCache cache({}, clock, random, metrics);
  cache.put("short", cache.claim("short"), entry(10, 1s));
  cache.put("long", cache.claim("long"), entry(10, 10s));
  clock.advance(999ms);
  EXPECT_TRUE(cache.find("short"));
  clock.advance(1ms);
  EXPECT_FALSE(cache.find("short"));
  EXPECT_EQ(cache.find("long")->usable_for, Duration(9s));
  EXPECT_EQ(cache.find("long")->kept_for, Duration(1s));
  EXPECT_EQ(cache.statistics().entries, 1U);
}

TEST_F(MemoryCacheTest, ClearVoidsClaimsToo) {
  MemoryCache cache({}, clock, random, metrics);
  const Claim claim = cache.claim("k");
  cache.clear();
  EXPECT_EQ(cache.put("k", claim, entry(10)), Kept::refused);
  EXPECT_TRUE(put(cache, "k"));
}

TEST_F(MemoryCacheTest, ThreadsMayDoAllAtOnce) {
  SystemClock real;
  runtime::Runtime runtime({.loops = 1}, real, random);
  MemoryCache cache({.max_bytes = 60'000, .parts = 2}, real, random, metrics);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.push_back(runtime.start_thread("cache test", [&, t] {
      SeededRandom own(static_cast<std::uint64_t>(t));
      for (int i = 0; i < 20'000; ++i) {
        const std::string key = std::to_string(own.below(300));
        switch (own.below(8)) {
          case 0: cache.invalidate(key); break;
          case 1:
            if (own.below(1000) == 0) cache.clear();
            break;
          case 2:
          case 3: {
            const Claim claim = cache.claim(key);
            cache.put(key, claim,
                      {.value = {.object = std::make_shared<const std::string>(key), .bytes = own.below(900)},
                       .fresh_for = 1s,
                       .usable_for = 1s});
            break;
          }
          default:
            if (const auto found = cache.find(key))
              wrong += *static_cast<const std::string*>(found->value.object.get()) == key ? 0 : 1;
        }
      }
    }));
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_LE(cache.statistics().bytes, 60'000U);
}

TEST(CacheEnvelope, IsReadAsItWasSealed) {
  const std::string bytes =
      internal::seal({.life = 60s, .stale_for = 20s, .load_took = 1500us, .encoded = "{}"});
  const auto read = internal::unseal(bytes);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->life, Duration(60s));
  EXPECT_EQ(read->stale_for, Duration(20s));
  EXPECT_EQ(read->load_took, Duration(1500us));
  EXPECT_EQ(read->encoded, "{}");
  for (std::size_t size = 0; size < 29; ++size) EXPECT_FALSE(internal::unseal(bytes.substr(0, size))) << size;
  std::string other = bytes;
  other[3] = '2';
  EXPECT_FALSE(internal::unseal(other)) << "another version";
  other = bytes;
  other[4] = '\1';
  EXPECT_FALSE(internal::unseal(other)) << "absent, and yet with a value";
}

}  // namespace
}  // namespace holdfast::cache
