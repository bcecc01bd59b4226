#include "holdfast/cache/tiered_cache.hpp"

namespace holdfast::cache {

TieredCache::TieredCache(runtime::Runtime& runtime, MemoryCache& local, RedisCache& shared,
                         TieredOptions options, observe::Logger logger)
    : clock_(runtime.clock()),
      local_(local),
      shared_(shared),
      max_blind_(options.max_blind),
      subscriber_(runtime,
                  {.connection = std::move(options.connection),
                   .channels = {shared.invalidations()},
                   .ping_every = options.ping_every},
                  {.on_message = [this](std::string_view, std::string_view key) { local_.invalidate(key); },
                   // What was invalidated while nobody listened is not known.
                   .on_connected = [this] { local_.clear(); }},
                  std::move(logger)) {}

bool TieredCache::trusted(const Entry& entry, Instant now) const noexcept {
  if (entry.kept_for <= max_blind_) return true;
  const Instant heard = subscriber_.heard_until();
  return heard != Instant::min() && now - heard <= max_blind_;
}

Found TieredCache::find(const Context& ctx, std::string_view key, const Decode& decode, Look look) {
  if (look == Look::nearest) {
    std::optional<Entry> near = local_.find(key);
    if (near && trusted(*near, clock_.now())) return {.entry = std::move(near)};
  }
  // Before Redis is asked: an invalidation that comes between its answer and our put voids it.
  const Claim claim = local_.claim(key);
  Found far = shared_.find(ctx, key, decode);
  if (far.entry) local_.put(key, claim, *far.entry);
  return far;
}

Claim TieredCache::claim(const Context& ctx, std::string_view key, Duration time) {
  const std::uint64_t local = local_.claim(key).local;
  Claim claim = shared_.claim(ctx, key, time);
  claim.local = local;
  return claim;
}

Kept TieredCache::put(const Context& ctx, std::string_view key, const Claim& claim, const Entry& entry) {
  const Kept far = shared_.put(ctx, key, claim, entry);
  // Where Redis could not say, the claim of this process decides, and max_blind bounds what it can't know.
  if (far != Kept::refused) local_.put(key, claim, entry);
  return far;
}

void TieredCache::give_up(const Context& ctx, std::string_view key, const Claim& claim) noexcept {
  shared_.give_up(ctx, key, claim);
}

void TieredCache::invalidate(const Context& ctx, std::string_view key) {
  local_.invalidate(key);
  shared_.invalidate(ctx, key);
  local_.invalidate(key);  // what was read from Redis between the two
}

}  // namespace holdfast::cache
