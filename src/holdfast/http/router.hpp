// Finds the handler for a request. Patterns are made of segments: "/v1/orders/{id}/events". A literal
// segment is preferred to a {parameter}; a last "{name...}" takes all the rest of the path.
//
//   Router router;
//   router.use(access_log(...));                          // outermost first
//   router.get("/v1/orders/{id}", [&](const Context& ctx, Request& request) { ... });
//
// A path that has routes but none for the method: 405 with Allow; OPTIONS: 204 with Allow; HEAD is
// served by GET without the body; a path that has none: 404. All of them pass the global middlewares.
// Thread-safety: filled by one thread; once sealed (a Server does it) immutable, used from all loops.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/http/route.hpp"

namespace holdfast::http {

class Router {
 public:
  Router();
  ~Router();
  Router(Router&&) noexcept;
  Router& operator=(Router&&) noexcept;

  /// Adds a middleware around everything, 404s included. The first one added is the outermost.
  void use(Middleware middleware);

  /// Throws Error(invalid_argument), naming both, where `pattern` is malformed, is taken for this
  /// method, or names a parameter otherwise than another route does at the same place; and where
  /// `info.name` is taken.
  const Route& add(Method method, std::string pattern, Handler handler, RouteInfo info = {},
                   std::vector<Middleware> middlewares = {});
  const Route& get(std::string pattern, Handler handler, RouteInfo info = {},
                   std::vector<Middleware> middlewares = {});
  const Route& post(std::string pattern, Handler handler, RouteInfo info = {},
                    std::vector<Middleware> middlewares = {});
  const Route& put(std::string pattern, Handler handler, RouteInfo info = {},
                   std::vector<Middleware> middlewares = {});
  const Route& patch(std::string pattern, Handler handler, RouteInfo info = {},
                     std::vector<Middleware> middlewares = {});
  const Route& remove(std::string pattern, Handler handler, RouteInfo info = {},
                      std::vector<Middleware> middlewares = {});  ///< DELETE

  /// In the order added.
  const std::vector<std::unique_ptr<Route>>& routes() const noexcept;

  /// Builds the chains; nothing can be added afterwards. Idempotent.
  void seal();

  /// Sets request.route and request.path_parameters. False where no route fits; handle() will then
  /// answer 404, 405 or OPTIONS.
  bool match(Request& request) const;

  /// Runs the middlewares and the handler of the request. Matches it first unless match() was called.
  /// What they throw comes out. The router must be sealed.
  Response handle(const Context& ctx, Request& request) const;

  /// Runs the global middlewares around an answer that was decided before the handler (a body that is
  /// too large, an overload): `error` is thrown where the handler would run.
  Response refuse(const Context& ctx, Request& request, const Error& error) const;

  /// "GET, HEAD, OPTIONS, POST" for the request's path; empty where it has no routes.
  std::string allowed_methods(std::string_view raw_path) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace holdfast::http
