// Tells the client what its request is called here: X-Request-Id, as in every log line of it. The id
// and the trace themselves are put into the Context by the server before any middleware runs.
#pragma once

#include "holdfast/http/route.hpp"

namespace holdfast::http {

/// The outermost middleware.
Middleware request_identity();

}  // namespace holdfast::http
