// Which keys are being worked on in this process, so that a duplicate waits for the first instead of
// queueing for the database behind it. Only that: what keeps an effect from happening twice is the
// record in the database. So it may forget, and does when it is full.
//
// Thread-safety: any fiber of any loop.
#pragma once

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>

#include "holdfast/idempotency/fingerprint.hpp"
#include "holdfast/runtime/sync.hpp"

namespace holdfast::idempotency {

class InFlight {
 public:
  explicit InFlight(std::size_t max_keys) : max_keys_(max_keys) {}

  /// Takes part in the work on one key while it lives.
  class Visit {
   public:
    Visit(InFlight& registry, const Scope& scope);
    ~Visit();
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;

    bool first() const noexcept { return first_; }
    /// Waits until the first is done. False where `ctx` ended before. Throws Error(cancelled).
    bool wait(const Context& ctx);

   private:
    InFlight& registry_;
    const Scope scope_;
    bool first_ = true;
    std::shared_ptr<runtime::Latch> done_;  // shared: the first may go before the last has seen it
  };

  std::size_t keys() const noexcept { return keys_.load(std::memory_order_relaxed); }

 private:
  static constexpr std::size_t kShards = 16;
  struct Shard {
    std::mutex mutex;
    std::map<Scope, std::shared_ptr<runtime::Latch>> keys;
  };
  Shard& shard(const Scope& scope) noexcept { return shards_[scope[0] % kShards]; }

  const std::size_t max_keys_;
  std::atomic<std::size_t> keys_{0};
  std::array<Shard, kShards> shards_;
};

}  // namespace holdfast::idempotency
