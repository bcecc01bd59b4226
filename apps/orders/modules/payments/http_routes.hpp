// Payments over HTTP: an order's payment, the reconciliation, and the provider's webhooks.
#pragma once

#include "holdfast/http/router.hpp"
#include "holdfast/observe/log.hpp"
#include "orders/modules/payments/payments.hpp"

namespace holdfast::orders::payments {

/// GET /v1/orders/{id}/payment and GET /v1/ops/payments/reconciliation. All are borrowed by the routes.
void add_routes(http::Router& router, sql::Database& database, Payments& payments);

/// What a webhook's route needs; borrowed, but for the values.
struct WebhookParts {
  Payments& payments;
  observe::Logger logger;
  StripeSettings stripe;
  OnPaymentEvent told;  ///< runs in the transaction that records the event
};

/// POST /v1/webhooks/payments, for whoever can sign: no API key. Answers 200 to what is genuine and handled,
/// handled before, or of no interest; 400 to what is not genuine (bad_signature, stale_signature); 503 where
/// the provider should send it again.
void add_webhook_route(http::Router& router, WebhookParts parts);

}  // namespace holdfast::orders::payments
