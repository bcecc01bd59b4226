// What a database counts, as atomics that its threads add to and statistics() reads.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <utility>

#include "holdfast/sql/database.hpp"

namespace holdfast::sql {

class Counter {
 public:
  void add(std::uint64_t count = 1) noexcept { value_.fetch_add(count, std::memory_order_relaxed); }
  void set(std::uint64_t value) noexcept { value_.store(value, std::memory_order_relaxed); }
  void raise_to(std::uint64_t value) noexcept {  // one writer only
    if (value > get()) set(value);
  }
  std::uint64_t get() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

/// Why nothing can be written now; empty while it can.
class LastFailure {
 public:
  void set(std::string why) {
    const std::lock_guard lock(mutex_);
    why_ = std::move(why);
    failing_.store(!why_.empty(), std::memory_order_relaxed);
  }
  /// Costs nothing while there is none, which is every commit.
  void clear() {
    if (failing_.load(std::memory_order_relaxed)) set({});
  }
  std::string get() const {
    const std::lock_guard lock(mutex_);
    return why_;
  }

 private:
  mutable std::mutex mutex_;
  std::string why_;
  std::atomic<bool> failing_{false};
};

struct Counters {
  Counter transactions;
  Counter rolled_back;
  Counter expired_in_queue;
  Counter refused;
  Counter groups;
  Counter largest_group;
  Counter group_reruns;
  Counter failed_commits;
  Counter queue_depth;
  Counter busy_waits;
  Counter checkpoints;
  Counter wal_pages;
  Counter external_changes;
  Counter queries;
  Counter commit_nanoseconds;
  Counter longest_commit_nanoseconds;
  std::array<Counter, kFailureKinds> failures;
  LastFailure write_failure;

  Statistics snapshot() const;
};

}  // namespace holdfast::sql
