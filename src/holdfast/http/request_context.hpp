// What a request's headers say about the Context it is to be served in: traceparent, X-Request-Id,
// X-Deadline (Unix milliseconds), Request-Timeout and X-Request-Timeout (seconds, a fraction allowed),
// grpc-timeout (1 to 8 digits and a unit: H, M, S, m, u, n), X-Priority (critical, normal, background).
// A header that is malformed is ignored: none of them may make a request fail.
//
// Thread-safety: a pure function of its arguments.
#pragma once

#include "holdfast/base/random.hpp"
#include "holdfast/http/request.hpp"
#include "holdfast/runtime/context.hpp"

namespace holdfast::http {

/// The request's trace continues the caller's (or starts one); its id is the caller's where that is 1-128
/// characters of [A-Za-z0-9._:/+=-], else a new one; its deadline is the earliest of `deadline` and
/// what the headers ask for. `now` is the present instant of `clock`.
Context::Request read_context(const Request& request, const Clock& clock, Instant now, Instant deadline,
                              Random& random);

}  // namespace holdfast::http
