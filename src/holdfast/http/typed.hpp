// Handlers in the terms of the domain: what a function takes and returns says how a request is read,
// checked, answered, and documented.
//
//   route(router, Method::post, "/v1/orders", {.name = "placeOrder", .scope = "write"},
//         [&](const Context& ctx, Body<PlaceOrder> body) -> Created<Order> {
//           Order order = ordering.place(ctx, body.value);
//           return {order, "/v1/orders/" + order.id.text()};
//         });
//
// Parameters, in any order and each at most once: const Context&, Path<T>, Query<T>, Body<T>, Request&.
// Every fault of path, query and body is listed in one answer. Thread-safety: as the Router's.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "holdfast/http/operation.hpp"
#include "holdfast/http/parameters.hpp"
#include "holdfast/http/problem.hpp"
#include "holdfast/http/router.hpp"

namespace holdfast::http {

/// The {parameters} of the pattern; T has a member for each.
template <class T>
struct Path {
  T value{};
  const T* operator->() const noexcept { return &value; }
};

/// The query string. Without it a route does not look at its query string.
template <class T>
struct Query {
  T value{};
  const T* operator->() const noexcept { return &value; }
};

/// The JSON body. `raw` is what was sent, for as long as the handler runs.
template <class T>
struct Body {
  T value{};
  std::string_view raw;
  const T* operator->() const noexcept { return &value; }
};

/// 201 with where the new thing is.
template <class T>
struct Created {
  T value{};
  std::string location;
};

/// 202: it will be done; `location`, where set, is where to ask.
template <class T>
struct Accepted {
  T value{};
  std::string location = {};
};

/// 200 with headers of its own: an ETag, Cache-Control.
template <class T>
struct Reply {
  T value{};
  std::vector<ResponseHeader> headers = {};
};

/// 204.
struct NoContent {};

namespace binding {

/// Throws HttpError(415) where the body is compressed or coded otherwise: nobody here decodes it.
void require_uncoded(const Request& request);

/// Throws HttpError(415) unless the request's Content-Type is JSON, and uncoded. `merge_patch`:
/// application/merge-patch+json (RFC 7396) will do too.
void require_json(const Request& request, bool merge_patch);

/// Parses the body within limits. Throws as JsonDocument::parse.
JsonDocument parse_body(const Request& request);

/// Throws Error(invalid_argument) naming the pattern where its parameters are not exactly `names`.
void require_same_parameters(std::string_view pattern, const std::vector<std::string_view>& names);

/// How a handler's parameter of type T is read from a request, and what it says of the operation.
template <class T>
struct Argument;

template <>
struct Argument<Context> {
  void read(const Context& ctx, Request&, Violations&) { context = &ctx; }
  const Context& get() { return *context; }
  static void describe(Operation&, std::string_view) {}
  const Context* context = nullptr;
};

template <>
struct Argument<Request> {
  void read(const Context&, Request& given, Violations&) { request = &given; }
  Request& get() { return *request; }
  static void describe(Operation&, std::string_view) {}
  Request* request = nullptr;
};

template <class T>
struct Argument<Path<T>> {
  void read(const Context&, Request& request, Violations& faults) { read_path(request, path.value, faults); }
  Path<T>&& get() { return std::move(path); }
  static void describe(Operation& operation, std::string_view pattern) {
    std::vector<std::string_view> names;
    for_each_member_info<T>([&](auto member) { names.push_back(member.json_name); });
    require_same_parameters(pattern, names);
    operation.path = &parameter_schemas<T>;
  }
  Path<T> path;
};

template <class T>
struct Argument<Query<T>> {
  void read(const Context&, Request& request, Violations& faults) {
    read_query(request, query.value, faults);
  }
  Query<T>&& get() { return std::move(query); }
  static void describe(Operation& operation, std::string_view) { operation.query = &parameter_schemas<T>; }
  Query<T> query;
};

template <class T>
struct Argument<Body<T>> {
  void read(const Context&, Request& request, Violations& faults) {
    require_json(request, request.method == Method::patch);
    body.raw = request.body;
    const JsonDocument document = parse_body(request);
    read_json(document.root(), body.value, faults);
  }
  Body<T>&& get() { return std::move(body); }
  static void describe(Operation& operation, std::string_view) {
    operation.body = [](SchemaRegistry& schemas) { return json_schema<T>(schemas); };
  }
  Body<T> body;
};

/// How what a handler returns becomes a response, and what it says of the operation.
template <class T>
struct Answer {
  static Response make(const T& value) { return Response::json(200, to_json(value)); }
  static void describe(Operation& operation) {
    operation.answer = [](SchemaRegistry& schemas) { return json_schema<T>(schemas); };
  }
};

template <class T>
struct Answer<Created<T>> {
  static Response make(const Created<T>& created) {
    return Response::json(201, to_json(created.value)).set("Location", created.location);
  }
  static void describe(Operation& operation) {
    Answer<T>::describe(operation);
    operation.status = 201;
    operation.location = true;
  }
};

template <class T>
struct Answer<Accepted<T>> {
  static Response make(const Accepted<T>& accepted) {
    Response response = Response::json(202, to_json(accepted.value));
    if (!accepted.location.empty()) response.set("Location", accepted.location);
    return response;
  }
  static void describe(Operation& operation) {
    Answer<T>::describe(operation);
    operation.status = 202;
    operation.location = true;
  }
};

template <class T>
struct Answer<Reply<T>> {
  static Response make(const Reply<T>& reply) {
    Response response = Response::json(200, to_json(reply.value));
    for (const ResponseHeader& header : reply.headers) response.set(header.name, header.value);
    return response;
  }
  static void describe(Operation& operation) { Answer<T>::describe(operation); }
};

template <>
struct Answer<NoContent> {
  static Response make(NoContent) { return Response(204); }
  static void describe(Operation& operation) { operation.status = 204; }
};

template <>
struct Answer<Response> {
  static Response make(Response response) { return response; }
  static void describe(Operation&) {}
};

template <class Result, class... Parameters>
struct Signature {
  template <class F>
  static Handler handler(F function) {
    return [function = std::move(function)](const Context& ctx, Request& request) -> Response {
      std::tuple<Argument<std::remove_cvref_t<Parameters>>...> arguments;
      return std::apply(
          [&](auto&... argument) -> Response {
            Violations faults;
            (argument.read(ctx, request, faults), ...);
            faults.throw_if_any();
            return Answer<Result>::make(function(argument.get()...));
          },
          arguments);
    };
  }

  static std::shared_ptr<const Operation> operation([[maybe_unused]] std::string_view pattern) {
    auto made = std::make_shared<Operation>();
    (Argument<std::remove_cvref_t<Parameters>>::describe(*made, pattern), ...);
    Answer<Result>::describe(*made);
    return made;
  }
};

template <class F>
struct SignatureOf : SignatureOf<decltype(&F::operator())> {};
template <class Result, class... Parameters>
struct SignatureOf<Result (*)(Parameters...)> {
  using type = Signature<Result, Parameters...>;
};
template <class Owner, class Result, class... Parameters>
struct SignatureOf<Result (Owner::*)(Parameters...) const> {
  using type = Signature<Result, Parameters...>;
};

}  // namespace binding

/// Adds a typed handler to `router`. Throws as Router::add does, and Error(invalid_argument) where
/// Path<T> and the pattern differ. `function` is called from all loops at once.
template <class F>
const Route& route(Router& router, Method method, std::string pattern, RouteInfo info, F function,
                   std::vector<Middleware> middlewares = {}) {
  using Signature = typename binding::SignatureOf<F>::type;
  info.operation = Signature::operation(pattern);
  return router.add(method, std::move(pattern), Signature::handler(std::move(function)), std::move(info),
                    std::move(middlewares));
}

}  // namespace holdfast::http
