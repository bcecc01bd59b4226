#include "holdfast/http/cors.hpp"

#include <algorithm>
#include <utility>

namespace holdfast::http {
namespace {

std::string joined(const std::vector<std::string>& parts) {
  std::string all;
  for (const std::string& part : parts) all.append(all.empty() ? "" : ", ").append(part);
  return all;
}

class Cors {
 public:
  explicit Cors(CorsOptions options)
      : options_(std::move(options)),
        any_(std::find(options_.origins.begin(), options_.origins.end(), "*") != options_.origins.end()),
        methods_(joined(options_.methods)),
        request_headers_(joined(options_.request_headers)),
        exposed_headers_(joined(options_.exposed_headers)),
        max_age_(std::to_string(options_.max_age.count())) {
    if (any_ && options_.credentials) {
      throw Error(ErrorCode::invalid_argument,
                  "CORS can't allow credentials to any origin: list the origins.");
    }
  }

  Response operator()(const Context& ctx, Request& request, const Next& next) const {
    const std::string_view origin = request.header("Origin");
    const bool allowed =
        !origin.empty() && (any_ || std::find(options_.origins.begin(), options_.origins.end(), origin) !=
                                        options_.origins.end());
    const bool preflight =
        request.method == Method::options && allowed && request.has_header("Access-Control-Request-Method");
    Response response = preflight ? Response(204) : next(ctx, request);
    if (!any_) response.add_token("Vary", "Origin");  // caches must tell origins apart, also the refused
    if (!allowed) return response;
    response.set("Access-Control-Allow-Origin", any_ ? "*" : origin);
    if (options_.credentials) response.set("Access-Control-Allow-Credentials", "true");
    if (preflight) {
      response.set("Access-Control-Allow-Methods", methods_);
      response.set("Access-Control-Allow-Headers", request_headers_);
      response.set("Access-Control-Max-Age", max_age_);
    } else {
      response.set("Access-Control-Expose-Headers", exposed_headers_);
    }
    return response;
  }

 private:
  CorsOptions options_;
  bool any_;
  std::string methods_;
  std::string request_headers_;
  std::string exposed_headers_;
  std::string max_age_;
};

}  // namespace

Middleware cors(CorsOptions options) { return Cors(std::move(options)); }

}  // namespace holdfast::http
