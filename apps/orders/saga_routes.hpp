// What operators see of sagas and do about them: GET /v1/ops/sagas, GET /v1/ops/sagas/{id},
// POST /v1/ops/sagas/{id}/retry and …/abandon.
#pragma once

#include "holdfast/http/router.hpp"
#include "holdfast/saga/sagas.hpp"

namespace holdfast::orders {

/// `records` is borrowed by the routes: Sagas::records(), so that a retry is seen at once.
void add_saga_routes(http::Router& router, saga::Records& records);

}  // namespace holdfast::orders
