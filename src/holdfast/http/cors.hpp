// Cross-origin requests from browsers (the Fetch standard's CORS protocol): which origins' pages may
// read our answers. Nothing is allowed that isn't listed.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "holdfast/http/route.hpp"

namespace holdfast::http {

struct CorsOptions {
  std::vector<std::string> origins;  ///< "https://shop.example"; "*" alone: any, then without credentials
  std::vector<std::string> methods = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"};
  std::vector<std::string> request_headers = {"Authorization", "Content-Type",  "Idempotency-Key",
                                              "If-Match",      "If-None-Match", "X-Request-Id"};
  std::vector<std::string> exposed_headers = {"ETag", "Location", "Retry-After", "X-Request-Id",
                                              "Idempotent-Replayed"};
  bool credentials = false;                                 ///< cookies and the like; not together with "*"
  std::chrono::seconds max_age = std::chrono::minutes(10);  ///< how long a browser remembers a preflight
};

/// Throws Error(invalid_argument) for credentials together with "*".
Middleware cors(CorsOptions options);

}  // namespace holdfast::http
