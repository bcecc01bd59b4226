// A limit on how often one client may ask, as a middleware. Every answer says what is left (RateLimit,
// RateLimit-Policy, X-RateLimit-*); one too many gets 429 with Retry-After.
//
//   RateLimiter limiter({{.name = "default", .rate = {.requests = 600, .window = 1min, .burst = 100}}}, {},
//   random); router.use(rate_limit(limiter, metrics));        // inside authentication, to know the principal
//
// Thread-safety: the middleware may run on all loops. `limiter` and `metrics` must outlive the router.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "holdfast/http/route.hpp"
#include "holdfast/observe/metrics.hpp"
#include "holdfast/resilience/rate_limits.hpp"

namespace holdfast::http {

/// Who asks, for limits: the principal's subject; of anonymous ones the address, and of an IPv6 address
/// its /64 network, since one client has all of that.
std::string client_key(const Context& ctx, const Request& request);

struct RateLimitOptions {
  /// client_key unless set. An empty key is not limited.
  std::function<std::string(const Context&, const Request&)> key{};
  /// The index of the policy in the limiter; 0 unless set. For tiers, or costlier routes.
  std::function<std::size_t(const Context&, const Request&)> policy{};
};

/// Counts holdfast_rate_limit_total{policy,outcome="allowed"|"refused"} and
/// holdfast_rate_limit_forgotten_total (RateLimits::forgotten).
Middleware rate_limit(resilience::RateLimits& limiter, observe::Metrics& metrics,
                      RateLimitOptions options = {});

}  // namespace holdfast::http
