// Worker: this process's part in running sagas: keeps its leases, finds what is due, gives it to the shards.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "holdfast/saga/internal/desk.hpp"
#include "holdfast/saga/internal/shard.hpp"

namespace holdfast::saga::internal {

class Worker {
 public:
  explicit Worker(Desk& desk);

  void run(const Context& ctx);
  void stop(const Context& ctx);
  /// See Sagas::crash(). On a fiber.
  void crash() noexcept;

  /// A saga that was just started: gives it to `shard` if its bucket is ours and there is room. Any thread;
  /// does not wait. The shard looks when its arrived() is notified, which a group commit does once.
  void offer(const std::shared_ptr<Instance>& saga, std::size_t shard);
  std::size_t next_shard() noexcept {
    return next_shard_.fetch_add(1, std::memory_order_relaxed) % shards_.size();
  }
  runtime::Signal& arrived(std::size_t shard) noexcept { return shards_[shard]->arrived(); }

  std::int64_t sweep(const Context& ctx);

 private:
  void root();
  void keep_leases(const Context& ctx);
  void tick(const Context& ctx);
  void beat(const Context& ctx);
  void balance(const Context& ctx);
  void release(const Context& ctx);
  void count(const Context& ctx);
  void poll(const Context& ctx);
  bool look_once(const Context& ctx);
  void look_at_woken(const Context& ctx);
  void take_up(const Context& ctx, const std::vector<Named>& sagas);
  void park_unreadable(const Context& ctx, const std::string& id, int bucket, std::int64_t fence,
                       const std::string& error);
  void give(const std::shared_ptr<Instance>& saga, const Roster::Place& place, std::size_t shard);
  void sweep_now_and_then(const Context& ctx);
  void wait_until_ended(const Context& ctx);

  Desk& desk_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::atomic<std::size_t> next_shard_{0};
  std::atomic<std::size_t> shards_running_{0};
  std::string due_sql_;
  runtime::Latch started_;
  runtime::Latch drained_;  // all shards have ended
  runtime::Latch ended_;
  bool running_ = false;
  sql::ExternalWatch row_watch_;
  sql::ExternalWatch lease_watch_;
  Instant next_beat_{};
  Instant next_count_{};
  std::optional<WallTime> next_expiry_;
};

}  // namespace holdfast::saga::internal
