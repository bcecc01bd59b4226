#include "orders/redis_settings.hpp"

#include "holdfast/base/error.hpp"
#include "holdfast/redis/address.hpp"
#include "orders/settings.hpp"

namespace holdfast::orders {

namespace {

void check_url(Violations& faults, const char* where, const config::Secret& url) {
  if (url.empty()) return;
  try {
    redis::parse_address(url.reveal());
  } catch (const Error& error) {
    faults.add_at(where, "bad_redis_url", "can't be used: " + error.detail());
  }
}

}  // namespace

void RedisSettings::validate(Violations& faults) const { check_url(faults, "/url", url); }

void Settings::validate(Violations& faults) const {
  const bool shared = !redis.url.empty() && rate_limit.enabled;
  if (shared && rate_limit.algorithm != resilience::RateAlgorithm::token_bucket) {
    faults.add_at("/rate_limit/algorithm", "not_shared",
                  "must be token_bucket where redis.url is set: limits are then shared");
  }
  check_url(faults, "/broker/redis/url", broker.redis.url);
  if (broker.kind == BrokerKind::redis && broker.redis.url.empty() && redis.url.empty())
    faults.add_at("/broker/redis/url", "required", "must be set, or redis.url, where broker.kind is redis");
}

}  // namespace holdfast::orders
