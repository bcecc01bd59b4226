#include "holdfast/http/identity.hpp"

namespace holdfast::http {

Middleware request_identity() {
  return [](const Context& ctx, Request& request, const Next& next) {
    Response response = next(ctx, request);
    response.set("X-Request-Id", ctx.request_id());
    return response;
  };
}

}  // namespace holdfast::http
