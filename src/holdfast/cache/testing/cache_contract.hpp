// The port's promises, asked of every adapter: a fixture for cache_test.cpp. A new adapter joins kAdapters.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "holdfast/cache/cached.hpp"
#include "holdfast/cache/tiered_cache.hpp"
#include "holdfast/redis/testing/system.hpp"

namespace holdfast::cache::testing {

struct Number {
  std::int64_t value = 0;
};
HOLDFAST_DESCRIBE(Number, (value))

/// What one process has: a second one of the same server is another process' for all that matters.
struct Process {
  virtual ~Process() = default;
  virtual Cache& cache() = 0;
  /// Whether it hears what others invalidate.
  virtual bool settled() { return true; }
};

/// Of one system's; each needs a name of its own.
inline MemoryOptions memory_options() {
  static std::atomic<int> number{0};
  return {.name = "local" + std::to_string(++number), .max_bytes = 8 << 20};
}

struct MemoryProcess final : Process {
  explicit MemoryProcess(redis::testing::System& system)
      : memory(memory_options(), system.clock, system.random, system.metrics) {}
  Cache& cache() override { return memory; }
  MemoryCache memory;
};

struct RedisProcess final : Process {
  RedisProcess(redis::testing::System& system, redis::ClientOptions options)
      : client(system.client(std::move(options))), shared(*client, system.random) {}
  Cache& cache() override { return shared; }
  std::unique_ptr<redis::Client> client;
  RedisCache shared;
};

struct TieredProcess final : Process {
  TieredProcess(redis::testing::System& system, const redis::ClientOptions& options, Duration max_blind)
      : client(system.client(options)),
        memory(memory_options(), system.clock, system.random, system.metrics),
        shared(*client, system.random),
        tiered(system.runtime, memory, shared,
               {.connection = options.connection,
                .max_blind = max_blind,
                .ping_every = std::chrono::milliseconds(20)},
               observe::Logger()) {}
  Cache& cache() override { return tiered; }
  bool settled() override { return tiered.listening(); }
  std::unique_ptr<redis::Client> client;
  MemoryCache memory;
  RedisCache shared;
  TieredCache tiered;
};

enum class Kind : std::uint8_t { memory, redis, tiered };

inline std::unique_ptr<Process> make_process(Kind kind, redis::testing::System& system,
                                             const redis::ClientOptions& options,
                                             Duration max_blind = std::chrono::seconds(2)) {
  switch (kind) {
    case Kind::memory: return std::make_unique<MemoryProcess>(system);
    case Kind::redis: return std::make_unique<RedisProcess>(system, options);
    case Kind::tiered: return std::make_unique<TieredProcess>(system, options, max_blind);
  }
  return nullptr;
}

}  // namespace holdfast::cache::testing
