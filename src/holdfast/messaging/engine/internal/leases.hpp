// The leases' SQL: workers and their heartbeats, who owns which bucket, and the fence.
//
// A bucket is free when nobody owns it or its owner's heartbeat has expired. Whoever takes it raises its
// fence; whoever records something for it must show that fence. So it does not matter how late a worker
// that was thought dead comes back: what it records is refused.
// Everything here runs inside a transaction of the caller.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/messaging/source.hpp"
#include "holdfast/messaging/subscription.hpp"
#include "holdfast/sql/database.hpp"

namespace holdfast::messaging::engine {

/// A bucket's lease as its owner knows it.
struct Lease {
  std::string_view group;
  int bucket = 0;
  std::int64_t fence = 0;
};

struct TakenLease {
  int bucket = 0;
  std::int64_t fence = 0;
  std::int64_t position = 0;
  /// How many owners in a row ended, or fell silent, before anything more of it was recorded.
  std::int64_t crashes = 0;
  std::string cursor;  ///< Reader::cursor() as it was stored last
};

struct HeldLease {
  std::string group;
  int bucket = 0;
  std::int64_t fence = 0;
};

/// How the work of a group is shared at a moment.
struct Shares {
  std::int64_t live_workers = 0;
  std::int64_t free_buckets = 0;
  std::optional<WallTime> next_expiry;  ///< of another worker that owns buckets of this group
};

/// So many workers in a row ended over a bucket without progress, or while a parked message was due: is it a
/// message of it, or this one, that ends them?
inline constexpr std::int64_t kSuspectAfter = 3;

/// Thrown where a fence is too old: somebody else owns the bucket.
class FenceRefused : public Error {
 public:
  explicit FenceRefused(const Lease& lease);
};

/// Makes the group known, with a lease row a bucket, unless it is; this worker serves it from now on. `end`:
/// where StartFrom::now is, unless it is the end of the outbox.
void join_group(sql::Transaction& tx, const SubscriptionOptions& options, std::string_view worker,
                WallTime now, std::optional<std::int64_t> end);

/// Keeps `worker` alive until `expires_at`.
void heartbeat(sql::Transaction& tx, std::string_view worker, WallTime expires_at);
/// Forgets workers whose heartbeat ended before `before`.
void forget_workers(sql::Transaction& tx, WallTime before);
/// `worker` has served the group for long enough that its messages can't be what ends workers.
void forget_crashes(sql::Transaction& tx, std::string_view group, std::string_view worker);
/// Releases what the others own whose processes are known to have ended: nobody waits for their leases to
/// expire. How many there were. Their buckets, and the parked messages that were due in them, are counted as
/// possible reasons.
std::size_t release_ended(sql::Transaction& tx, std::string_view worker, WallTime now);
/// Releases what `worker` owns according to the database but does not serve: what it lost hold of while it
/// could not reach the database. `serving` are the buckets it does serve.
void release_orphans(sql::Transaction& tx, std::string_view group, std::string_view worker,
                     BucketMask serving);
std::vector<HeldLease> held_leases(sql::Transaction& tx, std::string_view worker);

Shares shares(sql::Queries& queries, std::string_view group, std::string_view worker, WallTime now);
/// Takes up to `most` free buckets that `except` does not have.
std::vector<TakenLease> take_leases(sql::Transaction& tx, std::string_view group, std::string_view worker,
                                    std::int64_t most, BucketMask except, WallTime now);

/// Records that the bucket is handled up to `position` (0: only checks). Throws FenceRefused.
void advance(sql::Transaction& tx, const Lease& lease, std::int64_t position);
/// The same; false where advance() throws.
[[nodiscard]] bool try_advance(sql::Transaction& tx, const Lease& lease, std::int64_t position);
/// The same for all `buckets` that `worker` still owns and that have nothing left to do.
void advance_idle(sql::Transaction& tx, std::string_view group, std::string_view worker,
                  const Cohort& cohort);

/// Stores where a Reader may go on. Refused silently where the fence is too old.
void save_cursor(sql::Transaction& tx, const Lease& lease, const std::string& cursor);

/// Records how far it is handled, and that nobody owns it.
void release(sql::Transaction& tx, const Lease& lease, std::int64_t position);
/// Releases all that `worker` owns and forgets it.
void leave(sql::Transaction& tx, std::string_view worker);

}  // namespace holdfast::messaging::engine
