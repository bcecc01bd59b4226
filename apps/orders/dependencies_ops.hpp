// What operators see of the services that this one depends on, and how they switch them off and on:
// GET /v1/ops/dependencies, POST /v1/ops/dependencies/{name}/open|close|reset. For order_system.cpp.
#pragma once

#include "holdfast/http/router.hpp"
#include "holdfast/observe/health.hpp"
#include "holdfast/resilience/dependencies.hpp"

namespace holdfast::orders {

/// Degraded where one of them is left in peace, naming each: what needs it waits or is refused.
observe::HealthState dependencies_health(const resilience::Dependencies& dependencies);

/// Both are borrowed by the routes.
void add_dependency_routes(http::Router& router, resilience::Dependencies& dependencies, const Clock& clock);

}  // namespace holdfast::orders
