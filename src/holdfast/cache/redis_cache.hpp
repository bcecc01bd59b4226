// A Cache in Redis, shared by all processes. Values carry how long they stay fresh and what they cost; times
// to live are Redis' own, so that no clocks are compared. An entry that is not understood is no entry.
//
//   RedisCache shared(client, {.prefix = "shop:"});
//
// Keys: "<prefix>c:<key>", claims "<prefix>l:<key>". Claims and puts are scripts: a put is kept only under
// the claim that its loader holds, and an invalidation deletes both and publishes the key on invalidations(),
// in one step. Thread-safety: any fiber.
#pragma once

#include <string>

#include "holdfast/base/random.hpp"
#include "holdfast/cache/cache.hpp"
#include "holdfast/redis/client.hpp"

namespace holdfast::cache {

struct RedisCacheOptions {
  std::string prefix = "holdfast:";           ///< before every key: several users of a database
  std::size_t max_value_bytes = 1024 * 1024;  ///< encoded; larger ones are not kept
};

class RedisCache final : public Cache {
 public:
  /// All are borrowed.
  RedisCache(redis::Client& client, Random& random, RedisCacheOptions options = {});

  Found find(const Context& ctx, std::string_view key, const Decode& decode,
             Look look = Look::nearest) override;
  Claim claim(const Context& ctx, std::string_view key, Duration time) override;
  Kept put(const Context& ctx, std::string_view key, const Claim& claim, const Entry& entry) override;
  void give_up(const Context& ctx, std::string_view key, const Claim& claim) noexcept override;
  void invalidate(const Context& ctx, std::string_view key) override;

  /// The channel on which invalidated keys are published.
  const std::string& invalidations() const noexcept { return channel_; }

 private:
  std::string value_key(std::string_view key) const;
  std::string claim_key(std::string_view key) const;

  redis::Client& client_;
  Random& random_;
  const RedisCacheOptions options_;
  const std::string channel_;
};

}  // namespace holdfast::cache
