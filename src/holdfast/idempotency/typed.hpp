// Typed handlers (http/typed.hpp) that are idempotent: what the function does happens in one transaction,
// together with the record of its answer.
//
//   idempotency::route(router, keys, Method::post, "/v1/orders",
//       {.name = "placeOrder", .scope = "write", .idempotency = http::Idempotency::required}, "place order",
//       [&](const Context& ctx, sql::Transaction& tx, const Body<PlaceOrder>& body) -> Created<Order> {
//         return …;
//       });
//
// Path, query and body are read and checked before the transaction: what is wrong with them is not
// stored. The function must not wait and may be run again. Thread-safety: as the Router's.
#pragma once

#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "holdfast/http/typed.hpp"
#include "holdfast/idempotency/idempotency.hpp"

namespace holdfast::idempotency {

namespace typed {

/// What a function of (const Context&, sql::Transaction&, const Path/Query/Body<T>& …) needs.
template <class Result, class First, class Second, class... Parameters>
struct Signature {
  static_assert(std::is_same_v<First, const Context&> && std::is_same_v<Second, sql::Transaction&>,
                "An idempotent handler takes (const Context&, sql::Transaction&, …).");
  static_assert((!std::is_rvalue_reference_v<Parameters> && ...),
                "It may run again: it can't take && parameters.");
  using Values = std::tuple<std::remove_cvref_t<Parameters>...>;

  template <class F>
  static Prepare prepare(F function) {
    // Shared with the effects made of it, which are gone before the handler is; but an effect is copied.
    auto shared = std::make_shared<const F>(std::move(function));
    return [shared](const Context& ctx, http::Request& request) -> Effect {
      std::tuple<http::binding::Argument<std::remove_cvref_t<Parameters>>...> arguments;
      Violations faults;
      auto values = std::apply(
          [&](auto&... argument) {
            (argument.read(ctx, request, faults), ...);
            faults.throw_if_any();
            return std::make_shared<const Values>(argument.get()...);
          },
          arguments);
      return [shared, values](const Context& inner, sql::Transaction& tx) {
        return http::binding::Answer<Result>::make(
            std::apply([&](const auto&... value) { return (*shared)(inner, tx, value...); }, *values));
      };
    };
  }

  static std::shared_ptr<const http::Operation> operation([[maybe_unused]] std::string_view pattern) {
    auto made = std::make_shared<http::Operation>();
    (http::binding::Argument<std::remove_cvref_t<Parameters>>::describe(*made, pattern), ...);
    http::binding::Answer<Result>::describe(*made);
    return made;
  }
};

template <class F>
struct SignatureOf : SignatureOf<decltype(&F::operator())> {};
template <class Owner, class Result, class... Parameters>
struct SignatureOf<Result (Owner::*)(Parameters...) const> {
  using type = Signature<Result, Parameters...>;
};

}  // namespace typed

/// Adds such a handler. `name` is a literal: the transaction's. Throws as http::route().
template <class F>
const http::Route& route(http::Router& router, Idempotency& idempotency, http::Method method,
                         std::string pattern, http::RouteInfo info, const char* name, F function,
                         std::vector<http::Middleware> middlewares = {}) {
  using Signature = typename typed::SignatureOf<F>::type;
  info.operation = Signature::operation(pattern);
  return router.add(method, std::move(pattern),
                    idempotency.transactional(name, Signature::prepare(std::move(function))), std::move(info),
                    std::move(middlewares));
}

}  // namespace holdfast::idempotency
