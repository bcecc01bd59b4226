// Roster: which buckets this process may work on, and which sagas are in its memory. What the fibers of all
// loops and the database's thread agree through.
//
// A saga is in memory from enter() to leave(); nobody else in this process runs it meanwhile. Between, a
// wake() is remembered. Thread-safety: any thread; nothing here waits or calls out.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "holdfast/runtime/cancellation.hpp"
#include "holdfast/saga/internal/leases.hpp"

namespace holdfast::saga::internal {

/// A saga, by what is needed to take it up.
struct Named {
  std::string id;
  int bucket = 0;
};

class Roster {
 public:
  /// Acts are cancelled when `all` is.
  Roster(std::size_t concurrency, runtime::CancellationToken all);

  /// A place for a saga in memory.
  struct Place {
    std::int64_t fence = 0;
    WallTime crashed_at{};
    runtime::CancellationToken cancellation;  ///< when the bucket is lost
  };
  enum class Refused : std::uint8_t { not_ours, inside, full };
  struct Entered {
    std::optional<Place> place;
    Refused why = Refused::not_ours;
  };
  /// `limit`: refused as full where so many are in memory.
  Entered enter(const std::string& id, int bucket, std::size_t limit);
  struct Left {
    bool woken = false;  ///< meanwhile: it is among take_woken() now
    bool room = false;   ///< others were refused for want of room, and there is enough again
  };
  Left leave(const std::string& id, int bucket, std::int64_t fence);

  /// Something was written for a saga: true where somebody should look at it now.
  bool wake(const std::string& id, int bucket);
  /// Those to look at, by wake(); emptied.
  std::vector<Named> take_woken();

  /// enter() refused one for want of room since this was last asked, and there is room again.
  bool take_backlog();
  void note_backlog();
  std::size_t inside() const;

  /// A bucket for a new saga: `wish`, or one of ours where that is somebody else's.
  int bucket_for(int wish) const;
  BucketMask serving() const;
  bool holds(int bucket, std::int64_t fence) const;
  /// Likewise, also one that is being given up.
  bool has(const Lease& lease) const;
  bool has_inside(const std::string& id) const;

  void give(const Lease& lease);
  /// Cancels what runs of it.
  void lose(int bucket);
  void lose_all();
  /// Loses all but those of `held` with the same fence.
  void keep_only(const std::vector<Lease>& held);
  /// Takes no more of `count` buckets; take_released() has them once they are empty.
  void give_up(std::int64_t count);
  struct Released {
    Lease lease;
    bool in_order = true;
  };
  std::vector<Released> take_released();
  /// An act of that bucket was begun here, and nothing of it could be recorded: the lease is then not handed
  /// over as one that was left in order.
  void note_open_act(int bucket, std::int64_t fence);
  /// Those of ours without such an act.
  BucketMask in_order() const;
  std::int64_t held_count() const;

 private:
  struct Bucket {
    Lease lease;
    bool giving_up = false;
    bool has_open_act = false;
    std::size_t inside = 0;
    std::unique_ptr<runtime::CancellationSource> cancellation;
  };
  void drop(std::optional<Bucket>& bucket);

  const std::size_t concurrency_;
  const runtime::CancellationToken all_;
  mutable std::mutex mutex_;
  std::array<std::optional<Bucket>, kBuckets> buckets_;
  std::unordered_map<std::string, bool> inside_;  // id → was woken
  std::vector<Named> woken_;
  bool backlog_ = false;
};

}  // namespace holdfast::saga::internal
