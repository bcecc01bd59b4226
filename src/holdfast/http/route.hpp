// A Route: a method, a path pattern, a handler, and what is to be known about it. One declaration that
// the router, the limits, the authentication, the idempotency and the OpenAPI document all read.
//
//   router.post("/v1/orders", place_order,
//               {.name = "placeOrder", .summary = "Places an order", .scope = "write",
//                .idempotency = Idempotency::required});
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "holdfast/http/request.hpp"
#include "holdfast/http/response.hpp"
#include "holdfast/runtime/context.hpp"

namespace holdfast::http {

using Handler = std::function<Response(const Context&, Request&)>;

/// The rest of the way to the handler. Call it once, or answer without it.
using Next = std::function<Response(const Context&, Request&)>;

/// Runs around a handler. May change the Context and the request before, and the response after.
using Middleware = std::function<Response(const Context&, Request&, const Next&)>;

/// Whether a route takes an Idempotency-Key.
enum class Idempotency : std::uint8_t { none, optional, required };

/// Parameters and bodies of a route as described types. Made by typed.hpp, read by openapi.hpp.
struct Operation;

struct RouteInfo {
  std::string name;         ///< operation id, unique, camelCase; from method and pattern if empty
  std::string summary;      ///< one line
  std::string description;  ///< Markdown
  std::vector<std::string> tags;
  /// The scope a principal must have; empty: anyone, anonymous included. Enforced by auth's middleware.
  std::string scope;
  Idempotency idempotency = Idempotency::none;
  std::optional<std::size_t> max_body_bytes;  ///< ServerOptions::max_body_bytes unless set
  std::optional<Duration> timeout;            ///< ServerOptions::request_timeout unless set
  /// Under overload the lower ones are shed first. X-Priority may lower it for a request.
  Priority priority = Priority::normal;
  /// The bulkhead it runs in, beside the common bound: AdmissionControlOptions::bulkheads. None if empty.
  std::string bulkhead;
  bool streaming_body = false;  ///< the handler pulls the body through Request::body_reader
  bool hidden = false;          ///< not in the OpenAPI document
  std::vector<int> errors;      ///< statuses it answers beside those that follow from the rest: 409, 412
  std::shared_ptr<const Operation> operation;  ///< shared with the document that is made of it
};

struct Route {
  Method method;
  std::string pattern;
  RouteInfo info;
  std::vector<Middleware> middlewares;  ///< around this handler only, inside the global ones
  Handler handler;
  Handler chain;  ///< all middlewares and the handler; built by Router::seal()
};

}  // namespace holdfast::http
