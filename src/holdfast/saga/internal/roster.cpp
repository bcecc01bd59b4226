#include "holdfast/saga/internal/roster.hpp"

#include <utility>

namespace holdfast::saga::internal {
namespace {

constexpr std::size_t kMaxWoken = 10'000;  // beyond, the poll finds them by their due time

std::size_t at(int bucket) noexcept { return static_cast<std::size_t>(bucket); }

}  // namespace

Roster::Roster(std::size_t concurrency, runtime::CancellationToken all)
    : concurrency_(concurrency), all_(std::move(all)) {}

Roster::Entered Roster::enter(const std::string& id, int bucket, std::size_t limit) {
  const std::lock_guard lock(mutex_);
  std::optional<Bucket>& ours = buckets_[at(bucket)];
  if (!ours || ours->giving_up) return {.place = {}, .why = Refused::not_ours};
  if (inside_.size() >= limit) {
    backlog_ = true;
    return {.place = {}, .why = Refused::full};
  }
  if (!inside_.emplace(id, false).second) return {.place = {}, .why = Refused::inside};
  ++ours->inside;
  return {.place = Place{.fence = ours->lease.fence,
                         .crashed_at = ours->lease.crashed_at,
                         .cancellation = ours->cancellation->token()}};
}

Roster::Left Roster::leave(const std::string& id, int bucket, std::int64_t fence) {
  const std::lock_guard lock(mutex_);
  const auto found = inside_.find(id);
  if (found == inside_.end()) return {};
  const bool woken = found->second;
  inside_.erase(found);
  // A bucket that was lost and taken again has not counted it.
  std::optional<Bucket>& ours = buckets_[at(bucket)];
  if (ours && ours->lease.fence == fence) --ours->inside;
  if (woken && woken_.size() < kMaxWoken) woken_.push_back({id, bucket});
  return {.woken = woken, .room = backlog_ && inside_.size() <= concurrency_ - concurrency_ / 4};
}

bool Roster::wake(const std::string& id, int bucket) {
  const std::lock_guard lock(mutex_);
  const auto found = inside_.find(id);
  if (found != inside_.end()) {
    found->second = true;
    return false;
  }
  if (woken_.size() < kMaxWoken) woken_.push_back({id, bucket});
  return true;
}

std::vector<Named> Roster::take_woken() {
  const std::lock_guard lock(mutex_);
  return std::exchange(woken_, {});
}

bool Roster::take_backlog() {
  const std::lock_guard lock(mutex_);
  return std::exchange(backlog_, false);
}

std::size_t Roster::inside() const {
  const std::lock_guard lock(mutex_);
  return inside_.size();
}

int Roster::bucket_for(int wish) const {
  const std::lock_guard lock(mutex_);
  for (int i = 0; i < kBuckets; ++i) {
    const int bucket = (wish + i) % kBuckets;
    const std::optional<Bucket>& ours = buckets_[at(bucket)];
    if (ours && !ours->giving_up) return bucket;
  }
  return wish;
}

BucketMask Roster::serving() const {
  const std::lock_guard lock(mutex_);
  BucketMask mask = 0;
  for (int bucket = 0; bucket < kBuckets; ++bucket) {
    const std::optional<Bucket>& ours = buckets_[at(bucket)];
    if (ours && !ours->giving_up) mask |= BucketMask{1} << bucket;
  }
  return mask;
}

bool Roster::holds(int bucket, std::int64_t fence) const {
  const std::lock_guard lock(mutex_);
  const std::optional<Bucket>& ours = buckets_[at(bucket)];
  return ours && !ours->giving_up && ours->lease.fence == fence;
}

bool Roster::has(const Lease& lease) const {
  const std::lock_guard lock(mutex_);
  const std::optional<Bucket>& ours = buckets_[at(lease.bucket)];
  return ours && ours->lease.fence == lease.fence;
}

bool Roster::has_inside(const std::string& id) const {
  const std::lock_guard lock(mutex_);
  return inside_.contains(id);
}

void Roster::note_backlog() {
  const std::lock_guard lock(mutex_);
  backlog_ = true;
}

void Roster::give(const Lease& lease) {
  const std::lock_guard lock(mutex_);
  std::optional<Bucket>& bucket = buckets_[at(lease.bucket)];
  drop(bucket);
  bucket.emplace(Bucket{.lease = lease, .cancellation = std::make_unique<runtime::CancellationSource>(all_)});
  backlog_ = true;
}

void Roster::drop(std::optional<Bucket>& bucket) {
  if (!bucket) return;
  bucket->cancellation->cancel();
  bucket.reset();
}

void Roster::lose(int bucket) {
  const std::lock_guard lock(mutex_);
  drop(buckets_[at(bucket)]);
}

void Roster::lose_all() {
  const std::lock_guard lock(mutex_);
  for (auto& bucket : buckets_) drop(bucket);
}

void Roster::keep_only(const std::vector<Lease>& held) {
  std::array<std::int64_t, kBuckets> fences;
  fences.fill(-1);
  for (const Lease& lease : held) fences[at(lease.bucket)] = lease.fence;
  const std::lock_guard lock(mutex_);
  for (auto& bucket : buckets_) {
    if (bucket && fences[at(bucket->lease.bucket)] != bucket->lease.fence) drop(bucket);
  }
}

void Roster::give_up(std::int64_t count) {
  const std::lock_guard lock(mutex_);
  for (auto each = buckets_.rbegin(); each != buckets_.rend() && count > 0; ++each) {
    std::optional<Bucket>& bucket = *each;
    if (!bucket || bucket->giving_up) continue;
    bucket->giving_up = true;
    --count;
  }
}

std::vector<Roster::Released> Roster::take_released() {
  const std::lock_guard lock(mutex_);
  std::vector<Released> released;
  for (auto& bucket : buckets_) {
    if (!bucket || !bucket->giving_up || bucket->inside > 0) continue;
    released.push_back({.lease = bucket->lease, .in_order = !bucket->has_open_act});
    drop(bucket);
  }
  return released;
}

void Roster::note_open_act(int bucket, std::int64_t fence) {
  const std::lock_guard lock(mutex_);
  std::optional<Bucket>& ours = buckets_[at(bucket)];
  if (ours && ours->lease.fence == fence) ours->has_open_act = true;
}

BucketMask Roster::in_order() const {
  const std::lock_guard lock(mutex_);
  BucketMask mask = 0;
  for (int bucket = 0; bucket < kBuckets; ++bucket) {
    const std::optional<Bucket>& ours = buckets_[at(bucket)];
    if (ours && !ours->has_open_act) mask |= BucketMask{1} << bucket;
  }
  return mask;
}

std::int64_t Roster::held_count() const {
  const std::lock_guard lock(mutex_);
  std::int64_t count = 0;
  for (const auto& bucket : buckets_) count += bucket && !bucket->giving_up ? 1 : 0;
  return count;
}

}  // namespace holdfast::saga::internal
