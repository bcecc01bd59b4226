// A bound on requests at work, as a middleware: beyond it they wait in line for a moment, beyond that
// they get 503 with Retry-After, and the connection stays usable. What keeps an overloaded server
// answering.
//
//   AdmissionGate gate("http", {.max_running = 256, .max_waiting = 1024, .max_wait = 1s}, clock, metrics);
//   router.use(admission_control(gate, {.exempt = [](auto&, auto& r) { return r.path.starts_with("/health/");
//   }}));
//
// Thread-safety: the middleware may run on all loops. `gate` must outlive the router.
#pragma once

#include <functional>

#include "holdfast/http/route.hpp"
#include "holdfast/resilience/admission.hpp"

namespace holdfast::http {

struct AdmissionControlOptions {
  /// Requests that pass without a place: health, metrics. None unless set.
  std::function<bool(const Context&, const Request&)> exempt{};
};

/// A request has its place until its handler returns; a streamed body is written without one, so that
/// idle event streams do not use them up.
Middleware admission_control(resilience::AdmissionGate& gate, AdmissionControlOptions options = {});

}  // namespace holdfast::http
