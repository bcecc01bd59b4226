#include "orders/redis_settings.hpp"

#include "holdfast/base/error.hpp"
#include "holdfast/redis/address.hpp"
#include "orders/settings.hpp"

namespace holdfast::orders {

void RedisSettings::validate(Violations& faults) const {
  if (url.empty()) return;
  try {
    redis::parse_address(url.reveal());
  } catch (const Error& error) {
    faults.add_at("/url", "bad_redis_url", "can't be used: " + error.detail());
  }
}

void Settings::validate(Violations& faults) const {
  const bool shared = !redis.url.empty() && rate_limit.enabled;
  if (shared && rate_limit.algorithm != resilience::RateAlgorithm::token_bucket) {
    faults.add_at("/rate_limit/algorithm", "not_shared",
                  "must be token_bucket where redis.url is set: limits are then shared");
  }
}

}  // namespace holdfast::orders
