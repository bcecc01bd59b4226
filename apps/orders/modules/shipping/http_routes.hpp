// Shipments over HTTP: GET /v1/orders/{id}/shipment, with the scope `read`.
#pragma once

#include "holdfast/http/router.hpp"
#include "holdfast/sql/database.hpp"

namespace holdfast::orders::shipping {

/// `database` is borrowed by the routes.
void add_routes(http::Router& router, sql::Database& database);

}  // namespace holdfast::orders::shipping
