#include "holdfast/messaging/engine/internal/membership.hpp"

#include <algorithm>
#include <utility>

#include "holdfast/base/fault.hpp"

namespace holdfast::messaging::engine {
namespace {

constexpr Duration kForgottenAfter = std::chrono::hours(1);
constexpr int kLooksABeat = 20;  ///< other processes' commits make us look at most so often

std::int64_t share_of(std::int64_t workers) noexcept {
  workers = std::max<std::int64_t>(1, workers);
  return (kBuckets + workers - 1) / workers;
}

}  // namespace

WallTime Membership::expiry() const {
  return worker_.wall_now() + std::chrono::ceil<std::chrono::microseconds>(worker_.options.lease);
}

void Membership::join(const Context& ctx) {
  const Instant now = worker_.clock().now();
  const bool from_now = std::ranges::any_of(
      consumers_, [](const auto& consumer) { return consumer->options().start_from == StartFrom::now; });
  const std::optional<std::int64_t> end = from_now ? worker_.source.end(ctx) : std::nullopt;
  worker_.database.transact(ctx, "join subscription groups", [&](sql::Transaction& tx) {
    heartbeat(tx, worker_.name, expiry());
    release_ended(tx, worker_.name, worker_.wall_now());
    for (const auto& consumer : consumers_)
      join_group(tx, consumer->options(), worker_.name, worker_.wall_now(), end);
  });
  worker_.lease_until = now + worker_.options.lease;
  joined_ = now;
  next_beat_ = now + worker_.options.heartbeat;
}

void Membership::run(const Context& ctx) {
  while (!worker_.stopping && !ctx.cancelled()) {
    const std::uint64_t seen = worker_.membership.version();
    if (!worker_.stalled) tick(ctx);
    const Instant looked = worker_.clock().now();
    Duration wait = worker_.options.heartbeat;
    if (!worker_.stalled) wait = std::min(wait, next_beat_ - looked);
    if (next_expiry_) wait = std::min<Duration>(wait, *next_expiry_ - worker_.wall_now());
    wait = std::max<Duration>(wait, std::chrono::milliseconds(1));
    const auto woken =
        worker_.membership.wait_past(ctx.with_timeout(wait), seen, "waiting for the next heartbeat");
    if (woken != runtime::Woken::by_event || worker_.stopping) continue;
    const Duration pause = looked + worker_.options.heartbeat / kLooksABeat - worker_.clock().now();
    if (pause > Duration(0)) runtime::park(ctx.with_timeout(pause), "waiting to look at leases again");
  }
}

void Membership::tick(const Context& ctx) {
  try {
    release(ctx);
    if (worker_.clock().now() >= next_beat_) beat(ctx);
    next_expiry_.reset();
    for (const auto& consumer : consumers_) {
      balance(ctx, *consumer);
      adopt(ctx, *consumer);
      consumer->export_gauges();
    }
  } catch (const Error& error) {
    if (ctx.cancelled()) return;
    worker_.logger.warn(ctx, "the heartbeat failed; it is tried again",
                        {{"worker", worker_.name}, {"error", error.what()}});
    next_beat_ = worker_.clock().now() + worker_.options.heartbeat / 4;
  }
  if (worker_.lapsed()) {
    for (const auto& consumer : consumers_) consumer->lose_all();
  }
}

void Membership::beat(const Context& ctx) {
  const Instant now = worker_.clock().now();
  std::vector<std::vector<Cohort>> progress;
  std::vector<BucketMask> serving;
  std::vector<Consumer::Cursor> cursors;
  for (const auto& consumer : consumers_) {
    progress.push_back(consumer->idle_progress());
    serving.push_back(consumer->buckets());
    for (Consumer::Cursor& one : consumer->cursors()) cursors.push_back(std::move(one));
  }
  const auto held = worker_.database.transact(
      ctx.with_timeout(worker_.options.heartbeat), "heartbeat", [&](sql::Transaction& tx) {
        heartbeat(tx, worker_.name, expiry());
        release_ended(tx, worker_.name, worker_.wall_now());
        forget_workers(tx,
                       worker_.wall_now() - std::chrono::ceil<std::chrono::microseconds>(kForgottenAfter));
        for (std::size_t i = 0; i < consumers_.size(); ++i) {
          const std::string& group = consumers_[i]->options().group;
          for (const Cohort& cohort : progress[i]) advance_idle(tx, group, worker_.name, cohort);
          release_orphans(tx, group, worker_.name, serving[i]);
          if (now >= joined_ + consumers_[i]->calm()) forget_crashes(tx, group, worker_.name);
        }
        for (const Consumer::Cursor& one : cursors) save_cursor(tx, one.lease, one.cursor);
        return held_leases(tx, worker_.name);
      });
  HOLDFAST_FAULT("messaging.after_heartbeat");
  worker_.lease_until = now + worker_.options.lease;
  next_beat_ = now + worker_.options.heartbeat;
  for (std::size_t i = 0; i < consumers_.size(); ++i) {
    consumers_[i]->keep_only(held);
    consumers_[i]->idle_progress_recorded(progress[i]);
  }
}

void Membership::release(const Context& ctx) {
  std::vector<Consumer::Released> released;
  for (const auto& consumer : consumers_) {
    for (const Consumer::Released& one : consumer->take_released()) released.push_back(one);
  }
  if (released.empty()) return;
  worker_.database.transact(ctx.with_timeout(worker_.options.lease), "release leases",
                            [&](sql::Transaction& tx) {
                              for (const Consumer::Released& one : released)
                                engine::release(tx, one.lease, one.handled_to);
                            });
}

void Membership::balance(const Context& ctx, Consumer& consumer) {
  const std::string& group = consumer.options().group;
  const Shares now = worker_.database.read(ctx, [&](sql::Snapshot& snapshot) {
    return shares(snapshot, group, worker_.name, worker_.wall_now());
  });
  if (now.next_expiry && (!next_expiry_ || *now.next_expiry < *next_expiry_)) next_expiry_ = now.next_expiry;
  const std::int64_t share = share_of(now.live_workers);
  const std::int64_t have = consumer.bucket_count();
  if (have > share) {
    consumer.give_up(have - share);
    release(ctx);
  } else if (have < share && now.free_buckets > 0) {
    take(ctx, consumer, share - have);
  }
}

void Membership::take(const Context& ctx, Consumer& consumer, std::int64_t most) {
  struct Taken {
    std::vector<TakenLease> leases;
    std::vector<ParkedKey> parked;
    std::vector<std::int64_t> counts;
  };
  const std::string& group = consumer.options().group;
  const BucketMask have = consumer.buckets();
  Taken taken = worker_.database.transact(
      ctx.with_timeout(worker_.options.lease), "take leases", [&](sql::Transaction& tx) {
        Taken found{.leases = take_leases(tx, group, worker_.name, most, have, worker_.wall_now()),
                    .parked = {},
                    .counts = {}};
        BucketMask mask = 0;
        for (const TakenLease& lease : found.leases) mask |= mask_of(lease.bucket);
        found.parked = parked_keys(tx, group, mask);
        found.counts = parked_counts(tx, group);
        return found;
      });
  std::vector<std::vector<ParkedKey>> parked(kBuckets);
  for (ParkedKey& key : taken.parked) parked[static_cast<std::size_t>(key.bucket)].push_back(std::move(key));
  for (const TakenLease& lease : taken.leases) {
    const auto bucket = static_cast<std::size_t>(lease.bucket);
    consumer.give(lease, std::move(parked[bucket]), taken.counts[bucket]);
  }
  if (taken.leases.empty()) return;
  worker_.logger.info(ctx, "took leases",
                      {{"group", group}, {"taken", taken.leases.size()}, {"worker", worker_.name}});
  consumer.look_again();
}

void Membership::adopt(const Context& ctx, Consumer& consumer) {
  const auto keys = worker_.database.read(
      ctx, [&](sql::Snapshot& snapshot) { return redriven_keys(snapshot, consumer.options().group); });
  if (keys.empty()) return;
  consumer.adopt(keys);
  consumer.look_again();
}

void Membership::leave(const Context& ctx) {
  release(ctx);
  for (const auto& consumer : consumers_) consumer->record_progress(ctx);
  worker_.database.transact(ctx, "release leases",
                            [&](sql::Transaction& tx) { engine::leave(tx, worker_.name); });
}

}  // namespace holdfast::messaging::engine
