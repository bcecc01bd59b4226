// A bound on requests at work, as a middleware: beyond it they wait in line for a moment, beyond that
// they get 503 ("overloaded") with Retry-After, and the connection stays usable. Who is served first, and who
// is given up first, RouteInfo::priority says; a route's RouteInfo::bulkhead bounds it and its like
// among themselves ("bulkhead_full"), so that slow reports leave places to orders.
//
//   AdmissionGate gate("http", {.max_running = 256, .max_waiting = 1024, .max_wait = 1s}, clock, metrics);
//   router.use(admission_control(gate, {.exempt = [](auto&, auto& r) { return r.path.starts_with("/health/");
//   }}));
//
// Thread-safety: the middleware may run on all loops. `gate` must outlive the router.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "holdfast/http/route.hpp"
#include "holdfast/resilience/admission.hpp"

namespace holdfast::http {

struct AdmissionControlOptions {
  /// Requests that pass without a place: health, metrics. None unless set.
  std::function<bool(const Context&, const Request&)> exempt{};
  /// Whether this caller's X-Priority may raise a request above its route's priority; nobody's unless set.
  /// Asked only where it would. Whoever asks for less gets it.
  std::function<bool(const Context&, const Request&)> may_raise{};
  /// The bulkheads that routes name; one that is named but not here throws at the first request. Borrowed.
  std::map<std::string, resilience::AdmissionGate*, std::less<>> bulkheads{};
};

/// The priority of a request: its route's, or what X-Priority asks for.
Priority priority_of(const Context& ctx, const Request& request, const AdmissionControlOptions& options);

/// The Context within has the request's priority. A request has its place until its handler returns; a
/// streamed body is written without one, so that idle event streams do not use them up.
Middleware admission_control(resilience::AdmissionGate& gate, AdmissionControlOptions options = {});

}  // namespace holdfast::http
