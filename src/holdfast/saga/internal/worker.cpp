#include "holdfast/saga/internal/worker.hpp"

#include <algorithm>
#include <utility>

#include "holdfast/base/fault.hpp"
#include "holdfast/base/invariant.hpp"
#include "holdfast/base/reflect.hpp"

namespace holdfast::saga::internal {
namespace {

constexpr Duration kForgottenAfter = std::chrono::hours(1);
constexpr Duration kLeaveTimeout = std::chrono::seconds(2);
constexpr Duration kShortestPause = std::chrono::milliseconds(5);  // between two looks for what is due
constexpr int kLooksABeat = 20;  // other processes' commits make us look at leases at most so often
constexpr int kBeatsACount = 5;
constexpr std::size_t kPage = 256;
constexpr std::size_t kLoadsAtOnce = 64;
constexpr std::size_t kRooms = 4;  // new sagas kept in memory, in multiples of those that run at a time

std::int64_t share_of(std::int64_t workers) noexcept {
  workers = std::max<std::int64_t>(1, workers);
  return (kBuckets + workers - 1) / workers;
}

WallTime after(WallTime now, Duration by) { return now + std::chrono::ceil<std::chrono::microseconds>(by); }

/// Waits a little, or until `ctx` is cancelled.
void pause(const Context& ctx, Duration by) noexcept {
  if (by > Duration(0)) runtime::park(ctx.with_timeout(by), "pausing between two looks for sagas");
}

void publish_definitions(sql::Transaction& tx, const Desk& desk) {
  for (const auto& [name, known] : desk.plans) {
    std::vector<std::string> steps;
    for (const detail::PlannedStep& step : known.plan->steps) steps.push_back(step.name);
    tx.execute(
        "insert into saga_definitions(name, version, steps) values($1, $2, $3) "
        "on conflict(name, version) do update set steps = excluded.steps",
        name.first, name.second, to_json(steps));
  }
}

}  // namespace

Worker::Worker(Desk& desk) : desk_(desk) {
  const std::size_t loops = desk.runtime.loop_count();
  const std::size_t share = (desk.options.concurrency + loops - 1) / loops;
  for (std::size_t i = 0; i < desk.runtime.loop_count(); ++i)
    shards_.push_back(std::make_unique<Shard>(desk, share));
}

void Worker::run(const Context& ctx) {
  std::vector<std::string> plans;
  for (const auto& [name, known] : desk_.plans)
    plans.push_back(name.first + ":" + std::to_string(name.second));
  due_sql_ = due_statement(plans);
  const Instant now = desk_.clock().now();
  desk_.database.transact(ctx, "join the workers of sagas", [&](sql::Transaction& tx) {
    make_buckets(tx);
    heartbeat(tx, desk_.name, after(desk_.wall_now(), desk_.options.lease));
    forget_dead(tx, desk_.name,
                desk_.wall_now() - std::chrono::ceil<std::chrono::microseconds>(kForgottenAfter));
    publish_definitions(tx, desk_);
  });
  desk_.lease_until = now + desk_.options.lease;
  next_beat_ = now + desk_.options.heartbeat;
  row_watch_ = desk_.database.watch_external_changes(desk_.look);
  lease_watch_ = desk_.database.watch_external_changes(desk_.membership);
  running_ = true;
  shards_running_ = shards_.size();
  for (std::size_t i = 0; i < shards_.size(); ++i) {
    desk_.runtime.spawn_on(i, "saga shard", [this, i] {
      shards_[i]->run();
      if (shards_running_.fetch_sub(1) != 1) return;
      desk_.membership.notify();
      drained_.open();  // the last touch: from here on the desk may be gone
    });
  }
  desk_.runtime.spawn_on(desk_.options.loop, "saga worker", [this] { root(); });
  started_.wait(ctx.detached(), "starting the worker of sagas");
}

void Worker::root() {
  try {
    const Context ctx = desk_.runtime.context().with_cancellation(desk_.cancellation.token());
    runtime::FiberGroup fibers(ctx);
    tick(ctx);
    desk_.running = !desk_.stopping;
    fibers.spawn("saga leases", [this](const Context& inner) { keep_leases(inner); });
    fibers.spawn("saga poll", [this](const Context& inner) { poll(inner); });
    fibers.spawn("saga waker", [this](const Context& inner) { look_at_woken(inner); });
    fibers.spawn("saga sweeper", [this](const Context& inner) { sweep_now_and_then(inner); });
    started_.open();
    fibers.wait();
  } catch (const std::exception& error) {
    desk_.logger.error("the worker of sagas ended with an error",
                       {{"worker", desk_.name}, {"error", error.what()}});
    desk_.stopping = true;
    for (const auto& shard : shards_) shard->wake();
  }
  desk_.running = false;
  const Context ctx = desk_.runtime.context();
  drained_.wait(ctx, "waiting for the last acts of sagas");
  try {
    if (!desk_.abandoned) {
      desk_.database.transact(ctx.with_timeout(kLeaveTimeout), "release leases of sagas",
                              [&](sql::Transaction& tx) { leave(tx, desk_.name, desk_.roster.in_order()); });
    }
  } catch (const std::exception& error) {
    desk_.logger.warn("leases of sagas could not be released; they expire by themselves",
                      {{"worker", desk_.name}, {"error", error.what()}});
  }
  desk_.roster.lose_all();
  started_.open();
  ended_.open();
}

void Worker::stop(const Context& ctx) {
  if (!running_) return;
  desk_.running = false;
  desk_.stopping = true;
  desk_.wake_all();
  for (const auto& shard : shards_) shard->wake();
  try {
    wait_until_ended(ctx);
  } catch (const Error&) {
    desk_.cancellation.cancel();
    wait_until_ended(ctx.detached());
  }
}

void Worker::crash() noexcept {
  if (!running_) return;
  require_invariant(runtime::on_fiber(), "a running Sagas is dropped on a fiber, or stopped before");
  desk_.die();
  for (const auto& shard : shards_) shard->wake();
  wait_until_ended(desk_.runtime.context());
}

void Worker::wait_until_ended(const Context& ctx) {
  ended_.wait(ctx, "waiting for acts of sagas");
  row_watch_ = {};
  lease_watch_ = {};
  running_ = false;
}

void Worker::offer(const std::shared_ptr<Instance>& saga, std::size_t shard) {
  // Cheaper to keep for a while than to read back; those that don't fit are found by the poll.
  const auto entered = desk_.roster.enter(saga->id, saga->bucket, kRooms * desk_.options.concurrency);
  if (entered.place) give(saga, *entered.place, shard);
}

void Worker::give(const std::shared_ptr<Instance>& saga, const Roster::Place& place, std::size_t shard) {
  saga->fence = place.fence;
  const bool died = saga->updated_at <= place.crashed_at;
  saga->suspect = saga->at.starts > 0 || died;
  saga->announced = saga->at.starts > 0 && !died;
  shards_[shard]->push({.saga = saga, .cancellation = place.cancellation});
}

// ---- leases

void Worker::keep_leases(const Context& ctx) {
  for (;;) {
    const std::uint64_t seen = desk_.membership.version();
    if (shards_running_ == 0 || ctx.cancelled()) return;
    if (!desk_.stalled) tick(ctx);
    const Instant looked = desk_.clock().now();
    Duration wait = desk_.options.heartbeat;
    if (!desk_.stalled) wait = std::min(wait, next_beat_ - looked);
    if (next_expiry_) wait = std::min<Duration>(wait, *next_expiry_ - desk_.wall_now());
    wait = std::max<Duration>(wait, std::chrono::milliseconds(1));
    const auto woken =
        desk_.membership.wait_past(ctx.with_timeout(wait), seen, "waiting for the next heartbeat");
    if (woken != runtime::Woken::by_event || desk_.stopping) continue;
    pause(ctx, looked + desk_.options.heartbeat / kLooksABeat - desk_.clock().now());
  }
}

void Worker::tick(const Context& ctx) {
  try {
    if (desk_.clock().now() >= next_beat_) beat(ctx);
    if (!desk_.stopping) {
      release(ctx);
      balance(ctx);
      if (desk_.clock().now() >= next_count_) count(ctx);
    }
  } catch (const Error& error) {
    if (ctx.cancelled()) return;
    desk_.logger.warn(ctx, "the heartbeat of sagas failed; it is tried again",
                      {{"worker", desk_.name}, {"error", error.what()}});
    next_beat_ = desk_.clock().now() + desk_.options.heartbeat / 4;
  }
  if (!desk_.leased()) desk_.roster.lose_all();
}

void Worker::beat(const Context& ctx) {
  const Instant now = desk_.clock().now();
  const auto mine = desk_.database.transact(
      ctx.with_timeout(desk_.options.heartbeat), "heartbeat of sagas", [&](sql::Transaction& tx) {
        const WallTime wall = desk_.wall_now();
        heartbeat(tx, desk_.name, after(wall, desk_.options.lease));
        forget_dead(tx, desk_.name, wall - std::chrono::ceil<std::chrono::microseconds>(kForgottenAfter));
        std::vector<Lease> owned = held(tx, desk_.name);
        // What we lost hold of while the database could not be reached is ours by its row only.
        for (const Lease& lease : owned) {
          if (!desk_.roster.has(lease)) release_as_crashed(tx, lease, wall);
        }
        return owned;
      });
  HOLDFAST_FAULT("saga.after_heartbeat");
  desk_.roster.keep_only(mine);
  const bool had_run_out = !desk_.leased();
  desk_.lease_until = now + desk_.options.lease;
  next_beat_ = now + desk_.options.heartbeat;
  if (had_run_out) desk_.look.notify();  // what was left standing meanwhile
}

void Worker::release(const Context& ctx) {
  const std::vector<Roster::Released> released = desk_.roster.take_released();
  if (released.empty()) return;
  desk_.database.transact(
      ctx.with_timeout(desk_.options.lease), "release leases of sagas", [&](sql::Transaction& tx) {
        for (const auto& [lease, in_order] : released)
          in_order ? internal::release(tx, lease) : release_as_crashed(tx, lease, desk_.wall_now());
      });
}

void Worker::balance(const Context& ctx) {
  const Shares now = desk_.database.read(
      ctx, [&](sql::Snapshot& snapshot) { return shares(snapshot, desk_.name, desk_.wall_now()); });
  next_expiry_ = now.next_expiry;
  const std::int64_t share = share_of(now.live_workers);
  const std::int64_t have = desk_.roster.held_count();
  if (have > share) {
    desk_.roster.give_up(have - share);
    release(ctx);
    return;
  }
  if (have == share || now.free_buckets == 0) return;
  const auto taken = desk_.database.transact(
      ctx.with_timeout(desk_.options.lease), "take leases of sagas",
      [&](sql::Transaction& tx) { return take(tx, desk_.name, share - have, desk_.wall_now()); });
  for (const Lease& lease : taken) desk_.roster.give(lease);
  if (taken.empty()) return;
  desk_.logger.info(ctx, "took leases of sagas", {{"taken", taken.size()}, {"worker", desk_.name}});
  desk_.look.notify();
}

void Worker::count(const Context& ctx) {
  desk_.set_census(desk_.database.read(
      ctx, {.offload = true}, [&](sql::Snapshot& snapshot) { return census(snapshot, desk_.finder()); }));
  next_count_ = desk_.clock().now() + desk_.options.heartbeat * kBeatsACount;
}

// ---- what is due

void Worker::poll(const Context& ctx) {
  for (;;) {
    const std::uint64_t seen = desk_.look.version();  // before stopping is read: its notify is not missed
    if (desk_.stopping || ctx.cancelled()) return;
    const Instant looked = desk_.clock().now();
    Duration wait = desk_.options.poll;
    if (!desk_.stalled && desk_.leased()) {
      try {
        if (look_once(ctx)) continue;
        wait = std::chrono::microseconds(desk_.next_look.load()) - desk_.wall_now().time_since_epoch();
      } catch (const Error& error) {
        if (ctx.cancelled()) return;
        desk_.logger.warn(ctx, "due sagas could not be looked for; it is tried again",
                          {{"error", error.what()}});
      }
    }
    if (wait > Duration(0))
      desk_.look.wait_past(ctx.with_timeout(wait), seen, "waiting for sagas that are due");
    pause(ctx, looked + kShortestPause - desk_.clock().now());
  }
}

/// True where there is more to take up at once.
bool Worker::look_once(const Context& ctx) {
  static_cast<void>(desk_.roster.take_backlog());
  const std::size_t inside = desk_.roster.inside();
  if (inside >= desk_.options.concurrency) {
    desk_.roster.note_backlog();
    desk_.next_look = after(desk_.wall_now(), desk_.options.poll).time_since_epoch().count();
    return false;
  }
  const WallTime now = desk_.wall_now();
  // Those in memory are mostly due too, and older: they come before what is new.
  const std::size_t most = inside + kPage;
  std::vector<std::tuple<std::string, int>> found;
  std::optional<WallTime> next;
  desk_.database.read(ctx, [&](sql::Snapshot& snapshot) {
    found = due(snapshot, due_sql_, desk_.roster.serving(), now, most);
    next =
        snapshot.query_value<std::optional<WallTime>>("select min(due_at) from sagas where due_at > $1", now);
  });
  const WallTime latest = after(now, desk_.options.poll);
  desk_.next_look = (next ? std::min(*next, latest) : latest).time_since_epoch().count();
  std::vector<Named> fresh;
  for (auto& [id, bucket] : found) {
    if (!desk_.roster.has_inside(id)) fresh.push_back({std::move(id), bucket});
  }
  take_up(ctx, fresh);
  return found.size() == most && !fresh.empty();
}

void Worker::look_at_woken(const Context& ctx) {
  for (;;) {
    const std::uint64_t seen = desk_.woken.version();
    if (desk_.stopping || ctx.cancelled()) return;
    if (!desk_.stalled && desk_.leased()) {
      try {
        take_up(ctx, desk_.roster.take_woken());
      } catch (const Error& error) {
        if (ctx.cancelled()) return;
        desk_.logger.warn(ctx, "woken sagas could not be loaded; the poll finds them",
                          {{"error", error.what()}});
      }
    }
    desk_.woken.wait_past(ctx, seen, "waiting for sagas to be woken");
  }
}

/// Places first, rows afterwards: a row read before could be one that somebody here has moved on since.
void Worker::take_up(const Context& ctx, const std::vector<Named>& sagas) {
  const FindPlan find = desk_.finder();
  for (std::size_t begin = 0; begin < sagas.size(); begin += kLoadsAtOnce) {
    const std::size_t end = std::min(sagas.size(), begin + kLoadsAtOnce);
    std::vector<std::pair<const Named*, Roster::Place>> places;
    for (std::size_t i = begin; i < end; ++i) {
      auto entered = desk_.roster.enter(sagas[i].id, sagas[i].bucket, desk_.options.concurrency);
      if (entered.place) places.emplace_back(&sagas[i], std::move(*entered.place));
    }
    std::vector<std::shared_ptr<Instance>> loaded(places.size());
    std::vector<std::string> unreadable(places.size());
    try {
      desk_.database.read(ctx, [&](sql::Snapshot& snapshot) {
        for (std::size_t i = 0; i < places.size(); ++i) {
          try {
            if (auto saga = load(snapshot, places[i].first->id, find))
              loaded[i] = std::make_shared<Instance>(std::move(*saga));
          } catch (const sql::DatabaseError&) {
            throw;
          } catch (const Error& error) {
            unreadable[i] = error.what();
          }
        }
      });
    } catch (const Error&) {
      for (const auto& [named, place] : places) desk_.leave(named->id, named->bucket, place.fence);
      throw;
    }
    const WallTime now = desk_.wall_now();
    for (std::size_t i = 0; i < places.size(); ++i) {
      const auto& [named, place] = places[i];
      if (loaded[i] && loaded[i]->at.due(now)) {
        const std::size_t shard = next_shard();
        give(loaded[i], place, shard);
        shards_[shard]->wake();
      } else {
        if (!unreadable[i].empty())
          park_unreadable(ctx, named->id, named->bucket, place.fence, unreadable[i]);
        desk_.leave(named->id, named->bucket, place.fence);
      }
    }
    runtime::yield();
  }
}

/// It would be found, and not be readable, at each look: a person has to see to it, and the others go on.
void Worker::park_unreadable(const Context& ctx, const std::string& id, int bucket, std::int64_t fence,
                             const std::string& error) {
  try {
    const bool parked = desk_.database.transact(
        ctx.with_timeout(desk_.options.lease), "park a saga that can't be read", [&](sql::Transaction& tx) {
          return internal::park_unreadable(
              tx, id, bucket, fence, "Its row can't be read by this release: " + error, desk_.wall_now());
        });
    if (parked)
      desk_.logger.error(ctx, "a saga is parked, since its row can't be read: it needs a person",
                         {{"sagaId", id}, {"error", error}});
  } catch (const Error& failure) {
    desk_.logger.warn(ctx, "a saga whose row can't be read could not be parked; it is tried again",
                      {{"sagaId", id}, {"error", failure.what()}});
  }
}

// ---- what has ended long ago

void Worker::sweep_now_and_then(const Context& ctx) {
  while (!desk_.stopping && !ctx.cancelled()) {
    const Instant next = desk_.clock().now() + desk_.options.sweep_interval;
    while (!desk_.stopping && !ctx.cancelled() && desk_.clock().now() < next) {
      const std::uint64_t seen = desk_.membership.version();
      if (desk_.stopping) return;
      desk_.membership.wait_past(ctx.with_deadline(next), seen, "waiting to sweep old sagas");
    }
    if (desk_.stopping || ctx.cancelled() || desk_.stalled) continue;
    try {
      sweep(ctx.with_timeout(desk_.options.sweep_interval));
    } catch (const Error& error) {
      if (ctx.cancelled()) return;
      desk_.logger.warn(ctx, "old sagas could not be swept; it is tried again", {{"error", error.what()}});
    }
  }
}

std::int64_t Worker::sweep(const Context& ctx) {
  const WallTime cutoff =
      desk_.wall_now() - std::chrono::ceil<std::chrono::microseconds>(desk_.options.retention);
  std::int64_t deleted = 0;
  std::string after;
  do {
    std::string begun_after = after;
    deleted += desk_.database.transact(ctx, "sweep old sagas", [&](sql::Transaction& tx) {
      after = begun_after;
      return internal::sweep(tx, after, cutoff, desk_.options.sweep_batch);
    });
  } while (!after.empty());
  return deleted;
}

}  // namespace holdfast::saga::internal
