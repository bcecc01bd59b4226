// Who runs which sagas: workers with heartbeats, a lease and a fence a bucket. As in messaging/: a bucket is
// free when nobody owns it or its owner is dead; whoever takes it raises its fence; every commit checks it.
// Everything here runs inside a transaction of the caller.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/saga/internal/store.hpp"
#include "holdfast/sql/database.hpp"

namespace holdfast::saga::internal {

inline constexpr int kBuckets = 64;

/// Sagas of a bucket that were last saved before crashed_at may have been at work when their worker died.
struct Lease {
  int bucket = 0;
  std::int64_t fence = 0;
  WallTime crashed_at{};
};

/// Makes the bucket rows, once a database.
void make_buckets(sql::Transaction& tx);

/// Keeps `worker` alive until `expires_at`. Its name ends with ".<process mark>".
void heartbeat(sql::Transaction& tx, std::string_view worker, WallTime expires_at);
/// Forgets workers that are known to have ended, or that expired before `before`.
void forget_dead(sql::Transaction& tx, std::string_view worker, WallTime before);

struct Shares {
  std::int64_t live_workers = 0;
  std::int64_t free_buckets = 0;
  std::optional<WallTime> next_expiry{};  ///< of another worker that owns buckets
};
Shares shares(sql::Queries& queries, std::string_view worker, WallTime now);

std::vector<Lease> held(sql::Queries& queries, std::string_view worker);
/// Takes up to `most` free buckets.
std::vector<Lease> take(sql::Transaction& tx, std::string_view worker, std::int64_t most, WallTime now);
/// Nobody owns it any more; no matter where the fence is another by now.
void release(sql::Transaction& tx, const Lease& lease);
/// Likewise, of one whose sagas may have been at work until `now`: for who takes it next, its worker died.
void release_as_crashed(sql::Transaction& tx, const Lease& lease, WallTime now);
/// Releases those of `in_order` and forgets the worker; of the others it died.
void leave(sql::Transaction& tx, std::string_view worker, BucketMask in_order);

}  // namespace holdfast::saga::internal
