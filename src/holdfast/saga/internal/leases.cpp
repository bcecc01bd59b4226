#include "holdfast/saga/internal/leases.hpp"

#include <algorithm>
#include <tuple>

#include "holdfast/base/fault.hpp"
#include "holdfast/runtime/process_mark.hpp"

namespace holdfast::saga::internal {

void make_buckets(sql::Transaction& tx) {
  if (tx.query_value<std::int64_t>("select count(*) from saga_leases") == kBuckets) return;
  for (int bucket = 0; bucket < kBuckets; ++bucket) {
    tx.execute(
        "insert into saga_leases(bucket, owner, fence, crashed_at) values($1, null, 0, 0) "
        "on conflict(bucket) do nothing",
        bucket);
  }
}

void heartbeat(sql::Transaction& tx, std::string_view worker, WallTime expires_at) {
  tx.execute(
      "insert into saga_workers(worker, expires_at) values($1, $2) "
      "on conflict(worker) do update set expires_at = excluded.expires_at",
      worker, expires_at);
}

void forget_dead(sql::Transaction& tx, std::string_view worker, WallTime before) {
  std::vector<std::string> dead;
  tx.for_each<std::tuple<std::string, WallTime>>(
      "select worker, expires_at from saga_workers where worker <> $1",
      [&](std::tuple<std::string, WallTime>&& row) {
        auto& [name, expires_at] = row;
        const std::size_t dot = name.find('.');
        const bool ended =
            dot != std::string::npos && runtime::process_gone(std::string_view(name).substr(dot + 1));
        if (ended || expires_at < before) dead.push_back(std::move(name));
      },
      worker);
  // Their leases keep their owner: that is how the next one knows that it did not leave in order.
  for (const std::string& name : dead) tx.execute("delete from saga_workers where worker = $1", name);
}

Shares shares(sql::Queries& queries, std::string_view worker, WallTime now) {
  Shares found;
  found.live_workers =
      queries.query_value<std::int64_t>("select count(*) from saga_workers where expires_at > $1", now);
  found.free_buckets = queries.query_value<std::int64_t>(
      "select count(*) from saga_leases where owner is null or owner not in "
      "(select worker from saga_workers where expires_at > $1)",
      now);
  found.next_expiry = queries.query_value<std::optional<WallTime>>(
      "select min(w.expires_at) from saga_workers w where w.worker <> $1 and w.expires_at > $2 and exists "
      "(select 1 from saga_leases l where l.owner = w.worker)",
      worker, now);
  return found;
}

std::vector<Lease> held(sql::Queries& queries, std::string_view worker) {
  std::vector<Lease> found;
  using Row = std::tuple<int, std::int64_t, WallTime>;
  queries.for_each<Row>(
      "select bucket, fence, crashed_at from saga_leases where owner = $1",
      [&](Row&& row) {
        found.push_back({std::get<0>(row), std::get<1>(row), std::get<2>(row)});
      },
      worker);
  return found;
}

std::vector<Lease> take(sql::Transaction& tx, std::string_view worker, std::int64_t most, WallTime now) {
  std::vector<Lease> taken;
  using Row = std::tuple<int, std::int64_t, WallTime>;
  tx.for_each<Row>(
      "update saga_leases set crashed_at = case when owner is null then crashed_at else $1 end, owner = $3, "
      "fence = fence + 1 where bucket in (select bucket from saga_leases where owner is null or owner not in "
      "(select worker from saga_workers where expires_at > $1) order by bucket limit $2) "
      "returning bucket, fence, crashed_at",
      [&](Row&& row) {
        taken.push_back(
            {.bucket = std::get<0>(row), .fence = std::get<1>(row), .crashed_at = std::get<2>(row)});
      },
      now, most, worker);
  std::ranges::sort(taken, {}, &Lease::bucket);
  HOLDFAST_FAULT("saga.after_take");
  return taken;
}

void release(sql::Transaction& tx, const Lease& lease) {
  tx.execute("update saga_leases set owner = null where bucket = $1 and fence = $2", lease.bucket,
             lease.fence);
}

void release_as_crashed(sql::Transaction& tx, const Lease& lease, WallTime now) {
  tx.execute("update saga_leases set owner = null, crashed_at = $3 where bucket = $1 and fence = $2",
             lease.bucket, lease.fence, now);
}

void leave(sql::Transaction& tx, std::string_view worker, BucketMask in_order) {
  tx.execute(
      "update saga_leases set owner = null where owner = $1 and (($2 >> cast(bucket as integer)) & 1) = 1",
      worker, static_cast<std::int64_t>(in_order));
  tx.execute("delete from saga_workers where worker = $1", worker);
}

}  // namespace holdfast::saga::internal
