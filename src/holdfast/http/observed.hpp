// Measures requests and tells whoever wants to know: the access log, the metrics. One measurement for
// both, so that they never disagree.
//
//   router.use(observed([&, metrics = request_metrics(metrics)](const Context& ctx, const RequestRecord& r) {
//     metrics(ctx, r);
//     log.info(ctx, "request", {{"method", r.method}, {"path", r.path}, {"status", r.status}, {"took",
//     r.took}});
//   }));
//
// Thread-safety: the callback is called on all loops.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "holdfast/base/clock.hpp"
#include "holdfast/http/route.hpp"
#include "holdfast/observe/metrics.hpp"

namespace holdfast::http {

/// Valid during the call only. `took` is until the response's head was made: a stream goes on after it.
struct RequestRecord {
  std::string_view method;
  std::string_view path;   ///< decoded, without the query: queries carry what logs shouldn't
  std::string_view route;  ///< the pattern; "(none)" where none matched
  int status = 0;          ///< 500 where an exception passed
  std::uint64_t request_bytes = 0;
  std::uint64_t response_bytes = 0;  ///< of the body; 0 for a stream
  Duration took{};
  std::string_view remote_address;
  std::string_view user_agent;
};

using RequestObserver = std::function<void(const Context&, const RequestRecord&)>;

/// Must stand outside problem_details(), so that it sees the status a failure becomes.
Middleware observed(RequestObserver observer);

/// An observer that counts: holdfast_http_requests_total{method,route,status} and
/// holdfast_http_request_seconds{method,route}. `metrics` must outlive it. Methods that are no HTTP
/// method share the label "other", paths without a route "(none)": labels stay few whatever is sent.
RequestObserver request_metrics(observe::Metrics& metrics);

}  // namespace holdfast::http
