// What processes share through Redis where there is one, and what each has for itself where there is none:
// the cache, and the limits of clients. For order_system.cpp.
//
//   RedisWiring shared(settings, {runtime, metrics, log, dependencies});
//   auto limits = shared.rate_limits(policies, max_clients);
//
// Thread-safety: made and destroyed on one fiber; the rest from any.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "holdfast/cache/cache.hpp"
#include "holdfast/idempotency/answers.hpp"
#include "holdfast/observe/log.hpp"
#include "holdfast/observe/metrics.hpp"
#include "holdfast/resilience/dependencies.hpp"
#include "holdfast/resilience/rate_limits.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "orders/settings.hpp"

namespace holdfast::orders {

class RedisWiring {
 public:
  /// All are borrowed and must outlive it.
  struct Parts {
    runtime::Runtime& runtime;
    observe::Metrics& metrics;
    observe::Log& log;
    resilience::Dependencies& dependencies;
  };

  /// Adds the dependency "redis" where redis.url is set. Does not wait for it: a Redis that is away now is
  /// used when it comes.
  RedisWiring(const Settings& settings, const Parts& parts);
  ~RedisWiring();

  cache::Cache& cache() noexcept;
  /// Of committed answers of the database that `of` names; null where there is no Redis, or idempotency.fast
  /// is off. Called once.
  idempotency::Answers* answers(std::string of);
  /// Must not outlive this.
  std::unique_ptr<resilience::RateLimits> rate_limits(const std::vector<resilience::RatePolicy>& policies,
                                                      std::size_t max_clients);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace holdfast::orders
