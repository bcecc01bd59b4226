#include "orders/modules/payments/payments.hpp"

#include <utility>

#include "holdfast/base/fault.hpp"
#include "orders/modules/payments/meters.hpp"
#include "orders/modules/payments/payment_states.hpp"

namespace holdfast::orders::payments {
namespace {

/// Of settle()'s own transaction: it must be written although the caller's time is over.
constexpr Duration kRecordTimeout = std::chrono::seconds(5);
/// How often undo() acts on a state that turns out to have changed meanwhile.
constexpr int kMaxUndoRounds = 3;

Outcome outcome_of(const Payment& payment, Operation operation) {
  Outcome outcome;
  outcome.order_id = payment.order_id;
  outcome.operation = operation;
  outcome.version = payment.version;
  return outcome;
}

Outcome already(const Payment& payment, Operation operation) {
  Outcome outcome = outcome_of(payment, operation);
  outcome.answer = as_known(payment);
  return outcome;
}

/// Whether it is not known if there is an authorization at all.
bool authorization_open(const Payment& payment) { return payment.settled_state == PaymentState::requested; }

[[noreturn]] void refuse_state(const Payment& payment, std::string_view what) {
  throw Error(ErrorCode::conflict, "The payment of " + payment.order_id.text() + " is " +
                                       std::string(enum_name(payment.state)) + " and can't be " +
                                       std::string(what) + ".")
      .reason("payment_state");
}

/// An answer about another amount is not about this payment.
void require_same_amount(const Payment& payment, const ProviderPayment& answer) {
  if (answer.amount == payment.amount) return;
  throw provider_error(ProviderFault::rejected,
                       answer.ref + " is about " + std::to_string(answer.amount.minor) + " " +
                           std::string(answer.amount.currency.text()) + ", " + payment.id.text() + " about " +
                           std::to_string(payment.amount.minor) + " " +
                           std::string(payment.amount.currency.text()));
}

}  // namespace

Payments::Payments(sql::Database& database, IdGenerator& ids, PaymentProvider& provider,
                   observe::Metrics& metrics)
    : Payments(database, ids, provider, metrics, Options{}) {}

Payments::Payments(sql::Database& database, IdGenerator& ids, PaymentProvider& provider,
                   observe::Metrics& metrics, Options options)
    : database_(database),
      ids_(ids),
      provider_(provider),
      options_(options),
      incoming_("payments", metrics, {.retention = options.event_retention}),
      meters_(std::make_unique<Meters>(metrics)) {}

Payments::~Payments() = default;

Payment Payments::require(const Context& ctx, const OrderId& order_id) {
  auto found = database_.read(ctx, [&](sql::Snapshot& db) { return find(db, order_id); });
  if (found) return std::move(*found);
  throw Error(ErrorCode::not_found, "There is no payment of " + order_id.text() + ".")
      .reason("unknown_payment");
}

Authorization Payments::authorization_of(const Payment& payment) const {
  return {.key = payment.authorize_key,
          .payment_id = payment.id,
          .order_id = payment.order_id,
          .amount = payment.amount,
          .method = payment.method,
          .first_asked_at = payment.created_at};
}

/// Whether the provider still knows the authorization's key. One that it may have forgotten protects no
/// more: then only its book tells what happened.
bool Payments::key_holds(const Context& ctx, const Payment& payment) const {
  return ctx.clock().wall_now() - payment.created_at < options_.key_lifetime;
}

/// Makes a call and tells what came of it: an answer (or none, where `call` may have none), or that it is
/// not known. Throws where it is sure that nothing happened, and where asking failed.
template <class Call>
Outcome Payments::ask(const Context& ctx, const Payment& payment, Operation operation, Call&& call) {
  Outcome outcome = outcome_of(payment, operation);
  const Instant began = ctx.now();
  try {
    outcome.answer = call();
  } catch (const Error& error) {
    const ProviderFault fault = fault_of(error);
    meters_->count(operation, enum_name(fault), ctx.now() - began);
    if (fault != ProviderFault::outcome_unknown) throw;
    if (operation == Operation::ask) throw provider_error(ProviderFault::unavailable, error.what());
    outcome.error = error;
    return outcome;
  }
  meters_->count(operation, outcome.answer ? enum_name(outcome.answer->status) : "none", ctx.now() - began);
  HOLDFAST_FAULT("payments.after_call");
  if (outcome.answer) require_same_amount(payment, *outcome.answer);
  return outcome;
}

/// How the provider says it stands; without an answer where it has no such authorization.
Outcome Payments::current(const Context& ctx, const Payment& payment) {
  return ask(ctx, payment, Operation::ask, [&]() -> std::optional<ProviderPayment> {
    if (payment.provider_ref) return provider_.fetch(ctx, *payment.provider_ref);
    return provider_.find(ctx, authorization_of(payment));
  });
}

Outcome Payments::authorize(const Context& ctx, const OrderId& order_id) {
  const Payment payment = require(ctx, order_id);
  const bool waiting = payment.settled_state == PaymentState::processing ||
                       payment.settled_state == PaymentState::action_required;
  if (!authorization_open(payment) && !waiting && !is_unknown(payment.state))
    return already(payment, Operation::authorize);
  if (!authorization_open(payment) || !key_holds(ctx, payment)) {
    Outcome outcome = current(ctx, payment);
    if (outcome.answer) return outcome;
  }
  return ask(ctx, payment, Operation::authorize,
             [&] { return provider_.authorize(ctx, authorization_of(payment)); });
}

Outcome Payments::capture(const Context& ctx, const OrderId& order_id, const std::string& key) {
  const Payment payment = require(ctx, order_id);
  if (payment.settled_state != PaymentState::authorized) {
    if (payment.captured.minor > 0) return already(payment, Operation::capture);
    refuse_state(payment, "captured");
  }
  if (is_unknown(payment.state)) {
    Outcome outcome = current(ctx, payment);
    if (!outcome.authorized()) return outcome;
  }
  const std::string& ref = payment.provider_ref.value();
  try {
    return ask(ctx, payment, Operation::capture,
               [&] { return provider_.capture(ctx, ref, key, payment.amount); });
  } catch (const Error& error) {
    if (fault_of(error) != ProviderFault::rejected) throw;
    Outcome outcome = current(ctx, payment);  // captured by somebody else, or let go of by the bank
    if (outcome.authorized()) throw;
    return outcome;
  }
}

Outcome Payments::refund(const Context& ctx, const OrderId& order_id, const std::string& key,
                         std::optional<Money> amount) {
  const Payment payment = require(ctx, order_id);
  if (payment.settled_state == PaymentState::refunded) return already(payment, Operation::refund);
  if (payment.settled_state != PaymentState::captured && payment.settled_state != PaymentState::refunding)
    refuse_state(payment, "refunded");
  if (payment.state != PaymentState::captured) {
    Outcome outcome = current(ctx, payment);
    if (state_of(*outcome.answer) != PaymentState::captured || outcome.answer->refunded != payment.refunded)
      return outcome;
  }
  const Money left = payment.captured - payment.refunded;
  const Money back = amount.value_or(left);
  if (back.currency != left.currency || back.minor <= 0 || back.minor > left.minor) {
    throw Error(ErrorCode::invalid_argument, "Of the payment of " + order_id.text() + ", at most " +
                                                 std::to_string(left.minor) +
                                                 " minor units can be given back.")
        .reason("refund_amount");
  }
  return ask(ctx, payment, Operation::refund,
             [&] { return provider_.refund(ctx, payment.provider_ref.value(), key, back); });
}

Outcome Payments::undo(const Context& ctx, const OrderId& order_id, const std::string& key) {
  auto found = database_.read(ctx, [&](sql::Snapshot& db) { return find(db, order_id); });
  if (!found) {
    Outcome nothing;
    nothing.order_id = order_id;
    nothing.withdrawn = true;
    return nothing;
  }
  const Payment& payment = *found;
  if (is_final(payment.state)) return already(payment, Operation::release);
  if (authorization_open(payment)) {
    if (!key_holds(ctx, payment)) {
      const Outcome outcome = current(ctx, payment);
      if (outcome.answer) return undo_known(ctx, payment, *outcome.answer, key);
    }
    Outcome outcome = ask(ctx, payment, Operation::release,
                          [&] { return provider_.withdraw(ctx, authorization_of(payment)); });
    if (!outcome.known()) {
      outcome.operation = Operation::authorize;  // that is what stays open
      return outcome;
    }
    if (outcome.answer) return undo_known(ctx, payment, *outcome.answer, key);
    outcome.withdrawn = true;
    return outcome;
  }
  const bool ask_first = payment.state != PaymentState::authorized && payment.state != PaymentState::captured;
  if (!ask_first) return undo_known(ctx, payment, as_known(payment), key);
  return undo_known(ctx, payment, current(ctx, payment).answer.value(), key);
}

/// Releases or gives back what `now` says there is. Where the provider says that it is not so, asks and
/// goes on from there.
Outcome Payments::undo_known(const Context& ctx, const Payment& payment, const ProviderPayment& now,
                             const std::string& key) {
  ProviderPayment state = now;
  for (int round = 1;; ++round) {
    const bool taken = state.status == ProviderStatus::captured;
    const Operation operation = taken ? Operation::refund : Operation::release;
    Outcome done = outcome_of(payment, operation);
    done.answer = state;
    if (state.status == ProviderStatus::declined || state.status == ProviderStatus::cancelled) return done;
    const Money left = state.captured - state.refunded - state.refunding;
    if (taken && left.minor <= 0) return done;
    try {
      return ask(ctx, payment, operation, [&] {
        return taken ? provider_.refund(ctx, state.ref, key + "/refund", left)
                     : provider_.cancel(ctx, state.ref, key + "/release");
      });
    } catch (const Error& error) {
      if (fault_of(error) != ProviderFault::rejected || round == kMaxUndoRounds) throw;
      ProviderPayment seen = provider_.fetch(ctx, state.ref);
      if (seen.status == state.status && seen.refunded == state.refunded && seen.refunding == state.refunding)
        throw;
      state = std::move(seen);
    }
  }
}

Outcome Payments::resolve(const Context& ctx, const OrderId& order_id) {
  const Payment payment = require(ctx, order_id);
  if (is_final(payment.state) || payment.state == PaymentState::requested)
    return already(payment, Operation::ask);
  Outcome outcome = current(ctx, payment);
  if (!outcome.answer) {  // none yet; but the request may still be on its way
    outcome.operation = Operation::authorize;
    outcome.error = provider_error(ProviderFault::outcome_unknown, "no authorization under its key yet");
  }
  return outcome;
}

Outcome Payments::settle(const Context& ctx, Outcome outcome) {
  if (outcome.known()) return outcome;
  const Context own = ctx.detached().with_timeout(kRecordTimeout);
  database_.transact(own, "record unknown payment", [&](sql::Transaction& tx) { record(own, tx, outcome); });
  throw provider_error(ProviderFault::outcome_unknown, outcome.error->what(), outcome.error->retry_after());
}

}  // namespace holdfast::orders::payments
