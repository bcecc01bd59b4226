// What a hit costs in this process, and where the time goes.
#include <benchmark/benchmark.h>

#include "holdfast/cache/cached.hpp"
#include "holdfast/cache/memory_cache.hpp"
#include "holdfast/runtime/runtime.hpp"

namespace holdfast::cache {
namespace {

struct Tea {
  std::string name;
  std::int64_t price = 0;
};
HOLDFAST_DESCRIBE(Tea, (name, price))

constexpr std::uint64_t kKeys = 1000;

struct Shelf {
  Shelf() {
    for (std::uint64_t i = 0; i < kKeys; ++i) keys.push_back("TEA-" + std::to_string(i));
  }
  SystemClock clock;
  SeededRandom random{1};
  observe::Metrics metrics;
  MemoryCache memory{{}, clock, random, metrics};
  std::vector<std::string> keys;
};

void local_hit(benchmark::State& state) {
  Shelf shelf;
  Cached<Tea> cached(shelf.memory, {.name = "tea", .fresh_for = std::chrono::hours(1)}, shelf.clock,
                     shelf.random, shelf.metrics, [](const Context&, const std::string& key) {
                       return Tea{key, 1};
                     });
  runtime::Runtime runtime({.loops = 1}, shelf.clock, shelf.random);
  runtime.run([&](const Context& ctx) {
    for (const std::string& key : shelf.keys) cached.get(ctx, key);
    std::size_t next = 0;
    for (auto _ : state) benchmark::DoNotOptimize(cached.get(ctx, shelf.keys[next++ % kKeys]));
  });
}
BENCHMARK(local_hit);

void memory_find(benchmark::State& state) {
  static Shelf shelf;
  if (state.thread_index() == 0) {
    for (const std::string& key : shelf.keys) {
      shelf.memory.put(key, shelf.memory.claim(key),
                       {.value = {.object = std::make_shared<const Tea>(), .bytes = 30},
                        .fresh_for = std::chrono::hours(1),
                        .usable_for = std::chrono::hours(1)});
    }
  }
  std::size_t next = static_cast<std::size_t>(state.thread_index()) * 37;
  for (auto _ : state) benchmark::DoNotOptimize(shelf.memory.find(shelf.keys[next++ % kKeys]));
}
BENCHMARK(memory_find)->Threads(1)->Threads(2);

}  // namespace
}  // namespace holdfast::cache
