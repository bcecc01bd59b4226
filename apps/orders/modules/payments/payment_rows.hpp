// Payments as rows. (The module's own.)
#pragma once

#include "orders/modules/payments/payments.hpp"

namespace holdfast::orders::payments {

struct PaymentRow {
  PaymentId id;
  OrderId order_id;
  PaymentState state = PaymentState::requested;
  PaymentState settled_state = PaymentState::requested;
  std::int64_t amount_minor = 0;
  std::int64_t captured_minor = 0;
  std::int64_t refunded_minor = 0;
  Currency currency;
  std::string method;
  std::string provider;
  std::optional<std::string> provider_ref;
  std::string authorize_key;
  std::optional<Operation> open_operation;
  std::optional<DeclineReason> decline_reason;
  std::optional<std::string> action_url;
  std::optional<WallTime> unknown_since;
  std::int64_t version = 0;
  WallTime created_at;
  WallTime updated_at;
};
HOLDFAST_DESCRIBE(PaymentRow,
                  (id, order_id, state, settled_state, amount_minor, captured_minor, refunded_minor, currency,
                   method, provider, provider_ref, authorize_key, open_operation, decline_reason, action_url,
                   unknown_since, version, created_at, updated_at))

#define HOLDFAST_PAYMENT_COLUMNS                                                                        \
  "select id, order_id, state, settled_state, amount_minor, captured_minor, refunded_minor, currency, " \
  "method, provider, provider_ref, authorize_key, open_operation, decline_reason, action_url, "         \
  "unknown_since, version, created_at, updated_at from payments "

Payment to_payment(PaymentRow row);
std::optional<Payment> find_by_ref(sql::Queries& db, const std::string& provider_ref);
std::optional<Payment> find_by_id(sql::Queries& db, const PaymentId& id);

}  // namespace holdfast::orders::payments
