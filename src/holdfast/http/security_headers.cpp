#include "holdfast/http/security_headers.hpp"

#include <utility>

namespace holdfast::http {

Middleware security_headers(SecurityHeadersOptions options) {
  return [options = std::move(options)](const Context& ctx, Request& request, const Next& next) {
    Response response = next(ctx, request);
    const auto add = [&](std::string_view name, std::string_view value) {
      if (!value.empty() && !response.has_header(name)) response.add(name, value);
    };
    add("X-Content-Type-Options", "nosniff");
    add("X-Frame-Options", "DENY");
    add("Referrer-Policy", "no-referrer");
    add("Cross-Origin-Resource-Policy", "same-origin");
    if (!response.content_type().starts_with("text/html"))
      add("Content-Security-Policy", options.content_security_policy);
    add("Strict-Transport-Security", options.strict_transport_security);
    return response;
  };
}

}  // namespace holdfast::http
