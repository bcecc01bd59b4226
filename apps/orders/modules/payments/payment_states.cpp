#include "orders/modules/payments/payment_states.hpp"

namespace holdfast::orders::payments {
namespace {

/// How far along the way to being paid, and back.
int rank_of(PaymentState state) noexcept {
  switch (state) {
    case PaymentState::requested:
    case PaymentState::unknown: return 0;
    case PaymentState::action_required:
    case PaymentState::processing: return 1;
    case PaymentState::authorized: return 2;
    case PaymentState::declined:
    case PaymentState::cancelled: return 3;
    case PaymentState::captured:
    case PaymentState::refund_unknown: return 4;
    case PaymentState::refunding: return 5;
    case PaymentState::refunded: return 6;
  }
  return 0;
}

bool money_moved(PaymentState state) noexcept { return rank_of(state) >= 4; }

}  // namespace

bool is_final(PaymentState state) noexcept {
  return state == PaymentState::declined || state == PaymentState::cancelled ||
         state == PaymentState::refunded;
}

bool is_unknown(PaymentState state) noexcept {
  return state == PaymentState::unknown || state == PaymentState::refund_unknown;
}

Step step_between(PaymentState from, PaymentState to) noexcept {
  if (from == to) return Step::same;
  if (to == PaymentState::declined) {
    if (rank_of(from) <= 1) return Step::forward;
    return from == PaymentState::cancelled ? Step::stale : Step::conflict;
  }
  if (to == PaymentState::cancelled) {
    if (rank_of(from) <= 2) return Step::forward;
    return from == PaymentState::declined ? Step::stale : Step::conflict;
  }
  if (from == PaymentState::declined) return rank_of(to) <= 1 ? Step::stale : Step::conflict;
  if (from == PaymentState::cancelled) return money_moved(to) ? Step::conflict : Step::stale;
  if (rank_of(to) > rank_of(from)) return Step::forward;
  return rank_of(to) == rank_of(from) ? Step::conflict : Step::stale;
}

PaymentState state_of(const ProviderPayment& seen) noexcept {
  switch (seen.status) {
    case ProviderStatus::declined: return PaymentState::declined;
    case ProviderStatus::action_required: return PaymentState::action_required;
    case ProviderStatus::processing: return PaymentState::processing;
    case ProviderStatus::authorized: return PaymentState::authorized;
    case ProviderStatus::cancelled: return PaymentState::cancelled;
    case ProviderStatus::captured: break;
  }
  if (seen.captured.minor > 0 && seen.refunded.minor >= seen.captured.minor) return PaymentState::refunded;
  return seen.refunding.minor > 0 ? PaymentState::refunding : PaymentState::captured;
}

bool moves(PaymentState from, PaymentState to, bool newest) noexcept {
  switch (step_between(from, to)) {
    case Step::forward: return true;
    case Step::same: return false;
    // A refund that failed: the money is ours again.
    case Step::stale: return newest && from == PaymentState::refunding && to == PaymentState::captured;
    // Money that moved is written down whatever we thought; a bank and a customer may take turns.
    case Step::conflict: return money_moved(to) ? !money_moved(from) : newest && rank_of(from) == 1;
  }
  return false;
}

ProviderPayment as_known(const Payment& payment) {
  ProviderPayment known;
  known.ref = payment.provider_ref.value_or("");
  known.amount = payment.amount;
  known.captured = payment.captured;
  known.refunded = payment.refunded;
  known.refunding = {0, payment.amount.currency};
  known.decline = payment.decline_reason;
  known.action_url = payment.action_url;
  known.payment_id = payment.id;
  known.key = payment.authorize_key;
  switch (payment.settled_state) {
    case PaymentState::declined: known.status = ProviderStatus::declined; break;
    case PaymentState::action_required: known.status = ProviderStatus::action_required; break;
    case PaymentState::authorized: known.status = ProviderStatus::authorized; break;
    case PaymentState::cancelled: known.status = ProviderStatus::cancelled; break;
    case PaymentState::refunding:
      known.refunding = payment.captured - payment.refunded;
      known.status = ProviderStatus::captured;
      break;
    case PaymentState::captured:
    case PaymentState::refund_unknown:
    case PaymentState::refunded: known.status = ProviderStatus::captured; break;
    case PaymentState::requested:
    case PaymentState::unknown:
    case PaymentState::processing: known.status = ProviderStatus::processing; break;
  }
  return known;
}

}  // namespace holdfast::orders::payments
