// Stock over HTTP: /v1/stock/{sku}.
#pragma once

#include "holdfast/http/router.hpp"
#include "holdfast/idempotency/idempotency.hpp"
#include "holdfast/sql/database.hpp"

namespace holdfast::orders::inventory {

/// Both are borrowed by the routes.
void add_routes(http::Router& router, sql::Database& database, idempotency::Idempotency& idempotency);

}  // namespace holdfast::orders::inventory
