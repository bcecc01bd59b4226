#include "paysim/intent.hpp"

#include "holdfast/base/json.hpp"
#include "paysim/cards.hpp"

namespace holdfast::paysim {
namespace {

const std::string& select_by_id() {
  static const std::string sql = "select " + std::string(kIntentColumns) + " from intents where id = $1";
  return sql;
}

void write_text_or_null(JsonWriter& writer, std::string_view name, std::string_view value) {
  writer.key(name);
  if (value.empty()) {
    writer.null();
  } else {
    writer.value(value);
  }
}

void write_next_action(JsonWriter& writer, const Intent& intent) {
  writer.key("next_action");
  if (intent.status != IntentStatus::requires_action) {
    writer.null();
    return;
  }
  writer.begin_object().member("type", "redirect_to_url").key("redirect_to_url").begin_object();
  writer.key("return_url").null();
  writer.member("url", "/paysim/authenticate/" + intent.id).end_object().end_object();
}

}  // namespace

std::int64_t unix_seconds(WallTime time) noexcept {
  return std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
}

std::optional<Intent> find_intent(sql::Queries& db, std::string_view id) {
  return db.query_one<Intent>(select_by_id(), id);
}

std::optional<Intent> find_intent_of_charge(sql::Queries& db, std::string_view charge_id) {
  // A charge's id is its intent's, with another beginning: "ch_x" belongs to "pi_x".
  if (!charge_id.starts_with("ch_")) return std::nullopt;
  auto found = find_intent(db, "pi_" + std::string(charge_id.substr(3)));
  if (found && found->latest_charge.empty()) return std::nullopt;
  return found;
}

void insert_intent(sql::Transaction& tx, const Intent& intent,
                   const std::vector<std::pair<std::string, std::string>>& metadata) {
  tx.execute(
      "insert into intents (id, order_id, amount, currency, status, capture_method, payment_method, "
      "amount_authorized, amount_capturable, amount_received, amount_refunded, latest_charge, description, "
      "metadata, cancellation_reason, last_payment_error, settles_at, canceled_at, created_at) values ($1, "
      "$2, "
      "$3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)",
      intent.id, intent.order_id, intent.amount, intent.currency, intent.status, intent.capture_method,
      intent.payment_method, intent.amount_authorized, intent.amount_capturable, intent.amount_received,
      intent.amount_refunded, intent.latest_charge, intent.description, intent.metadata,
      intent.cancellation_reason, intent.last_payment_error, intent.settles_at, intent.canceled_at,
      intent.created_at);
  for (const auto& [name, value] : metadata) {
    tx.execute("insert into intent_metadata (name, value, intent_id) values ($1, $2, $3)", name, value,
               intent.id);
  }
}

void update_intent(sql::Transaction& tx, const Intent& intent) {
  tx.execute(
      "update intents set status = $2, payment_method = $3, amount_authorized = $4, amount_capturable = $5, "
      "amount_received = $6, amount_refunded = $7, latest_charge = $8, cancellation_reason = $9, "
      "last_payment_error = $10, settles_at = $11, canceled_at = $12 where id = $1",
      intent.id, intent.status, intent.payment_method, intent.amount_authorized, intent.amount_capturable,
      intent.amount_received, intent.amount_refunded, intent.latest_charge, intent.cancellation_reason,
      intent.last_payment_error, intent.settles_at, intent.canceled_at);
}

std::string intent_json(const Intent& intent, Charge charge) {
  std::string out;
  out.reserve(1200);
  JsonWriter writer(out);
  writer.begin_object().member("id", intent.id).member("object", "payment_intent");
  writer.member("amount", intent.amount).member("amount_capturable", intent.amount_capturable);
  writer.key("amount_details").raw("{\"tip\":{}}");
  writer.member("amount_received", intent.amount_received);
  writer.key("application").null();
  writer.key("application_fee_amount").null();
  writer.key("automatic_payment_methods").null();
  writer.key("canceled_at");
  if (intent.canceled_at) {
    writer.value(unix_seconds(*intent.canceled_at));
  } else {
    writer.null();
  }
  write_text_or_null(writer, "cancellation_reason", intent.cancellation_reason);
  writer.member("capture_method", enum_name(intent.capture_method));
  writer.member("client_secret", intent.id + "_secret_" + intent.id.substr(3));
  writer.member("confirmation_method", "automatic").member("created", unix_seconds(intent.created_at));
  writer.member("currency", intent.currency);
  writer.key("customer").null();
  write_text_or_null(writer, "description", intent.description);
  writer.key("invoice").null();
  writer.key("last_payment_error")
      .raw(intent.last_payment_error.empty() ? "null" : intent.last_payment_error);
  if (charge == Charge::whole && !intent.latest_charge.empty()) {
    writer.key("latest_charge").raw(charge_json(intent));
  } else {
    write_text_or_null(writer, "latest_charge", intent.latest_charge);
  }
  writer.member("livemode", false).key("metadata").raw(intent.metadata.text());
  write_next_action(writer, intent);
  writer.key("on_behalf_of").null();
  write_text_or_null(writer, "payment_method", intent.payment_method);
  writer.key("payment_method_options").raw("{}").key("payment_method_types").raw("[\"card\"]");
  writer.key("processing").raw(intent.status == IntentStatus::processing ? "{\"type\":\"card\"}" : "null");
  writer.key("receipt_email").null().key("review").null().key("setup_future_usage").null();
  writer.key("shipping").null().key("source").null().key("statement_descriptor").null();
  writer.member("status", enum_name(intent.status)).key("transfer_data").null();
  writer.key("transfer_group").null().end_object();
  return out;
}

std::string charge_json(const Intent& intent) {
  const bool captured = intent.amount_received > 0;
  const bool failed = !intent.last_payment_error.empty();
  const auto card = find_card(intent.payment_method);
  std::string out;
  JsonWriter writer(out);
  writer.begin_object().member("id", intent.latest_charge).member("object", "charge");
  writer.member("amount", intent.amount).member("amount_captured", intent.amount_received);
  writer.member("amount_refunded", intent.amount_refunded).member("captured", captured);
  writer.member("created", unix_seconds(intent.created_at)).member("currency", intent.currency);
  writer.member("livemode", false).key("metadata").raw(intent.metadata.text());
  writer.member("paid", !failed).member("payment_intent", intent.id);
  write_text_or_null(writer, "payment_method", intent.payment_method);
  writer.key("payment_method_details").begin_object().member("type", "card").key("card").begin_object();
  writer.member("brand", card ? card->brand : "unknown").member("last4", card ? card->last4 : "0000");
  writer.end_object().end_object();
  writer.member("refunded", captured && intent.amount_refunded == intent.amount_received);
  writer.member("status", failed ? "failed" : "succeeded").end_object();
  return out;
}

}  // namespace holdfast::paysim
