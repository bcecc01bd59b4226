#include "holdfast/http/admission.hpp"

#include <optional>
#include <utility>

#include "holdfast/base/error.hpp"
#include "holdfast/http/problem.hpp"

namespace holdfast::http {
namespace {

using resilience::AdmissionGate;

Response refused(const Context& ctx, const Request& request, const AdmissionGate::Entry& entry) {
  return problem_response(
      ctx, request,
      Error(ErrorCode::unavailable,
            "The service has as much to do as it can; nothing was done. Try again after Retry-After.")
          .reason("overloaded")
          .retry_after(entry.retry_after()));
}

Response bulkhead_full(const Context& ctx, const Request& request, const AdmissionGate::Entry& entry) {
  return problem_response(ctx, request,
                          Error(ErrorCode::unavailable,
                                "As many requests of this kind are at work as may be; nothing was done. Try "
                                "again after Retry-After.")
                              .reason("bulkhead_full")
                              .retry_after(entry.retry_after()));
}

AdmissionGate* bulkhead_of(const Request& request, const AdmissionControlOptions& options) {
  if (request.route == nullptr || request.route->info.bulkhead.empty()) return nullptr;
  const auto found = options.bulkheads.find(request.route->info.bulkhead);
  if (found != options.bulkheads.end()) return found->second;
  throw Error(ErrorCode::internal, "The request could not be served.")
      .cause("route " + request.route->info.name + " names the bulkhead " + request.route->info.bulkhead +
             ", which does not exist");
}

/// What fails at once says nothing about how long work takes.
Response serve(const Context& ctx, Request& request, const Next& next, AdmissionGate::Entry& entry) {
  try {
    Response response = next(ctx, request);
    if (response.status == 429 || response.status >= 500) entry.do_not_learn();
    return response;
  } catch (...) {
    entry.do_not_learn();
    throw;
  }
}

}  // namespace

Priority priority_of(const Context& ctx, const Request& request, const AdmissionControlOptions& options) {
  const Priority own = request.route == nullptr ? Priority::normal : request.route->info.priority;
  if (ctx.priority() == own || !request.has_header("X-Priority")) return own;
  const bool lower = ctx.priority() > own;  // the enumeration starts with the most important
  return lower || (options.may_raise && options.may_raise(ctx, request)) ? ctx.priority() : own;
}

Middleware admission_control(AdmissionGate& gate, AdmissionControlOptions options) {
  return [&gate, options = std::move(options)](const Context& ctx, Request& request, const Next& next) {
    if (options.exempt && options.exempt(ctx, request)) return next(ctx, request);
    const Priority priority = priority_of(ctx, request, options);
    const Context own = priority == ctx.priority() ? ctx : ctx.with_priority(priority);
    // First the narrow one: who waits there must not hold a common place meanwhile.
    std::optional<AdmissionGate::Entry> bulkhead;
    if (AdmissionGate* const its = bulkhead_of(request, options)) {
      bulkhead.emplace(its->enter(own));
      if (!*bulkhead) return bulkhead_full(own, request, *bulkhead);
    }
    AdmissionGate::Entry entry = gate.enter(own);
    if (!entry) return refused(own, request, entry);
    return serve(own, request, next, entry);
  };
}

}  // namespace holdfast::http
