// What is written down of a payment: opening it, the outcomes of outside calls, the provider's messages.
#include <algorithm>
#include <array>
#include <utility>

#include "orders/modules/payments/meters.hpp"
#include "orders/modules/payments/payment_rows.hpp"
#include "orders/modules/payments/payment_states.hpp"

namespace holdfast::orders::payments {
namespace {

/// Moves `minor` from one account to another, once for that `mark`.
void book(const Context& ctx, sql::Transaction& tx, const Payment& payment, LedgerKind kind,
          const std::string& mark, const std::string& debit, const std::string& credit, std::int64_t minor) {
  LedgerEntry entry;
  entry.transaction_id = payment.id.text() + "." + mark;
  entry.order_id = payment.order_id;
  entry.kind = kind;
  entry.currency = payment.amount.currency;
  entry.at = ctx.clock().wall_now();
  std::array<LedgerEntry, 2> entries{entry, entry};
  entries[0].account = debit;
  entries[0].amount_minor = minor;
  entries[1].account = credit;
  entries[1].amount_minor = -minor;
  post(tx, entries);
}

std::string receivable(const Payment& payment) { return "receivable:" + payment.order_id.text(); }
std::string clearing(const Payment& payment) { return "clearing:" + payment.provider; }

/// The entries for what is new in `after`.
void book_changes(const Context& ctx, sql::Transaction& tx, const Payment& before, const Payment& after) {
  if (const std::int64_t taken = (after.captured - before.captured).minor; taken > 0) {
    book(ctx, tx, after, LedgerKind::capture, "capture." + std::to_string(after.captured.minor),
         clearing(after), receivable(after), taken);
  }
  if (const std::int64_t back = (after.refunded - before.refunded).minor; back > 0) {
    book(ctx, tx, after, LedgerKind::refund, "refund." + std::to_string(after.refunded.minor), "refunds",
         clearing(after), back);
  }
  const bool ended = after.state == PaymentState::declined || after.state == PaymentState::cancelled;
  if (ended && after.state != before.state) {
    book(ctx, tx, after, LedgerKind::void_sale, "void", "sales", receivable(after), after.amount.minor);
  }
}

void update(const Context& ctx, sql::Transaction& tx, Payment& payment) {
  payment.updated_at = ctx.clock().wall_now();
  payment.version += 1;
  const std::int64_t changed = tx.execute(
      "update payments set state = $2, settled_state = $3, captured_minor = $4, refunded_minor = $5, "
      "provider_ref = $6, open_operation = $7, decline_reason = $8, action_url = $9, unknown_since = $10, "
      "version = $11, updated_at = $12 where id = $1 and version = $11 - 1",
      payment.id, payment.state, payment.settled_state, payment.captured.minor, payment.refunded.minor,
      payment.provider_ref, payment.open_operation, payment.decline_reason, payment.action_url,
      payment.unknown_since, payment.version, payment.updated_at);
  if (changed == 1) return;
  throw Error(ErrorCode::internal, "The payment could not be written.")
      .cause(payment.id.text() + " changed within a transaction that had read it");
}

/// Takes what an answer says into `payment`: amounts only grow, and the state is `state`.
void take(Payment& payment, const ProviderPayment& answer, PaymentState state) {
  payment.state = state;
  payment.settled_state = state;
  payment.captured.minor = std::max(payment.captured.minor, answer.captured.minor);
  payment.refunded.minor = std::max(payment.refunded.minor, answer.refunded.minor);
  if (!payment.provider_ref && !answer.ref.empty()) payment.provider_ref = answer.ref;
  if (answer.decline) payment.decline_reason = answer.decline;
  payment.action_url = answer.action_url;
  payment.open_operation.reset();
  payment.unknown_since.reset();
}

/// That an operation may have happened.
void take_unknown(const Context& ctx, Payment& payment, Operation operation) {
  payment.state = payment.captured.minor > 0 ? PaymentState::refund_unknown : PaymentState::unknown;
  payment.open_operation = operation;
  if (!payment.unknown_since) payment.unknown_since = ctx.clock().wall_now();
}

}  // namespace

Payment Payments::open(const Context& ctx, sql::Transaction& tx, const NewPayment& wanted) {
  if (wanted.amount.minor <= 0) {
    throw Error(ErrorCode::invalid_argument, "A payment must be of more than nothing.")
        .reason("payment_amount");
  }
  if (auto there = find(tx, wanted.order_id)) return std::move(*there);
  Payment payment;
  payment.id = ids_.make<PaymentId>();
  payment.order_id = wanted.order_id;
  payment.amount = wanted.amount;
  payment.captured = payment.refunded = {0, wanted.amount.currency};
  payment.method = wanted.method;
  payment.provider = std::string(provider_.name());
  payment.authorize_key = wanted.authorize_key;
  payment.created_at = payment.updated_at = ctx.clock().wall_now();
  tx.execute(
      "insert into payments(id, order_id, state, settled_state, amount_minor, currency, method, provider, "
      "authorize_key, version, created_at, updated_at) values($1, $2, $3, $3, $4, $5, $6, $7, $8, $9, $10, "
      "$10)",
      payment.id, payment.order_id, payment.state, payment.amount.minor, payment.amount.currency,
      payment.method, payment.provider, payment.authorize_key, payment.version, payment.created_at);
  book(ctx, tx, payment, LedgerKind::sale, "sale", receivable(payment), "sales", payment.amount.minor);
  return payment;
}

std::optional<Payment> Payments::record(const Context& ctx, sql::Transaction& tx, const Outcome& outcome) {
  bool changed = false;
  return apply(ctx, tx, outcome, changed);
}

std::optional<Payment> Payments::apply(const Context& ctx, sql::Transaction& tx, const Outcome& outcome,
                                       bool& changed) {
  changed = false;
  auto found = find(tx, outcome.order_id);
  if (!found) return std::nullopt;
  const Payment before = *found;
  Payment& payment = *found;
  const bool newest = payment.version == outcome.version;
  const PaymentState from = before.settled_state;

  if (!outcome.known()) {
    // Where something else was heard meanwhile, that counts.
    if (!newest || is_final(before.state)) return found;
    take_unknown(ctx, payment, outcome.operation);
    if (payment.state == before.state && payment.open_operation == before.open_operation) return found;
  } else if (outcome.answer) {
    const PaymentState to = state_of(*outcome.answer);
    const Step step = step_between(from, to);
    if (step == Step::conflict && before.version == outcome.version) meters_->contradictions.add();
    const bool more = step == Step::same && (outcome.answer->captured.minor > before.captured.minor ||
                                             outcome.answer->refunded.minor > before.refunded.minor);
    const bool resolved = step == Step::same && newest && is_unknown(before.state);
    if (!moves(from, to, newest) && !more && !resolved) return found;
    take(payment, *outcome.answer, to);
  } else if (outcome.withdrawn) {
    if (step_between(from, PaymentState::cancelled) != Step::forward || from == PaymentState::authorized)
      return found;
    take(payment, ProviderPayment{}, PaymentState::cancelled);
  } else {
    return found;
  }
  update(ctx, tx, payment);
  book_changes(ctx, tx, before, payment);
  changed = true;
  return found;
}

/// A message says that money is held for a payment that has ended without any. It may be late itself; where
/// it is so still, nobody will ever take that money, nor let go of it, but we.
EventOutcome Payments::look_at_hold(const Context& ctx, const Payment& payment, const std::string& ref,
                                    Outcome& outcome) {
  const ProviderPayment now = provider_.fetch(ctx, ref);
  if (now.status == ProviderStatus::captured) {
    outcome.answer = now;
    return EventOutcome::asked;
  }
  if (now.status != ProviderStatus::authorized) return EventOutcome::stale;
  provider_.cancel(ctx, ref, payment.authorize_key + "/leftover");
  return EventOutcome::released;
}

EventOutcome Payments::receive(const Context& ctx, const ProviderEvent& event, const OnPaymentEvent& told) {
  std::optional<Payment> payment;
  bool seen_before = false;
  database_.read(ctx, [&](sql::Snapshot& db) {
    seen_before = incoming_.known(db, event.id);
    payment = find_by_ref(db, event.ref);
    if (!payment && event.payment_id) payment = find_by_id(db, *event.payment_id);
  });
  EventOutcome result = seen_before ? EventOutcome::duplicate : EventOutcome::unknown_payment;
  std::optional<Outcome> outcome;
  if (payment && !seen_before) {
    const bool fits = event.seen && event.seen->amount == payment->amount;
    const Step step = fits ? step_between(payment->settled_state, state_of(*event.seen)) : Step::conflict;
    result = step == Step::conflict ? EventOutcome::asked
             : step == Step::stale  ? EventOutcome::stale
                                    : EventOutcome::applied;
    outcome.emplace();
    if (result == EventOutcome::asked) outcome = current(ctx, *payment);
    outcome->order_id = payment->order_id;
    if (result == EventOutcome::applied) outcome->answer = event.seen;
    const bool ended =
        payment->settled_state == PaymentState::cancelled || payment->settled_state == PaymentState::declined;
    if (ended && event.seen && event.seen->status == ProviderStatus::authorized)
      result = look_at_hold(ctx, *payment, event.ref, *outcome);
  }
  if (seen_before) {
    incoming_.count("duplicate");
  } else {
    const bool first = incoming_.once(ctx, database_, event.id, [&](sql::Transaction& tx) {
      if (!outcome) return;
      PaymentEvent told_of{event.id, {}, false};
      told_of.payment = apply(ctx, tx, *outcome, told_of.changed).value();
      if (told) told(ctx, tx, told_of);
    });
    if (!first) result = EventOutcome::duplicate;
  }
  meters_->count(result);
  return result;
}

std::int64_t Payments::follow_refunds(const Context& ctx, Duration older_than) {
  const WallTime before =
      ctx.clock().wall_now() - std::chrono::duration_cast<std::chrono::microseconds>(older_than);
  std::int64_t ended = 0;
  for (const OpenPayment& open :
       database_.read(ctx, [&](sql::Snapshot& db) { return refunding_payments(db, before); })) {
    Outcome outcome;
    try {
      outcome = resolve(ctx, open.order_id);
    } catch (const Error& error) {
      if (fault_of(error) != ProviderFault::rejected) throw;
      continue;  // counted by its meter; the others may be known all the same
    }
    const auto now = database_.transact(ctx, "record refund",
                                        [&](sql::Transaction& tx) { return record(ctx, tx, outcome); });
    if (now->state != PaymentState::refunding) ++ended;
  }
  return ended;
}

void Payments::measure(const Context& ctx) {
  const UnknownPayments open = database_.read(ctx, [](sql::Snapshot& db) { return unknown_payments(db); });
  meters_->unknown.set(open.count);
  const auto age = open.oldest ? ctx.clock().wall_now() - *open.oldest : std::chrono::microseconds(0);
  meters_->oldest_unknown_seconds.set(std::chrono::duration_cast<std::chrono::seconds>(age).count());
}

}  // namespace holdfast::orders::payments
