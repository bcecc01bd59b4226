// A payment intent: what is to be paid, how far that has come, and Stripe's JSON of it.
//
//   requires_payment_method → requires_confirmation → (requires_action | processing) →
//   requires_capture (manual) → succeeded;   every state but succeeded → canceled
//
// Thread-safety: a value.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "holdfast/base/clock.hpp"
#include "holdfast/base/describe.hpp"
#include "holdfast/base/id.hpp"
#include "holdfast/base/json.hpp"
#include "holdfast/sql/database.hpp"

namespace holdfast::paysim {

enum class IntentStatus : std::uint8_t {
  requires_payment_method,
  requires_confirmation,
  requires_action,
  processing,
  requires_capture,
  succeeded,
  canceled,
};
HOLDFAST_DESCRIBE_ENUM(IntentStatus, requires_payment_method, requires_confirmation, requires_action,
                       processing, requires_capture, succeeded, canceled)

enum class CaptureMethod : std::uint8_t { automatic, manual };
HOLDFAST_DESCRIBE_ENUM(CaptureMethod, automatic, manual)

/// A row of `intents`. Amounts are minor units; texts are empty where there is none.
struct Intent {
  std::string id;        ///< "pi_…"
  std::string order_id;  ///< metadata[order_id], or metadata[orderId]
  std::int64_t amount = 0;
  std::string currency;  ///< ISO 4217 in lower case, as Stripe writes it
  IntentStatus status = IntentStatus::requires_payment_method;
  CaptureMethod capture_method = CaptureMethod::automatic;
  std::string payment_method;
  std::int64_t amount_authorized = 0;  ///< ever; stays after capture and cancellation
  std::int64_t amount_capturable = 0;
  std::int64_t amount_received = 0;
  std::int64_t amount_refunded = 0;
  std::string latest_charge;  ///< "ch_…"
  std::string description;
  JsonText metadata;  ///< an object of texts
  std::string cancellation_reason;
  std::string last_payment_error;      ///< JSON
  std::optional<WallTime> settles_at;  ///< when `processing` ends
  std::optional<WallTime> canceled_at;
  WallTime created_at{};
};
HOLDFAST_DESCRIBE(Intent,
                  (id, order_id, amount, currency, status, capture_method, payment_method, amount_authorized,
                   amount_capturable, amount_received, amount_refunded, latest_charge, description, metadata,
                   cancellation_reason, last_payment_error, settles_at, canceled_at, created_at))

/// The columns of a select that reads an Intent.
inline constexpr std::string_view kIntentColumns =
    "id, order_id, amount, currency, status, capture_method, payment_method, amount_authorized, "
    "amount_capturable, amount_received, amount_refunded, latest_charge, description, metadata, "
    "cancellation_reason, last_payment_error, settles_at, canceled_at, created_at";

std::optional<Intent> find_intent(sql::Queries& db, std::string_view id);
std::optional<Intent> find_intent_of_charge(sql::Queries& db, std::string_view charge_id);
void insert_intent(sql::Transaction& tx, const Intent& intent,
                   const std::vector<std::pair<std::string, std::string>>& metadata);
/// Writes what may change after the insert.
void update_intent(sql::Transaction& tx, const Intent& intent);

/// How its charge is shown: `whole` is what Stripe calls expanded.
enum class Charge : std::uint8_t { id, whole };

/// Stripe's object of it.
std::string intent_json(const Intent& intent, Charge charge = Charge::id);
/// Stripe's charge, of the intent's latest.
std::string charge_json(const Intent& intent);

/// Unix seconds, as Stripe writes times.
std::int64_t unix_seconds(WallTime time) noexcept;

}  // namespace holdfast::paysim
