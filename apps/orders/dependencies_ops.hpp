// What operators see of the services that this one depends on, and how they switch them off and on:
// GET /v1/ops/dependencies, POST /v1/ops/dependencies/{name}/open|close|reset. For order_system.cpp.
#pragma once

#include "holdfast/http/router.hpp"
#include "holdfast/resilience/dependencies.hpp"

namespace holdfast::orders {

/// Both are borrowed by the routes.
void add_dependency_routes(http::Router& router, resilience::Dependencies& dependencies, const Clock& clock);

}  // namespace holdfast::orders
