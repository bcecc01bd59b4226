#include "holdfast/http/admission.hpp"

#include <utility>

#include "holdfast/base/error.hpp"
#include "holdfast/http/problem.hpp"

namespace holdfast::http {

Middleware admission_control(resilience::AdmissionGate& gate, AdmissionControlOptions options) {
  return [&gate, options = std::move(options)](const Context& ctx, Request& request, const Next& next) {
    if (options.exempt && options.exempt(ctx, request)) return next(ctx, request);
    const resilience::AdmissionGate::Entry entry = gate.enter(ctx);
    if (entry) return next(ctx, request);
    return problem_response(
        ctx, request,
        Error(ErrorCode::unavailable,
              "The service has as much to do as it can; nothing was done. Try again after Retry-After.")
            .reason("overloaded")
            .retry_after(entry.retry_after()));
  };
}

}  // namespace holdfast::http
