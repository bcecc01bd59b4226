// A Cache of this process in front of one in Redis: a hit costs no round trip, and what one process
// invalidates is gone in all.
//
//   TieredCache both(runtime, local, shared, {.connection = {…}}, logger);
//
// What the local tier shows is never more than `max_blind` behind an invalidation elsewhere: the
// invalidations are listened to, and an entry counts only while it is known that none was missed for longer
// than that, or is younger than that itself. After a loss of the connection all of it is forgotten. With
// Redis away, entries live for max_blind in each process: that costs speed. Thread-safety: any fiber;
// destroyed on a fiber.
#pragma once

#include "holdfast/cache/memory_cache.hpp"
#include "holdfast/cache/redis_cache.hpp"
#include "holdfast/redis/subscriber.hpp"

namespace holdfast::cache {

struct TieredOptions {
  redis::ConnectionOptions connection;           ///< of the subscription
  Duration max_blind = std::chrono::seconds(2);  ///< above ping_every and its answer, or it is rarely trusted
  Duration ping_every = std::chrono::milliseconds(500);
};

class TieredCache final : public Cache {
 public:
  /// All are borrowed but the logger. `local` must be nobody else's.
  TieredCache(runtime::Runtime& runtime, MemoryCache& local, RedisCache& shared, TieredOptions options,
              observe::Logger logger);

  Found find(const Context& ctx, std::string_view key, const Decode& decode,
             Look look = Look::nearest) override;
  Claim claim(const Context& ctx, std::string_view key, Duration time) override;
  Kept put(const Context& ctx, std::string_view key, const Claim& claim, const Entry& entry) override;
  void give_up(const Context& ctx, std::string_view key, const Claim& claim) noexcept override;
  void invalidate(const Context& ctx, std::string_view key) override;

  /// Whether the invalidations of others are heard.
  bool listening() const noexcept { return subscriber_.listening(); }

 private:
  bool trusted(const Entry& entry, Instant now) const noexcept;

  const Clock& clock_;
  MemoryCache& local_;
  RedisCache& shared_;
  const Duration max_blind_;
  redis::Subscriber subscriber_;
};

}  // namespace holdfast::cache
