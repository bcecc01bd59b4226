#include "paysim/payments.hpp"

#include <algorithm>
#include <array>

#include "holdfast/base/json.hpp"
#include "paysim/api_error.hpp"

namespace holdfast::paysim {
namespace {

using Statuses = std::initializer_list<IntentStatus>;

std::string decline_message(std::string_view decline_code) {
  if (decline_code == "insufficient_funds") return "Your card has insufficient funds.";
  if (decline_code == "expired_card") return "Your card has expired.";
  if (decline_code == "incorrect_cvc") return "Your card's security code is incorrect.";
  if (decline_code == "authentication_required")
    return "Your card was declined. This transaction requires authentication.";
  if (decline_code == "processing_error")
    return "An error occurred while processing your card. Try again in a little bit.";
  return "Your card was declined.";
}

std::string error_code_of(std::string_view decline_code) {
  for (const std::string_view own :
       {"expired_card", "incorrect_cvc", "processing_error", "authentication_required"}) {
    if (decline_code == own) return std::string(own);
  }
  return "card_declined";
}

/// `doing` completes "could not be …": "captured".
void require_status(const Intent& intent, Statuses allowed, std::string_view doing) {
  if (std::find(allowed.begin(), allowed.end(), intent.status) != allowed.end()) return;
  std::string names;
  for (const IntentStatus status : allowed) {
    if (!names.empty()) names += ", ";
    names += enum_name(status);
  }
  throw ApiError(400, {.code = "payment_intent_unexpected_state",
                       .message = "This PaymentIntent could not be " + std::string(doing) +
                                  " because it has a status of " + std::string(enum_name(intent.status)) +
                                  ". Only a PaymentIntent with one of the following statuses may be " +
                                  std::string(doing) + ": " + names + ".",
                       .payment_intent = intent_json(intent)});
}

std::string order_id_in(const Form::Pairs& metadata) {
  for (const auto& [name, value] : metadata) {
    if (name == "order_id" || name == "orderId") return value;
  }
  return {};
}

/// The event that tells where an intent has come to.
std::string_view event_of(const Intent& intent) {
  switch (intent.status) {
    case IntentStatus::requires_action: return "payment_intent.requires_action";
    case IntentStatus::processing: return "payment_intent.processing";
    case IntentStatus::requires_capture: return "payment_intent.amount_capturable_updated";
    case IntentStatus::succeeded: return "payment_intent.succeeded";
    case IntentStatus::canceled: return "payment_intent.canceled";
    case IntentStatus::requires_payment_method: return "payment_intent.payment_failed";
    case IntentStatus::requires_confirmation: break;
  }
  return "payment_intent.created";
}

Answer answer_of(const Intent& intent) {
  std::string json = intent_json(intent);
  if (intent.status != IntentStatus::requires_payment_method || intent.last_payment_error.empty())
    return {200, std::move(json)};
  // The error as it stands in the intent, with the intent put into it.
  std::string error = intent.last_payment_error;
  error.pop_back();
  return {402, "{\"error\":" + error + ",\"payment_intent\":" + json + "}}"};
}

}  // namespace

std::string metadata_json(const Form::Pairs& metadata) {
  std::string out;
  JsonWriter writer(out);
  writer.begin_object();
  for (const auto& [name, value] : metadata) writer.member(name, value);
  writer.end_object();
  return out;
}

std::string refund_json(const Refund& refund) {
  std::string out;
  JsonWriter writer(out);
  writer.begin_object().member("id", refund.id).member("object", "refund").member("amount", refund.amount);
  writer.key("balance_transaction").null().member("charge", refund.charge_id);
  writer.member("created", unix_seconds(refund.created_at)).member("currency", refund.currency);
  writer.key("metadata").raw(refund.metadata.text()).member("payment_intent", refund.intent_id).key("reason");
  if (refund.reason.empty()) {
    writer.null();
  } else {
    writer.value(refund.reason);
  }
  writer.key("receipt_number").null().member("status", "succeeded").end_object();
  return out;
}

Verdict Verdict::of(const Plan& plan) {
  if (plan.is(Action::decline)) return {.kind = Kind::declined, .decline_code = plan.deed->decline_code};
  if (plan.is(Action::requires_action)) return {.kind = Kind::asks, .decline_code = {}};
  if (plan.is(Action::async))
    return {.kind = Kind::later, .decline_code = {}, .later_by = std::chrono::milliseconds(plan.deed->ms)};
  return {};
}

Verdict Verdict::without_asking() const {
  if (kind != Kind::asks) return *this;
  return {.kind = Kind::declined, .decline_code = "authentication_required"};
}

Intent Payments::require(sql::Transaction& tx, std::string_view id) {
  auto found = find_intent(tx, id);
  if (!found) throw ApiError::missing("payment_intent", id, "intent");
  return std::move(*found);
}

void Payments::approve(Intent& intent) const {
  intent.amount_authorized = intent.amount;
  intent.last_payment_error.clear();
  intent.settles_at.reset();
  if (intent.capture_method == CaptureMethod::manual) {
    intent.status = IntentStatus::requires_capture;
    intent.amount_capturable = intent.amount;
  } else {
    intent.status = IntentStatus::succeeded;
    intent.amount_received = intent.amount;
  }
}

void Payments::decline(Intent& intent, const std::string& decline_code) const {
  intent.last_payment_error = to_error_object({.type = "card_error",
                                               .code = error_code_of(decline_code),
                                               .decline_code = decline_code,
                                               .message = decline_message(decline_code),
                                               .charge = intent.latest_charge});
  intent.status = IntentStatus::requires_payment_method;
  intent.payment_method.clear();
  intent.settles_at.reset();
}

Answer Payments::charge(sql::Transaction& tx, Intent& intent, const Verdict& verdict, bool is_new,
                        const Form::Pairs& metadata, const Origin& origin) {
  intent.latest_charge = "ch_" + intent.id.substr(3);
  switch (verdict.kind) {
    case Verdict::Kind::approved: approve(intent); break;
    case Verdict::Kind::declined: decline(intent, verdict.decline_code); break;
    case Verdict::Kind::asks:
      intent.status = IntentStatus::requires_action;
      intent.latest_charge.clear();
      break;
    case Verdict::Kind::later:
      intent.status = IntentStatus::processing;
      intent.settles_at =
          clock_.wall_now() + std::chrono::duration_cast<std::chrono::microseconds>(verdict.later_by);
      break;
  }
  if (is_new) {
    insert_intent(tx, intent, metadata);
  } else {
    update_intent(tx, intent);
  }
  Answer answer = answer_of(intent);
  events_.record(tx, event_of(intent), intent.id, answer.status == 200 ? answer.body : intent_json(intent),
                 origin);
  return answer;
}

Answer Payments::create(sql::Transaction& tx, const NewIntent& wanted, const Verdict& verdict,
                        const Origin& origin) {
  Intent intent{.id = ids_.make<Id<"pi">>().text(),
                .order_id = order_id_in(wanted.metadata),
                .amount = wanted.amount,
                .currency = wanted.currency,
                .capture_method = wanted.capture_method,
                .payment_method = wanted.payment_method,
                .description = wanted.description,
                .metadata = JsonText::trusted(metadata_json(wanted.metadata)),
                .created_at = clock_.wall_now()};
  if (!wanted.payment_method.empty()) intent.status = IntentStatus::requires_confirmation;
  std::string json = intent_json(intent);
  events_.record(tx, "payment_intent.created", intent.id, json, origin);
  const Verdict& said = wanted.error_on_requires_action ? verdict.without_asking() : verdict;
  if (wanted.confirm) return charge(tx, intent, said, true, wanted.metadata, origin);
  insert_intent(tx, intent, wanted.metadata);
  return {200, std::move(json)};
}

Answer Payments::confirm(sql::Transaction& tx, std::string_view id, std::string_view payment_method,
                         const Verdict& verdict, const Origin& origin) {
  Intent intent = require(tx, id);
  require_status(intent,
                 {IntentStatus::requires_payment_method, IntentStatus::requires_confirmation,
                  IntentStatus::requires_action},
                 "confirmed");
  if (!payment_method.empty()) intent.payment_method = payment_method;
  if (intent.payment_method.empty()) {
    throw ApiError(400, {.code = "payment_intent_unexpected_state",
                         .message = "You cannot confirm this PaymentIntent because it's missing a payment "
                                    "method. Pass payment_method.",
                         .param = "payment_method",
                         .payment_intent = intent_json(intent)});
  }
  return charge(tx, intent, verdict, false, {}, origin);
}

Answer Payments::capture(sql::Transaction& tx, std::string_view id, std::optional<std::int64_t> amount,
                         const Origin& origin) {
  Intent intent = require(tx, id);
  require_status(intent, {IntentStatus::requires_capture}, "captured");
  const std::int64_t captured = amount.value_or(intent.amount_capturable);
  if (captured <= 0 || captured > intent.amount_capturable) {
    throw ApiError::bad_request(
        "amount_to_capture",
        "The amount to capture must be between 1 and the amount that can be captured, " +
            std::to_string(intent.amount_capturable) + ".",
        captured <= 0 ? "parameter_invalid_integer" : "amount_too_large");
  }
  intent.status = IntentStatus::succeeded;
  intent.amount_received = captured;
  intent.amount_capturable = 0;  // what is not captured is released
  update_intent(tx, intent);
  std::string json = intent_json(intent);
  events_.record(tx, event_of(intent), intent.id, json, origin);
  return {200, std::move(json)};
}

Answer Payments::cancel(sql::Transaction& tx, std::string_view id, std::string_view reason,
                        const Origin& origin) {
  Intent intent = require(tx, id);
  require_status(
      intent,
      {IntentStatus::requires_payment_method, IntentStatus::requires_capture,
       IntentStatus::requires_confirmation, IntentStatus::requires_action, IntentStatus::processing},
      "canceled");
  intent.status = IntentStatus::canceled;
  intent.amount_capturable = 0;
  intent.cancellation_reason = reason;
  intent.settles_at.reset();
  intent.canceled_at = clock_.wall_now();
  update_intent(tx, intent);
  std::string json = intent_json(intent);
  events_.record(tx, event_of(intent), intent.id, json, origin);
  return {200, std::move(json)};
}

Answer Payments::refund(sql::Transaction& tx, const NewRefund& wanted, const Origin& origin) {
  auto found = wanted.charge.empty() ? find_intent(tx, wanted.payment_intent)
                                     : find_intent_of_charge(tx, wanted.charge);
  if (!found) {
    throw wanted.charge.empty() ? ApiError::missing("payment_intent", wanted.payment_intent, "payment_intent")
                                : ApiError::missing("charge", wanted.charge, "charge");
  }
  Intent& intent = *found;
  require_status(intent, {IntentStatus::succeeded}, "refunded");
  const std::int64_t left = intent.amount_received - intent.amount_refunded;
  const std::int64_t amount = wanted.amount.value_or(left);
  if (left == 0) {
    throw ApiError(400, {.code = "charge_already_refunded",
                         .message = "Charge " + intent.latest_charge + " has already been refunded."});
  }
  if (amount <= 0 || amount > left) {
    throw ApiError::bad_request("amount",
                                "Refund amount (" + std::to_string(amount) +
                                    ") must be between 1 and the unrefunded amount on charge (" +
                                    std::to_string(left) + ").",
                                amount <= 0 ? "parameter_invalid_integer" : "amount_too_large");
  }
  intent.amount_refunded += amount;
  update_intent(tx, intent);
  const Refund refund{.id = ids_.make<Id<"re">>().text(),
                      .intent_id = intent.id,
                      .charge_id = intent.latest_charge,
                      .amount = amount,
                      .currency = intent.currency,
                      .reason = wanted.reason,
                      .metadata = JsonText::trusted(metadata_json(wanted.metadata)),
                      .created_at = clock_.wall_now()};
  tx.execute(
      "insert into refunds (id, intent_id, charge_id, amount, currency, reason, metadata, created_at) values "
      "($1, "
      "$2, $3, $4, $5, $6, $7, $8)",
      refund.id, refund.intent_id, refund.charge_id, refund.amount, refund.currency, refund.reason,
      refund.metadata, refund.created_at);
  events_.record(tx, "charge.refunded", intent.id, charge_json(intent), origin);
  return {200, refund_json(refund)};
}

Answer Payments::authenticate(sql::Transaction& tx, std::string_view id, bool passed) {
  Intent intent = require(tx, id);
  require_status(intent, {IntentStatus::requires_action}, "authenticated");
  Verdict verdict;
  if (!passed) verdict = Verdict{.kind = Verdict::Kind::asks, .decline_code = {}}.without_asking();
  charge(tx, intent, verdict, false, {}, {});
  return {200, intent_json(intent)};
}

std::int64_t Payments::settle(sql::Transaction& tx, std::int64_t limit) {
  static const std::string due = "select " + std::string(kIntentColumns) +
                                 " from intents where settles_at is not null and settles_at <= $1 order by "
                                 "settles_at limit $2";
  std::vector<Intent> settling = tx.query<Intent>(due, clock_.wall_now(), limit);
  for (Intent& intent : settling) charge(tx, intent, {}, false, {}, {});
  return static_cast<std::int64_t>(settling.size());
}

}  // namespace holdfast::paysim
