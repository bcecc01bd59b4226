// A tarpit, as a middleware: who is told 429 again and again, and asks on, is told so a little later each
// time. A client that waits for its answers then asks no faster than that, over each of its connections, and
// what it costs everybody else is next to nothing. Waiting takes no place at work: use it outermost.
//
//   router.use(tarpit({.delay = 250ms}, metrics));
//   router.use(admission_control(gate)); …; router.use(rate_limit(limiter, metrics));
//
// Thread-safety: the middleware may run on all loops. `metrics` must outlive the router.
#pragma once

#include <cstdint>

#include "holdfast/base/clock.hpp"
#include "holdfast/http/route.hpp"
#include "holdfast/observe/metrics.hpp"

namespace holdfast::http {

struct TarpitOptions {
  Duration delay = std::chrono::milliseconds(250);  ///< of an answer 429
  std::uint32_t at_once = 20;                       ///< of one client a second are answered without delay
  std::uint32_t max_held = 1024;                    ///< answers held back at a time; others go at once
};

/// A client is the Authorization header that it sends, or its address. Counts
/// holdfast_http_slowed_refusals_total.
Middleware tarpit(const TarpitOptions& options, observe::Metrics& metrics);

}  // namespace holdfast::http
