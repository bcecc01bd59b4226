// What can be set of a dependency: `dependencies.<name>` in the configuration. Each default, and where it
// comes from, is in docs/resilience.md.
//
//   dependencies:
//     payments:
//       timeout: {total: 10s, attempt: 3s}
//       breaker: {failure_rate: 0.3, open_for: 2s}
//
// Thread-safety: values.
#pragma once

#include <cstdint>

#include "holdfast/base/describe.hpp"
#include "holdfast/base/rules.hpp"
#include "holdfast/resilience/bulkhead.hpp"
#include "holdfast/resilience/circuit_breaker.hpp"
#include "holdfast/resilience/recovery.hpp"
#include "holdfast/resilience/retry.hpp"

namespace holdfast::resilience {

struct TimeoutOptions {
  std::chrono::microseconds total = std::chrono::seconds(15);
  std::chrono::microseconds attempt = std::chrono::seconds(5);

  static constexpr auto rules() {
    return holdfast::rules(
        field<&TimeoutOptions::total>()
            .range(1, 86'400'000'000)
            .doc("Of a call with all its tries and waits; the caller's deadline may be nearer."),
        field<&TimeoutOptions::attempt>().range(1, 86'400'000'000).doc("Of each try."));
  }
  void validate(Violations& faults) const;
};
HOLDFAST_DESCRIBE(TimeoutOptions, (total, attempt))

struct LimitOptions {
  bool enabled = false;
  std::uint32_t requests = 1'000;
  std::chrono::microseconds window = std::chrono::seconds(1);
  std::uint32_t burst = 100;

  static constexpr auto rules() {
    return holdfast::rules(
        field<&LimitOptions::enabled>().doc("Whether there is one: what the dependency allows, if it says."),
        field<&LimitOptions::requests>().range(1, 1'000'000'000).doc("Tries a window, on average."),
        field<&LimitOptions::window>().range(1, 86'400'000'000).doc("What the number of requests is over."),
        field<&LimitOptions::burst>().range(1, 1'000'000'000).doc("Tries at once, after a rest."));
  }
};
HOLDFAST_DESCRIBE(LimitOptions, (enabled, requests, window, burst))

struct PipelineOptions {
  TimeoutOptions timeout;
  RetryOptions retry;
  BreakerOptions breaker;
  BulkheadOptions bulkhead;
  LimitOptions limit;
  RecoveryOptions recovery;
};
HOLDFAST_DESCRIBE(PipelineOptions, (timeout, retry, breaker, bulkhead, limit, recovery))

using DependencySettings = PipelineOptions;

}  // namespace holdfast::resilience
