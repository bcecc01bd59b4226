#include "holdfast/messaging/engine/internal/leases.hpp"

#include <tuple>

#include "holdfast/base/fault.hpp"
#include "holdfast/base/reflect.hpp"
#include "holdfast/runtime/process_mark.hpp"

namespace holdfast::messaging::engine {

FenceRefused::FenceRefused(const Lease& lease)
    : Error(Error(ErrorCode::conflict, "Bucket " + std::to_string(lease.bucket) + " of group " +
                                           std::string(lease.group) +
                                           " belongs to another worker by now; this one came too late.")
                .reason("lease_lost")) {}

void join_group(sql::Transaction& tx, const SubscriptionOptions& options, std::string_view worker,
                WallTime now, std::optional<std::int64_t> end) {
  const std::string topics = to_json(options.topics);
  tx.execute(
      "insert into outbox_groups(group_name, topics, created_at) values($1, $2, $3) "
      "on conflict(group_name) do update set topics = excluded.topics",
      options.group, topics, now);
  std::int64_t start = 0;
  if (options.start_from == StartFrom::now)
    start = end ? *end : tx.query_value<std::int64_t>("select coalesce(max(position), 0) from outbox");
  const bool known = tx.query_value<std::int64_t>("select count(*) from outbox_leases where group_name = $1",
                                                  options.group) == kBuckets;
  for (int bucket = 0; !known && bucket < kBuckets; ++bucket) {
    tx.execute(
        "insert into outbox_leases(group_name, bucket, owner, fence, position) values($1, $2, null, 0, $3) "
        "on conflict(group_name, bucket) do nothing",
        options.group, bucket, start);
  }
  tx.execute(
      "insert into outbox_members(group_name, worker) values($1, $2) "
      "on conflict(group_name, worker) do nothing",
      options.group, worker);
}

void heartbeat(sql::Transaction& tx, std::string_view worker, WallTime expires_at) {
  tx.execute(
      "insert into outbox_workers(worker, expires_at) values($1, $2) "
      "on conflict(worker) do update set expires_at = excluded.expires_at",
      worker, expires_at);
}

void forget_workers(sql::Transaction& tx, WallTime before) {
  if (tx.execute("delete from outbox_workers where expires_at < $1", before) > 0)
    tx.execute("delete from outbox_members where worker not in (select worker from outbox_workers)");
}

std::size_t release_ended(sql::Transaction& tx, std::string_view worker, WallTime now) {
  std::vector<std::string> ended;
  tx.for_each<std::string>(
      "select worker from outbox_workers where worker <> $1",
      [&](std::string&& other) {
        const std::size_t dot = other.find('.');
        if (dot != std::string::npos && runtime::process_gone(std::string_view(other).substr(dot + 1)))
          ended.push_back(std::move(other));
      },
      worker);
  for (const std::string& one : ended) {
    tx.execute(
        "update parked_messages set crashes = crashes + 1 where next_attempt_at <= $2 and exists (select 1 "
        "from outbox_leases l where l.owner = $1 and l.group_name = parked_messages.group_name "
        "and l.bucket = parked_messages.bucket)",
        one, now);
    tx.execute("update outbox_leases set crashes = crashes + 1 where owner = $1", one);
    leave(tx, one);
  }
  return ended.size();
}

void forget_crashes(sql::Transaction& tx, std::string_view group, std::string_view worker) {
  tx.execute("update outbox_leases set crashes = 0 where group_name = $1 and owner = $2 and crashes > 0",
             group, worker);
}

void release_orphans(sql::Transaction& tx, std::string_view group, std::string_view worker,
                     BucketMask serving) {
  tx.execute(
      "update outbox_leases set owner = null where group_name = $1 and owner = $2 and (($3 >> cast(bucket as "
      "integer)) & 1) = 0",
      group, worker, static_cast<std::int64_t>(serving));
}

std::vector<HeldLease> held_leases(sql::Transaction& tx, std::string_view worker) {
  std::vector<HeldLease> held;
  using Row = std::tuple<std::string, int, std::int64_t>;
  tx.for_each<Row>(
      "select group_name, bucket, fence from outbox_leases where owner = $1",
      [&](Row&& row) {
        held.push_back(
            {.group = std::move(std::get<0>(row)), .bucket = std::get<1>(row), .fence = std::get<2>(row)});
      },
      worker);
  return held;
}

Shares shares(sql::Queries& queries, std::string_view group, std::string_view worker, WallTime now) {
  Shares found;
  found.live_workers = queries.query_value<std::int64_t>(
      "select count(*) from outbox_members m join outbox_workers w on w.worker = m.worker "
      "where m.group_name = $1 and w.expires_at > $2",
      group, now);
  found.free_buckets = queries.query_value<std::int64_t>(
      "select count(*) from outbox_leases where group_name = $1 and (owner is null or owner not in "
      "(select worker from outbox_workers where expires_at > $2))",
      group, now);
  found.next_expiry = queries.query_value<std::optional<WallTime>>(
      "select min(w.expires_at) from outbox_workers w where w.worker <> $2 and w.expires_at > $3 and exists "
      "(select 1 from outbox_leases l where l.group_name = $1 and l.owner = w.worker)",
      group, worker, now);
  return found;
}

std::vector<TakenLease> take_leases(sql::Transaction& tx, std::string_view group, std::string_view worker,
                                    std::int64_t most, BucketMask except, WallTime now) {
  std::vector<TakenLease> taken;
  BucketMask mask = 0;
  BucketMask of_silent = 0;  // whose owner ended, or fell silent, without releasing them
  using Row = std::tuple<int, std::int64_t, std::int64_t, std::int64_t, int, std::string>;
  tx.for_each<Row>(
      "select bucket, fence, position, crashes, case when owner is null then 0 else 1 end, cursor from "
      "outbox_leases where group_name = $1 and (($2 >> cast(bucket as integer)) & 1) = 0 "
      "and (owner is null or owner not in (select worker from outbox_workers where expires_at > $3)) "
      "order by bucket limit $4",
      [&](Row&& row) {
        taken.push_back({.bucket = std::get<0>(row),
                         .fence = std::get<1>(row) + 1,
                         .position = std::get<2>(row),
                         .crashes = std::get<3>(row) + std::get<4>(row),
                         .cursor = std::move(std::get<5>(row))});
        mask |= mask_of(std::get<0>(row));
        if (std::get<4>(row) != 0) of_silent |= mask_of(std::get<0>(row));
      },
      group, static_cast<std::int64_t>(except), now, most);
  if (mask == 0) return taken;
  tx.execute(
      "update outbox_leases set owner = $3, fence = fence + 1, crashes = crashes + case when owner is null "
      "then "
      "0 else 1 end where group_name = $1 and (($2 >> cast(bucket as integer)) & 1) = 1",
      group, static_cast<std::int64_t>(mask), worker);
  if (of_silent != 0) {
    tx.execute(
        "update parked_messages set crashes = crashes + 1 where group_name = $1 and "
        "(($2 >> cast(bucket as integer)) & 1) = 1 and next_attempt_at <= $3",
        group, static_cast<std::int64_t>(of_silent), now);
  }
  HOLDFAST_FAULT("messaging.after_take");
  return taken;
}

bool try_advance(sql::Transaction& tx, const Lease& lease, std::int64_t position) {
  return tx.execute(
             "update outbox_leases set position = case when position < $4 then $4 else position end, "
             "crashes = case when position < $4 then 0 else crashes end "
             "where group_name = $1 and bucket = $2 and fence = $3",
             lease.group, lease.bucket, lease.fence, position) == 1;
}

void advance(sql::Transaction& tx, const Lease& lease, std::int64_t position) {
  if (!try_advance(tx, lease, position)) throw FenceRefused(lease);
}

void advance_idle(sql::Transaction& tx, std::string_view group, std::string_view worker,
                  const Cohort& cohort) {
  tx.execute(
      "update outbox_leases set position = $4 where group_name = $1 and owner = $2 and (($3 >> "
      "cast(bucket as integer)) & 1) = 1 "
      "and position < $4",
      group, worker, static_cast<std::int64_t>(cohort.buckets), cohort.read_to);
}

void save_cursor(sql::Transaction& tx, const Lease& lease, const std::string& cursor) {
  tx.execute("update outbox_leases set cursor = $4 where group_name = $1 and bucket = $2 and fence = $3",
             lease.group, lease.bucket, lease.fence, cursor);
}

void release(sql::Transaction& tx, const Lease& lease, std::int64_t position) {
  if (!try_advance(tx, lease, position)) return;  // somebody else has it already
  tx.execute("update outbox_leases set owner = null where group_name = $1 and bucket = $2 and fence = $3",
             lease.group, lease.bucket, lease.fence);
}

void leave(sql::Transaction& tx, std::string_view worker) {
  tx.execute("update outbox_leases set owner = null where owner = $1", worker);
  tx.execute("delete from outbox_members where worker = $1", worker);
  tx.execute("delete from outbox_workers where worker = $1", worker);
}

}  // namespace holdfast::messaging::engine
