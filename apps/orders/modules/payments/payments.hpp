// Payments: one for each order, from asking for the money to having it, or giving it back. An outside call
// waits and is made outside of any transaction; what came of it is recorded in one, e.g. a saga step's:
//
//   payments.open(ctx, tx, {order.id, order.total, "pm_card_visa", saga_id + "/authorize"});   // with the
//   order const Outcome outcome = payments.settle(ctx, payments.authorize(ctx, order.id));           // act
//   payments.record(ctx, tx, outcome);                                                         // its commit
//
// "It timed out, and the charge may have happened" is a state of its own, `unknown`: left by asking the
// provider, which every operation here does first. All of it may be repeated: keys make outside calls
// harmless, and a record changes only what it has not changed before.
// Thread-safety: a Payments is used from any fiber; the free functions as the Transaction's.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/id.hpp"
#include "holdfast/base/money.hpp"
#include "holdfast/base/reflect.hpp"
#include "holdfast/observe/metrics.hpp"
#include "holdfast/runtime/context.hpp"
#include "holdfast/sql/database.hpp"
#include "holdfast/sql/migrations.hpp"
#include "holdfast/webhooks/incoming.hpp"
#include "orders/modules/payments/ledger.hpp"
#include "orders/modules/payments/memory_provider.hpp"
#include "orders/modules/payments/provider.hpp"
#include "orders/modules/payments/settings.hpp"

namespace holdfast::orders::payments {

enum class PaymentState : std::uint8_t {
  requested,        ///< written down; nothing is known to have been asked of the provider
  unknown,          ///< an authorization, capture or release was asked for, and may have happened
  action_required,  ///< the customer has to confirm
  processing,       ///< the bank has not answered yet
  authorized,       ///< held
  captured,         ///< taken
  declined,         ///< refused by the card or the bank; final
  cancelled,        ///< released, or never held; final
  refund_unknown,   ///< a refund was asked for, and may have happened
  refunding,        ///< on its way back
  refunded,         ///< all of it given back; final
};
HOLDFAST_DESCRIBE_ENUM(PaymentState, requested, unknown, action_required, processing, authorized, captured,
                       declined, cancelled, refund_unknown, refunding, refunded)

enum class Operation : std::uint8_t { authorize, capture, release, refund, ask };
HOLDFAST_DESCRIBE_ENUM(Operation, authorize, capture, release, refund, ask)

struct Payment {
  PaymentId id;
  OrderId order_id;
  PaymentState state = PaymentState::requested;
  PaymentState settled_state = PaymentState::requested;  ///< the last one that was known for sure
  Money amount;
  Money captured;
  Money refunded;
  std::string method;
  std::string provider;
  std::optional<std::string> provider_ref;
  std::string authorize_key;
  std::optional<Operation> open_operation;  ///< whose outcome is not known
  std::optional<DeclineReason> decline_reason;
  std::optional<std::string> action_url;
  std::optional<WallTime> unknown_since;
  std::int64_t version = 1;
  WallTime created_at;
  WallTime updated_at;
};
HOLDFAST_DESCRIBE(Payment, (id, order_id, state, settled_state, amount, captured, refunded, method, provider,
                            provider_ref, authorize_key, open_operation, decline_reason, action_url,
                            unknown_since, version, created_at, updated_at))

/// Whether nothing more will happen to a payment in that state.
bool is_final(PaymentState state) noexcept;
/// unknown or refund_unknown.
bool is_unknown(PaymentState state) noexcept;

struct NewPayment {
  OrderId order_id;
  Money amount;               ///< above 0
  std::string method;         ///< a token of the provider's: "pm_card_visa"
  std::string authorize_key;  ///< "<saga id>/authorize"; what the authorization will be sent under
};

/// What came of an outside call, to be recorded.
struct Outcome {
  OrderId order_id;
  Operation operation = Operation::ask;
  std::int64_t version = 0;               ///< of the payment when it was asked for
  std::optional<ProviderPayment> answer;  ///< nothing: not known, or there is no such payment
  bool withdrawn = false;                 ///< it never happened, and can't any more
  std::optional<Error> error;             ///< why it is not known
  std::optional<DeclineReason> decline() const { return answer ? answer->decline : std::nullopt; }

  /// Whether the provider told what came of it.
  bool known() const noexcept { return !error; }
  bool declined() const noexcept { return answer && answer->status == ProviderStatus::declined; }
  bool authorized() const noexcept { return answer && answer->status == ProviderStatus::authorized; }
  bool captured() const noexcept { return answer && answer->status == ProviderStatus::captured; }
  /// The customer or the bank has yet to act: wait for a PaymentEvent, or resolve() later.
  bool waiting() const noexcept {
    return answer && (answer->status == ProviderStatus::action_required ||
                      answer->status == ProviderStatus::processing || answer->refunding.minor > 0);
  }
};

/// A provider's message about a payment, translated: a hint, for it may be late, doubled or out of order.
struct ProviderEvent {
  std::string id;                       ///< the provider's; one that was seen is not handled again
  std::optional<ProviderPayment> seen;  ///< the payment as it was then; absent: only that something happened
  std::string ref;
  std::optional<PaymentId> payment_id;
};

/// Told of each event of a known payment, within the transaction that recorded it.
struct PaymentEvent {
  std::string id;
  Payment payment;  ///< as it is now
  bool changed = false;
};
using OnPaymentEvent = std::function<void(const Context&, sql::Transaction&, const PaymentEvent&)>;

/// What became of an event.
enum class EventOutcome : std::uint8_t {
  applied,
  stale,
  asked,
  released,  ///< it told of money that is held for a payment which has ended: let go of
  duplicate,
  unknown_payment,
};
HOLDFAST_DESCRIBE_ENUM(EventOutcome, applied, stale, asked, released, duplicate, unknown_payment)

class Payments {
 public:
  struct Options {
    Duration key_lifetime = std::chrono::hours(23);  ///< providers forget keys after a day
    Duration event_retention = std::chrono::hours(24 * 31);
  };

  /// All are borrowed. `database` is the one whose transactions record() is given.
  Payments(sql::Database& database, IdGenerator& ids, PaymentProvider& provider, observe::Metrics& metrics);
  Payments(sql::Database& database, IdGenerator& ids, PaymentProvider& provider, observe::Metrics& metrics,
           Options options);
  ~Payments();

  /// Writes the order's payment down as `requested`, and in the ledger that the order owes it. Once: a
  /// second time it returns what there is. Throws Error(invalid_argument) for an amount that is not
  /// positive.
  Payment open(const Context& ctx, sql::Transaction& tx, const NewPayment& payment);

  // The outside calls. Each reads the payment, asks the provider first where its state is unknown, does
  // nothing where it is done already, and returns what is to be recorded. They throw Error where it is sure
  // that nothing happened (fault_of() says which: rejected, unavailable, rate_limited), not_found
  // "unknown_payment" and conflict "payment_state" where the payment can't do that any more.

  /// Holds the amount.
  Outcome authorize(const Context& ctx, const OrderId& order_id);
  /// Takes what is held. `key` is "<saga id>/<step>".
  Outcome capture(const Context& ctx, const OrderId& order_id, const std::string& key);
  /// Gives back `amount` of what was taken; all that is left of it unless set.
  Outcome refund(const Context& ctx, const OrderId& order_id, const std::string& key,
                 std::optional<Money> amount = {});
  /// Makes it as if it had not been, whatever state it is in: withdraws, releases or refunds; nothing where
  /// there is no payment, or it was declined, released or refunded. An Outcome that is waiting() has a
  /// refund on its way: it counts as done.
  Outcome undo(const Context& ctx, const OrderId& order_id, const std::string& key);
  /// Asks how it stands, changing nothing outside.
  Outcome resolve(const Context& ctx, const OrderId& order_id);

  /// For a saga's act: passes a known outcome on; an unknown one is recorded at once, in a transaction of
  /// its own, so that it shows, and thrown as Error(unavailable, "payment_outcome_unknown"): the next try of
  /// the step will ask.
  Outcome settle(const Context& ctx, Outcome outcome);

  /// Writes down what came of an outside call, with its entries in the ledger; returns the payment as it is
  /// then. Recorded twice, or after something newer, it changes nothing that it should not: amounts are
  /// totals, and states do not go backwards. Nothing (empty) where there is no payment.
  std::optional<Payment> record(const Context& ctx, sql::Transaction& tx, const Outcome& outcome);

  /// Handles a provider's message in one transaction with the memory that it was handled; `told` runs in it.
  /// Where the message contradicts what is known, the provider is asked before; what it holds for a payment
  /// that was declined, withdrawn or released is released. Throws what asking, or releasing, throws: the
  /// message is then not handled, and the provider sends it again.
  EventOutcome receive(const Context& ctx, const ProviderEvent& event, const OnPaymentEvent& told);

  /// Asks how refunds stand that are on their way for longer than `older_than`, the oldest 100, and records
  /// it: where the provider's word of their end was lost. Returns how many have ended. Throws what asking
  /// throws; what was heard until then is recorded.
  std::int64_t follow_refunds(const Context& ctx, Duration older_than);

  /// Reads the gauges of unknown payments anew; call it every few seconds.
  void measure(const Context& ctx);

  PaymentProvider& provider() noexcept { return provider_; }
  /// Which of the provider's messages were handled. Its sweeper is for the caller to run.
  const webhooks::Incoming& incoming() const noexcept { return incoming_; }

 private:
  struct Meters;
  Payment require(const Context& ctx, const OrderId& order_id);
  bool key_holds(const Context& ctx, const Payment& payment) const;
  Authorization authorization_of(const Payment& payment) const;
  template <class Call>
  Outcome ask(const Context& ctx, const Payment& payment, Operation operation, Call&& call);
  Outcome current(const Context& ctx, const Payment& payment);
  Outcome undo_known(const Context& ctx, const Payment& payment, const ProviderPayment& now,
                     const std::string& key);
  EventOutcome look_at_hold(const Context& ctx, const Payment& payment, const std::string& ref,
                            Outcome& outcome);

  std::optional<Payment> apply(const Context& ctx, sql::Transaction& tx, const Outcome& outcome,
                               bool& changed);

  sql::Database& database_;
  IdGenerator& ids_;
  PaymentProvider& provider_;
  Options options_;
  webhooks::Incoming incoming_;
  std::unique_ptr<Meters> meters_;
};

std::optional<Payment> find(sql::Queries& db, const OrderId& order_id);

/// Payments whose outcome is not known, or that wait for a bank or a customer, the oldest first.
struct OpenPayment {
  PaymentId id;
  OrderId order_id;
  PaymentState state = PaymentState::unknown;
  std::optional<Operation> open_operation;
  std::optional<WallTime> unknown_since;
  WallTime updated_at;
};
HOLDFAST_DESCRIBE(OpenPayment, (id, order_id, state, open_operation, unknown_since, updated_at))
std::vector<OpenPayment> open_payments(sql::Queries& db, std::int64_t limit = 100);
/// Whose refund is on its way, and which were changed before `before`; the oldest first.
std::vector<OpenPayment> refunding_payments(sql::Queries& db, WallTime before, std::int64_t limit = 100);

struct UnknownPayments {
  std::int64_t count = 0;
  std::optional<WallTime> oldest;
};
HOLDFAST_DESCRIBE(UnknownPayments, (count, oldest))
UnknownPayments unknown_payments(sql::Queries& db);

/// How many payments are in each state.
struct StateCount {
  PaymentState state = PaymentState::requested;
  std::int64_t count = 0;
};
HOLDFAST_DESCRIBE(StateCount, (state, count))
std::vector<StateCount> count_by_state(sql::Queries& db);

/// Where our book and the provider's differ.
struct Discrepancy {
  std::string provider_ref;
  std::string payment_id;  ///< empty where we have none
  std::string problem;     ///< not_here, captured_differs, refunded_differs, held_without_order,
                           ///< held_and_forgotten
  std::int64_t here_minor = 0;
  std::int64_t there_minor = 0;
};
HOLDFAST_DESCRIBE(Discrepancy, (provider_ref, payment_id, problem, here_minor, there_minor))

/// Compares a piece of the provider's book with ours. Payments in flight (requested, unknown) are left out,
/// but not those of which nothing was heard for longer than kInFlightAtMost.
std::vector<Discrepancy> compare(sql::Queries& db, std::span<const ProviderPayment> book, WallTime now);
inline constexpr std::chrono::hours kInFlightAtMost{2};

/// This module's steps of the schema; their numbers are given out in orders/migrations.cpp.
std::vector<sql::Migration> migrations();

}  // namespace holdfast::orders::payments
