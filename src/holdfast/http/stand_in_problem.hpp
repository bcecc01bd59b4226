#pragma once
// Until problem.hpp is there.
#include "holdfast/base/error.hpp"
#include "holdfast/http/refusal.hpp"
#include "holdfast/http/response.hpp"

namespace holdfast::http {

inline int status_of(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::invalid_argument: return 400;
    case ErrorCode::unauthenticated: return 401;
    case ErrorCode::permission_denied: return 403;
    case ErrorCode::not_found: return 404;
    case ErrorCode::conflict: return 409;
    case ErrorCode::failed_precondition: return 412;
    case ErrorCode::too_large: return 413;
    case ErrorCode::unprocessable: return 422;
    case ErrorCode::rate_limited: return 429;
    case ErrorCode::cancelled: return 499;
    case ErrorCode::internal: return 500;
    case ErrorCode::unimplemented: return 501;
    case ErrorCode::unavailable: return 503;
    case ErrorCode::deadline_exceeded: return 504;
  }
  return 500;
}

inline Response problem_response(const Error& error, const Context&) {
  return refusal_response(status_of(error.code()), error.reason(), error.detail());
}

}  // namespace holdfast::http
