// Headers that keep browsers from guessing, framing and leaking (OWASP Secure Headers). A header the
// handler has set stays.
#pragma once

#include <string>

#include "holdfast/http/route.hpp"

namespace holdfast::http {

struct SecurityHeadersOptions {
  /// For everything but text/html, whose pages state their own.
  std::string content_security_policy = "default-src 'none'; frame-ancestors 'none'";
  /// "max-age=31536000" where TLS is terminated in front of us; none if empty.
  std::string strict_transport_security;
};

Middleware security_headers(SecurityHeadersOptions options = {});

}  // namespace holdfast::http
