// The Order System's API as the replay sees it: a request, an answer. The port has one adapter over
// HTTP (http_api.hpp); tests pass their own.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "holdfast/http/request.hpp"
#include "holdfast/runtime/context.hpp"

namespace holdfast::cli {

struct ApiRequest {
  http::Method method = http::Method::get;
  std::string target;     ///< "/v1/orders?limit=200"
  std::string body = {};  ///< empty: none
  std::string content_type = "application/json";
  std::string idempotency_key = {};  ///< empty: none
};

struct ApiAnswer {
  int status = 0;
  std::string body;
  std::optional<Duration> retry_after = {};
  bool replayed = false;  ///< Idempotent-Replayed: true
};

class Api {
 public:
  virtual ~Api() = default;
  /// Throws Error(unavailable / deadline_exceeded) where there was no answer.
  virtual ApiAnswer call(const Context& ctx, const ApiRequest& request) = 0;
};

/// The problem's `code` and `detail`, or the status and the body's beginning where it is no problem.
struct Refusal {
  std::string code;
  std::string detail;
};
Refusal refusal_of(const ApiAnswer& answer);

/// Throws Error: unauthenticated or permission_denied for 401 and 403, which no retry mends; unavailable
/// for another answer than `wanted`. `doing` completes "… was refused": "listing the orders".
void require_status(const ApiAnswer& answer, int wanted, std::string_view doing);

}  // namespace holdfast::cli
