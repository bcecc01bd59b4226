#include <map>

#include "orders/modules/payments/payment_rows.hpp"
#include "orders/modules/payments/payment_states.hpp"

namespace holdfast::orders::payments {
namespace {

std::optional<Payment> as_payment(std::optional<PaymentRow> row) {
  if (!row) return std::nullopt;
  return to_payment(std::move(*row));
}

bool in_flight(PaymentState state) { return is_unknown(state) || state == PaymentState::requested; }

/// What of one entry of the provider's book does not fit ours.
void compare_one(const Payment& ours, const ProviderPayment& theirs, std::vector<Discrepancy>& found) {
  const auto differs = [&](const char* problem, const Money& here, const Money& there) {
    if (here.minor == there.minor) return;
    found.push_back({theirs.ref, ours.id.text(), problem, here.minor, there.minor});
  };
  differs("captured_differs", ours.captured, theirs.captured);
  differs("refunded_differs", ours.refunded, theirs.refunded);
  const bool held = theirs.status == ProviderStatus::authorized;
  if (held && is_final(ours.state))
    found.push_back({theirs.ref, ours.id.text(), "held_without_order", 0, theirs.amount.minor});
  if (held && in_flight(ours.state))
    found.push_back({theirs.ref, ours.id.text(), "held_and_forgotten", 0, theirs.amount.minor});
}

}  // namespace

Payment to_payment(PaymentRow row) {
  Payment payment;
  payment.id = row.id;
  payment.order_id = row.order_id;
  payment.state = row.state;
  payment.settled_state = row.settled_state;
  payment.amount = {row.amount_minor, row.currency};
  payment.captured = {row.captured_minor, row.currency};
  payment.refunded = {row.refunded_minor, row.currency};
  payment.method = std::move(row.method);
  payment.provider = std::move(row.provider);
  payment.provider_ref = std::move(row.provider_ref);
  payment.authorize_key = std::move(row.authorize_key);
  payment.open_operation = row.open_operation;
  payment.decline_reason = row.decline_reason;
  payment.action_url = std::move(row.action_url);
  payment.unknown_since = row.unknown_since;
  payment.version = row.version;
  payment.created_at = row.created_at;
  payment.updated_at = row.updated_at;
  return payment;
}

std::optional<Payment> find(sql::Queries& db, const OrderId& order_id) {
  return as_payment(db.query_one<PaymentRow>(HOLDFAST_PAYMENT_COLUMNS "where order_id = $1", order_id));
}

std::optional<Payment> find_by_ref(sql::Queries& db, const std::string& provider_ref) {
  return as_payment(
      db.query_one<PaymentRow>(HOLDFAST_PAYMENT_COLUMNS "where provider_ref = $1", provider_ref));
}

std::optional<Payment> find_by_id(sql::Queries& db, const PaymentId& id) {
  return as_payment(db.query_one<PaymentRow>(HOLDFAST_PAYMENT_COLUMNS "where id = $1", id));
}

std::vector<OpenPayment> open_payments(sql::Queries& db, std::int64_t limit) {
  return db.query<OpenPayment>(
      "select id, order_id, state, open_operation, unknown_since, updated_at from payments "
      "where state in ('unknown', 'refund_unknown', 'action_required', 'processing', 'refunding') "
      "order by updated_at limit $1",
      limit);
}

std::vector<OpenPayment> refunding_payments(sql::Queries& db, WallTime before, std::int64_t limit) {
  return db.query<OpenPayment>(
      "select id, order_id, state, open_operation, unknown_since, updated_at from payments "
      "where state = 'refunding' and updated_at < $1 order by updated_at limit $2",
      before, limit);
}

UnknownPayments unknown_payments(sql::Queries& db) {
  return db
      .query_one<UnknownPayments>(
          "select count(unknown_since) as count, min(unknown_since) as oldest from payments "
          "where state in ('unknown', 'refund_unknown', 'action_required', 'processing', 'refunding')")
      .value();
}

std::vector<StateCount> count_by_state(sql::Queries& db) {
  return db.query<StateCount>("select state, count(*) as count from payments group by state order by state");
}

std::vector<Discrepancy> compare(sql::Queries& db, std::span<const ProviderPayment> book, WallTime now) {
  std::vector<Discrepancy> found;
  for (const ProviderPayment& theirs : book) {
    auto ours = find_by_ref(db, theirs.ref);
    if (!ours && theirs.payment_id) ours = find_by_id(db, *theirs.payment_id);
    const bool money = theirs.status == ProviderStatus::authorized || theirs.captured.minor > 0;
    if (!ours) {
      if (money) found.push_back({theirs.ref, "", "not_here", 0, theirs.amount.minor});
      continue;
    }
    const bool recent = now - ours->updated_at < kInFlightAtMost;
    if (!in_flight(ours->state) || !recent) compare_one(*ours, theirs, found);
  }
  return found;
}

}  // namespace holdfast::orders::payments
