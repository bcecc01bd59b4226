#include "orders/wiring_redis.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "holdfast/cache/memory_cache.hpp"
#include "holdfast/cache/redis_cache.hpp"
#include "holdfast/cache/tiered_cache.hpp"
#include "holdfast/idempotency/redis_answers.hpp"
#include "holdfast/redis/client.hpp"
#include "holdfast/redis/shared_rate_limits.hpp"
#include "holdfast/resilience/rate_limiter.hpp"

namespace holdfast::orders {
namespace {

constexpr std::size_t kMaxCacheBytes = 32 * 1024 * 1024;

redis::ConnectionOptions connection_options(const RedisSettings& settings, std::string name) {
  redis::ConnectionOptions options;
  options.name = std::move(name);
  options.address = redis::parse_address(settings.url.reveal());
  options.ca_file = settings.ca_file;
  options.answer_timeout = settings.answer_timeout;
  options.connect_timeout = 2 * options.answer_timeout;
  return options;
}

/// There is one.
struct Shared {
  Shared(const RedisSettings& settings, const RedisWiring::Parts& parts, cache::MemoryCache& local)
      : client(parts.runtime, {.connection = connection_options(settings, "shared")},
               parts.dependencies.add("redis", redis::pipeline_defaults(), redis::judgements()),
               parts.metrics, parts.log.logger("redis")),
        values(client, parts.runtime.random(), {.prefix = settings.prefix}),
        tiers(parts.runtime, local, values, {.connection = connection_options(settings, "invalidations")},
              parts.log.logger("redis")) {}

  redis::Client client;
  cache::RedisCache values;
  cache::TieredCache tiers;
  std::optional<idempotency::RedisAnswers> answers;
};

}  // namespace

struct RedisWiring::State {
  State(const Settings& the_settings, const Parts& the_parts)
      : settings(the_settings.redis),
        keys(the_settings.idempotency),
        parts(the_parts),
        local({.max_bytes = kMaxCacheBytes, .max_entries = the_settings.catalog.page.max_remembered},
              parts.runtime.clock(), parts.runtime.random(), parts.metrics) {
    if (!settings.url.empty()) shared.emplace(settings, parts, local);
  }

  const RedisSettings settings;
  const IdempotencySettings keys;
  const Parts parts;
  cache::MemoryCache local;
  std::optional<Shared> shared;
};

RedisWiring::RedisWiring(const Settings& settings, const Parts& parts)
    : state_(std::make_unique<State>(settings, parts)) {}

RedisWiring::~RedisWiring() = default;

cache::Cache& RedisWiring::cache() noexcept {
  if (state_->shared) return state_->shared->tiers;
  return state_->local;
}

idempotency::Answers* RedisWiring::answers(std::string of) {
  if (!state_->shared || !state_->keys.fast) return nullptr;
  Shared& shared = *state_->shared;
  idempotency::RedisAnswersOptions options;
  options.prefix = state_->settings.prefix;
  options.of = std::move(of);
  options.keep_for = std::min<Duration>(options.keep_for, state_->keys.retention);
  return &shared.answers.emplace(state_->parts.runtime, shared.client, state_->parts.metrics,
                                 std::move(options));
}

std::unique_ptr<resilience::RateLimits> RedisWiring::rate_limits(
    const std::vector<resilience::RatePolicy>& policies, std::size_t max_clients) {
  const Parts& parts = state_->parts;
  if (!state_->shared) {
    return std::make_unique<resilience::RateLimiter>(
        policies, resilience::RateLimiterOptions{.max_keys = max_clients}, parts.runtime.random());
  }
  redis::SharedRateOptions options;
  options.prefix = state_->settings.prefix;
  options.processes = state_->settings.processes;
  options.max_keys = max_clients;
  return std::make_unique<redis::SharedRateLimits>(state_->shared->client, policies, std::move(options),
                                                   parts.runtime.clock(), parts.runtime.random(),
                                                   parts.metrics);
}

}  // namespace holdfast::orders
