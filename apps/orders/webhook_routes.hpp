// The API of outgoing webhooks: subscribers, their deliveries, and sending again. For administrators.
//
//   add_webhook_routes(router, *database, *idempotency, subscribers, deliveries);
//
// Thread-safety: as the Router's.
#pragma once

#include "holdfast/http/router.hpp"
#include "holdfast/idempotency/idempotency.hpp"
#include "holdfast/sql/database.hpp"
#include "holdfast/webhooks/deliveries.hpp"
#include "holdfast/webhooks/subscribers.hpp"

namespace holdfast::orders {

/// All but the router must outlive its handlers.
void add_webhook_routes(http::Router& router, sql::Database& database, idempotency::Idempotency& idempotency,
                        webhooks::Subscribers& subscribers, webhooks::Deliveries& deliveries);

}  // namespace holdfast::orders
