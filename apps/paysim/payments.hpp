// What the API does: authorize, capture, cancel, refund. Each verb runs in a transaction of the caller's
// and returns the answer; a refusal is an ApiError thrown before anything was written.
//
//   const Answer answer = payments.create(tx, {.amount = 1999, .currency = "gbp", …}, Verdict{}, origin);
//
// A declined card is an answer (402) and not an exception: the intent that it leaves behind is kept.
// Thread-safety: from any transaction.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "holdfast/base/id.hpp"
#include "holdfast/sql/database.hpp"
#include "paysim/events.hpp"
#include "paysim/form.hpp"
#include "paysim/intent.hpp"

namespace holdfast::paysim {

struct Answer {
  int status = 200;
  std::string body;  ///< JSON
};

/// What the card's bank says.
struct Verdict {
  enum class Kind : std::uint8_t { approved, declined, asks, later };
  Kind kind = Kind::approved;
  std::string decline_code;  ///< of `declined`
  Duration later_by{};       ///< of `later`: until it is approved
  static Verdict of(const Plan& plan);
  /// Declined where it asks for the payer: what `error_on_requires_action` wants.
  Verdict without_asking() const;
};

struct NewIntent {
  std::int64_t amount = 0;
  std::string currency;
  CaptureMethod capture_method = CaptureMethod::automatic;
  std::string payment_method;
  std::string description;
  Form::Pairs metadata;
  bool confirm = false;
  bool error_on_requires_action = false;  ///< a card that asks for the payer is declined instead
};

struct NewRefund {
  std::string payment_intent;  ///< or `charge`
  std::string charge;
  std::optional<std::int64_t> amount;  ///< all that is left unless set
  std::string reason;
  Form::Pairs metadata;
};

class Payments {
 public:
  /// All are borrowed.
  Payments(const Clock& clock, IdGenerator& ids, Events& events)
      : clock_(clock), ids_(ids), events_(events) {}

  Answer create(sql::Transaction& tx, const NewIntent& wanted, const Verdict& verdict, const Origin& origin);
  /// `payment_method` replaces the intent's own unless empty.
  Answer confirm(sql::Transaction& tx, std::string_view id, std::string_view payment_method,
                 const Verdict& verdict, const Origin& origin);
  Answer capture(sql::Transaction& tx, std::string_view id, std::optional<std::int64_t> amount,
                 const Origin& origin);
  Answer cancel(sql::Transaction& tx, std::string_view id, std::string_view reason, const Origin& origin);
  Answer refund(sql::Transaction& tx, const NewRefund& wanted, const Origin& origin);

  /// Ends `requires_action`: the payer has passed the check, or failed it.
  Answer authenticate(sql::Transaction& tx, std::string_view id, bool passed);
  /// Ends `processing` where its time has come; returns how many, at most `limit`.
  std::int64_t settle(sql::Transaction& tx, std::int64_t limit);

 private:
  Intent require(sql::Transaction& tx, std::string_view id);
  Answer charge(sql::Transaction& tx, Intent& intent, const Verdict& verdict, bool is_new,
                const Form::Pairs& metadata, const Origin& origin);
  void approve(Intent& intent) const;
  void decline(Intent& intent, const std::string& decline_code) const;

  const Clock& clock_;
  IdGenerator& ids_;
  Events& events_;
};

std::string metadata_json(const Form::Pairs& metadata);

struct Refund {
  std::string id;
  std::string intent_id;
  std::string charge_id;
  std::int64_t amount = 0;
  std::string currency;
  std::string reason;
  JsonText metadata;
  WallTime created_at{};
};
HOLDFAST_DESCRIBE(Refund, (id, intent_id, charge_id, amount, currency, reason, metadata, created_at))
std::string refund_json(const Refund& refund);

}  // namespace holdfast::paysim
