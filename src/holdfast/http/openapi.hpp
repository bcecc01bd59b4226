// The OpenAPI 3.1 document of a Router, made of the routes' own declarations: what is served and what is
// documented can't drift apart. Hidden routes are left out; routes without described types are listed
// with what their pattern says.
//
//   add_api_pages(router, {.title = "Orders", .version = "1.0.0"});   // last: /openapi.json and /docs
//
// Thread-safety: pure functions.
#pragma once

#include <string>

#include "holdfast/http/router.hpp"

namespace holdfast::http {

struct ApiInfo {
  std::string title;
  std::string version;      ///< of the API
  std::string description;  ///< Markdown
};

/// JSON. Throws Error(internal) where two described types have one name.
std::string openapi_document(const Router& router, const ApiInfo& info);

/// Serves the document of the routes added so far at GET /openapi.json, and an interactive page of it at
/// GET /docs; both to anyone, with an ETag.
void add_api_pages(Router& router, const ApiInfo& info);

}  // namespace holdfast::http
