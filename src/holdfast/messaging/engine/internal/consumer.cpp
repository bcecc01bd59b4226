// Reading ahead, and which buckets are here. The handling is in handling.cpp.
#include "holdfast/messaging/engine/internal/consumer.hpp"

#include <algorithm>
#include <bit>
#include <utility>

#include "holdfast/base/invariant.hpp"

namespace holdfast::messaging::engine {
namespace {

constexpr Duration kCalm = std::chrono::minutes(1);

std::optional<WallTime> earliest(const std::map<std::string, WallTime, std::less<>>& parked) {
  std::optional<WallTime> found;
  for (const auto& [key, due] : parked) {
    if (!found || due < *found) found = due;
  }
  return found;
}

}  // namespace

Consumer::Consumer(WorkerState& worker, SubscriptionOptions options, Handler handler)
    : worker_(worker),
      options_(std::move(options)),
      handler_(std::move(handler)),
      reader_(worker.source.reader(options_)),
      metrics_(worker.metrics, options_.group) {}

void Consumer::spawn(runtime::FiberGroup& fibers) {
  fibers_ = &fibers;
  fibers.spawn("message dispatcher", [this](const Context& ctx) { dispatch(ctx); });
  if (std::holds_alternative<ExternalHandler>(handler_))
    fibers.spawn("message recorder", [this](const Context& ctx) { run_recorder(ctx); });
}

void Consumer::wake() noexcept { progress_.notify(); }

// ---- reading ahead

void Consumer::dispatch(const Context& ctx) {
  while (!worker_.stopping && !ctx.cancelled()) {
    const std::uint64_t seen = reader_->changed().version();
    bool more = false;
    try {
      if (!worker_.stalled) more = read_ahead(ctx);
    } catch (const Error& error) {
      if (ctx.cancelled()) return;
      metrics_.store_failures.add();
      worker_.logger.warn(ctx, "the log could not be read; it is tried again",
                          {{"group", options_.group}, {"error", error.what()}});
    }
    const WallTime now = worker_.wall_now();
    for (auto& bucket : buckets_) {
      if (bucket && has_work(*bucket, now)) make_ready(*bucket);
    }
    start_workers();
    if (more) {
      runtime::yield();
      continue;
    }
    Duration wait = worker_.options.poll;
    if (const auto due = next_due())
      wait = std::clamp<Duration>(*due - now, std::chrono::milliseconds(1), wait);
    reader_->changed().wait_past(ctx.with_timeout(wait), seen, "waiting for messages");
  }
}

std::vector<Cohort> Consumer::cohorts() const {
  std::vector<Cohort> cohorts;
  for (const auto& bucket : buckets_) {
    if (!bucket || bucket->lost || bucket->releasing) continue;
    if (bucket->queue.size() * 2 > options_.read_ahead)
      continue;  // half empty first: no reads for one message
    const auto same = std::ranges::find(cohorts, bucket->read_to, &Cohort::read_to);
    if (same == cohorts.end()) {
      cohorts.push_back({.read_to = bucket->read_to, .buckets = mask_of(bucket->lease.bucket)});
    } else {
      same->buckets |= mask_of(bucket->lease.bucket);
    }
  }
  return cohorts;
}

bool Consumer::read_ahead(const Context& ctx) {
  const std::vector<Cohort> asked = cohorts();
  if (asked.empty()) return false;
  std::vector<ReadResult> results = reader_->read(ctx, asked, head_);
  bool more = false;
  for (std::size_t i = 0; i < asked.size(); ++i) {
    more = more || results[i].more;
    distribute(asked[i], std::move(results[i]));
  }
  return more;
}

void Consumer::distribute(const Cohort& cohort, ReadResult&& result) {
  // A bucket that was lost, or read on, while we read is not at the cohort's position any more.
  BucketMask open = 0;
  for (const auto& bucket : buckets_) {
    if (bucket && !bucket->lost && !bucket->releasing && bucket->read_to == cohort.read_to)
      open |= mask_of(bucket->lease.bucket) & cohort.buckets;
  }
  const BucketMask members = open;
  for (Message& message : result.messages) {
    const int number = bucket_of(message.key);
    if ((open & mask_of(number)) == 0) continue;
    Bucket& bucket = *buckets_[static_cast<std::size_t>(number)];
    if (options_.wanted && !options_.wanted(message)) {
      bucket.read_to = message.position;
      continue;
    }
    if (bucket.queue.size() >= options_.read_ahead) {
      bucket.read_to = message.position - 1;  // full: reading goes on here once there is room
      open &= ~mask_of(number);
      continue;
    }
    message.group = options_.group;
    bucket.read_to = message.position;
    bucket.queue.push_back(std::move(message));
  }
  for (const auto& bucket : buckets_) {
    if (!bucket || (members & mask_of(bucket->lease.bucket)) == 0) continue;
    if ((open & mask_of(bucket->lease.bucket)) != 0)
      bucket->read_to = std::max(bucket->read_to, result.read_to);
  }
  for (const auto& [number, position] : result.passed) {
    if ((open & mask_of(number)) == 0) continue;
    Bucket& bucket = *buckets_[static_cast<std::size_t>(number)];
    bucket.read_to = std::max(bucket.read_to, position);
  }
}

std::optional<WallTime> Consumer::next_due() const noexcept {
  std::optional<WallTime> found;
  for (const auto& bucket : buckets_) {
    if (!bucket || bucket->busy || bucket->lost || bucket->releasing || !bucket->next_due) continue;
    if (!found || *bucket->next_due < *found) found = bucket->next_due;
  }
  return found;
}

// ---- leases

std::int64_t Consumer::bucket_count() const noexcept {
  return std::ranges::count_if(buckets_, [](const auto& b) { return b && !b->lost && !b->releasing; });
}

BucketMask Consumer::buckets() const noexcept {
  BucketMask mask = 0;
  for (const auto& bucket : buckets_) {
    if (bucket) mask |= mask_of(bucket->lease.bucket);
  }
  return mask;
}

void Consumer::give(const TakenLease& lease, std::vector<ParkedKey> parked, std::int64_t parked_rows) {
  auto& place = buckets_[static_cast<std::size_t>(lease.bucket)];
  require_invariant(place == nullptr, "a bucket is given to a consumer once");
  place = std::make_unique<Bucket>(lease, worker_.cancellation.token());
  for (ParkedKey& key : parked) place->parked.emplace(std::move(key.key), key.due);
  place->parked_rows = parked_rows;
  if (lease.crashes >= kSuspectAfter && !options_.whole_bucket_in_order) {
    place->suspect_until = worker_.clock().now() + calm();
    worker_.logger.warn("workers end while they handle a bucket; its messages are handled one by one",
                        {{"group", options_.group}, {"bucket", lease.bucket}, {"ended", lease.crashes}});
  }
  place->next_due = earliest(place->parked);
  reader_->open(lease.bucket, lease.position, lease.cursor);
}

Duration Consumer::calm() const noexcept { return kCalm + 2 * options_.backoff.cap; }

void Consumer::lose(int bucket) {
  auto& place = buckets_[static_cast<std::size_t>(bucket)];
  if (!place || place->lost) return;
  place->lost = true;
  place->cancellation.cancel();
  if (!place->busy) drop(bucket);  // else by whoever is at it
}

void Consumer::lose_all() {
  for (int bucket = 0; bucket < kBuckets; ++bucket) lose(bucket);
}

void Consumer::keep_only(const std::vector<HeldLease>& held) {
  for (int number = 0; number < kBuckets; ++number) {
    const auto& bucket = buckets_[static_cast<std::size_t>(number)];
    if (!bucket) continue;
    const bool still = std::ranges::any_of(held, [&](const HeldLease& lease) {
      return lease.bucket == number && lease.fence == bucket->lease.fence && lease.group == options_.group;
    });
    if (!still) lose(number);
  }
}

void Consumer::give_up(std::int64_t count) {
  for (auto& bucket : buckets_) {
    if (count <= 0) return;
    if (!bucket || bucket->lost || bucket->releasing) continue;
    --count;
    bucket->releasing = true;
    if (!bucket->busy) release_now(*bucket);  // else after_serving() does
  }
}

void Consumer::release_now(Bucket& bucket) {
  released_.push_back({.lease = lease_of(bucket), .handled_to = bucket.handled_to});
  metrics_.handled.add(bucket.unrecorded);
  drop(bucket.lease.bucket);
}

void Consumer::drop(int bucket) noexcept {
  reader_->close(bucket);
  buckets_[static_cast<std::size_t>(bucket)].reset();
}

std::vector<Consumer::Released> Consumer::take_released() { return std::exchange(released_, {}); }

void Consumer::adopt(const std::vector<ParkedKey>& keys) {
  for (const ParkedKey& key : keys) {
    auto& bucket = buckets_[static_cast<std::size_t>(key.bucket)];
    if (!bucket || bucket->lost || bucket->busy) continue;  // busy: its handler may read `parked`; next time
    const auto known = bucket->parked.find(key.key);
    if (known != bucket->parked.end() && known->second <= key.due) continue;
    // Due now; take_items() looks at the first message of the key and corrects that.
    if (known == bucket->parked.end()) ++bucket->parked_rows;
    set_due(*bucket, key.key, worker_.wall_now());
  }
}

std::vector<Cohort> Consumer::idle_progress() const {
  std::vector<Cohort> cohorts;
  for (const auto& bucket : buckets_) {
    if (!bucket || bucket->busy || bucket->lost || bucket->releasing || !bucket->queue.empty()) continue;
    if (bucket->read_to <= bucket->lease.position || bucket->unrecorded > 0) continue;
    const auto same = std::ranges::find(cohorts, bucket->read_to, &Cohort::read_to);
    if (same == cohorts.end()) {
      cohorts.push_back({.read_to = bucket->read_to, .buckets = mask_of(bucket->lease.bucket)});
    } else {
      same->buckets |= mask_of(bucket->lease.bucket);
    }
  }
  return cohorts;
}

void Consumer::idle_progress_recorded(const std::vector<Cohort>& cohorts) {
  for (const Cohort& cohort : cohorts) {
    for (auto& bucket : buckets_) {
      if (!bucket || (cohort.buckets & mask_of(bucket->lease.bucket)) == 0) continue;
      bucket->lease.position = std::max(bucket->lease.position, cohort.read_to);
      bucket->handled_to = std::max(bucket->handled_to, cohort.read_to);
    }
  }
}

std::vector<Consumer::Cursor> Consumer::cursors() {
  std::vector<Cursor> changed;
  for (const auto& bucket : buckets_) {
    if (!bucket || bucket->lost || bucket->releasing) continue;
    reader_->recorded(bucket->lease.bucket, bucket->lease.position);
    std::string cursor = reader_->cursor(bucket->lease.bucket);
    if (cursor.empty() || cursor == bucket->cursor) continue;  // empty: the reader has none of its own
    bucket->cursor = cursor;
    changed.push_back({.lease = lease_of(*bucket), .cursor = std::move(cursor)});
  }
  return changed;
}

void Consumer::export_gauges() const {
  const WallTime now = worker_.wall_now();
  std::int64_t slowest = head_;
  std::int64_t parked = 0;
  WallTime oldest = now;
  for (const auto& bucket : buckets_) {
    if (!bucket) continue;
    const bool idle = bucket->queue.empty() && !bucket->busy;
    if (!idle || reader_->contiguous())
      slowest = std::min(slowest, idle ? bucket->read_to : bucket->lease.position);
    if (!bucket->queue.empty()) oldest = std::min(oldest, bucket->queue.front().occurred_at);
    parked += bucket->parked_rows;
  }
  metrics_.leases.set(bucket_count());
  metrics_.lag.set(head_ - slowest);
  metrics_.parked.set(parked);
  metrics_.oldest_seconds.set(std::chrono::duration_cast<std::chrono::seconds>(now - oldest).count());
}

void Consumer::set_due(Bucket& bucket, const std::string& key, std::optional<WallTime> due) {
  if (due) {
    bucket.parked.insert_or_assign(key, *due);
  } else {
    bucket.parked.erase(key);
  }
  bucket.next_due = earliest(bucket.parked);
}

}  // namespace holdfast::messaging::engine
