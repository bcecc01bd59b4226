// What the modules' HTTP sides share: reading and documenting routes whose effect runs in an idempotent
// transaction, and entity tags of versions.
//
// Thread-safety: pure functions.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "holdfast/http/typed.hpp"

namespace holdfast::orders {

/// The bulkhead (http::RouteInfo::bulkhead) of whatever reads or writes a lot: reports, exports, imports.
inline constexpr const char* kReportsBulkhead = "reports";

/// The JSON body as T. Throws as typed routes do.
template <class T>
T read_body(const http::Request& request) {
  http::binding::require_json(request, false);
  return from_json<T>(http::binding::parse_body(request).root());
}

/// The path's parameters as T. Throws Error(invalid_argument) with every fault.
template <class T>
T read_path(const http::Request& request) {
  T path{};
  Violations faults;
  http::read_path(request, path, faults);
  faults.throw_if_any();
  return path;
}

/// No such type: for operations without it.
struct Nothing {};

/// What a route that reads its request itself says of it in the API's document.
template <class PathT, class BodyT, class AnswerT>
http::RouteInfo described(http::RouteInfo info, int status) {
  auto operation = std::make_shared<http::Operation>();
  if constexpr (!std::is_same_v<PathT, Nothing>) operation->path = &http::parameter_schemas<PathT>;
  if constexpr (!std::is_same_v<BodyT, Nothing>) {
    operation->body = [](SchemaRegistry& schemas) { return json_schema<BodyT>(schemas); };
  }
  if constexpr (!std::is_same_v<AnswerT, Nothing>) {
    operation->answer = [](SchemaRegistry& schemas) { return json_schema<AnswerT>(schemas); };
  }
  operation->status = status;
  operation->location = status == 201;
  info.operation = std::move(operation);
  return info;
}

inline std::string etag_of_version(std::int64_t version) { return "\"" + std::to_string(version) + "\""; }

}  // namespace holdfast::orders
