// PaymentProvider: the port through which money moves, in our own words; adapters translate a provider's.
// (Part of payments.hpp.)
//
// Each mutating call takes a key: sent again with the same key and the same arguments it changes nothing
// more and returns what came of it. A refused card is an answer (`declined`), not an Error. What is thrown
// says what is known of the money: see ProviderFault. Fetching changes nothing.
//
// Thread-safety: calls from any fiber of the runtime; none of them within a transaction, since they wait.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/id.hpp"
#include "holdfast/base/money.hpp"
#include "holdfast/base/reflect.hpp"
#include "holdfast/runtime/context.hpp"

namespace holdfast::orders::payments {

using PaymentId = Id<"pay">;
using OrderId = Id<"ord">;

/// What a provider says of a payment.
enum class ProviderStatus : std::uint8_t {
  declined,         ///< the card or the bank said no; no money is held
  action_required,  ///< the customer has to confirm (3-D Secure)
  processing,       ///< the bank has not answered yet
  authorized,       ///< the amount is held, not taken
  captured,         ///< the amount was taken
  cancelled,        ///< released, or never held
};
HOLDFAST_DESCRIBE_ENUM(ProviderStatus, declined, action_required, processing, authorized, captured, cancelled)

/// Why a card was refused, as far as the customer may know. `card_declined` where the bank gives no reason.
enum class DeclineReason : std::uint8_t {
  card_declined,
  insufficient_funds,
  expired_card,
  incorrect_cvc,
  incorrect_number,
  authentication_failed,
  processing_error,
  currency_not_supported,
};
HOLDFAST_DESCRIBE_ENUM(DeclineReason, card_declined, insufficient_funds, expired_card, incorrect_cvc,
                       incorrect_number, authentication_failed, processing_error, currency_not_supported)

/// A payment as the provider's book has it. Amounts are totals so far, so that hearing of them twice is
/// harmless.
struct ProviderPayment {
  std::string ref;  ///< the provider's own id of it
  ProviderStatus status = ProviderStatus::processing;
  Money amount;                           ///< asked for
  Money captured;                         ///< taken of it
  Money refunded;                         ///< given back of that
  Money refunding;                        ///< on its way back: asked for, and not done yet
  std::optional<DeclineReason> decline;   ///< set where declined
  std::optional<std::string> action_url;  ///< where the customer confirms, where action is required
  std::optional<PaymentId> payment_id;    ///< ours, as given to authorize()
  std::string key;                        ///< of the authorization
};

/// Asks for `amount` of `method`, to be held until it is captured or released.
struct Authorization {
  std::string key;
  PaymentId payment_id;
  OrderId order_id;
  Money amount;
  std::string method;       ///< the customer's means of payment, a token of the provider's: "pm_card_visa"
  WallTime first_asked_at;  ///< not before this was the key used for the first time
};

/// What a failed call says of the money; reason() of the Error it throws.
enum class ProviderFault : std::uint8_t {
  rejected,         ///< payment_rejected: our request is wrong (configuration, a defect); don't repeat it
  unavailable,      ///< payment_unavailable: nothing happened; repeat it later
  rate_limited,     ///< payment_rate_limited: nothing happened; repeat it after retry_after()
  outcome_unknown,  ///< payment_outcome_unknown: it may have happened; ask
};
HOLDFAST_DESCRIBE_ENUM(ProviderFault, rejected, unavailable, rate_limited, outcome_unknown)

/// The Error to throw; `cause` is for the log.
Error provider_error(ProviderFault fault, std::string cause, std::optional<Duration> retry_after = {});

/// What an Error thrown by a mutating call says; what none of the adapters' own errors says (a deadline, a
/// cancellation) leaves the outcome unknown.
ProviderFault fault_of(const Error& error);

class PaymentProvider {
 public:
  virtual ~PaymentProvider() = default;
  PaymentProvider(const PaymentProvider&) = delete;
  PaymentProvider& operator=(const PaymentProvider&) = delete;

  virtual ProviderPayment authorize(const Context& ctx, const Authorization& authorization) = 0;

  /// Makes sure that this authorization can never happen any more, also where a request of it is still on
  /// its way, and returns what it had come to before: nothing where it never happened. Asking whether it
  /// happened would not do: what has not happened yet may be about to.
  virtual std::optional<ProviderPayment> withdraw(const Context& ctx, const Authorization& authorization) = 0;

  /// Takes `amount` of what is held.
  virtual ProviderPayment capture(const Context& ctx, const std::string& ref, const std::string& key,
                                  const Money& amount) = 0;
  /// Releases what is held.
  virtual ProviderPayment cancel(const Context& ctx, const std::string& ref, const std::string& key) = 0;
  /// Gives `amount` of what was captured back.
  virtual ProviderPayment refund(const Context& ctx, const std::string& ref, const std::string& key,
                                 const Money& amount) = 0;

  /// The payment as it is now. Throws `rejected` where there is none of that ref.
  virtual ProviderPayment fetch(const Context& ctx, const std::string& ref) = 0;
  /// The payment that was authorized under that key, as it is now; nothing where there is none (yet).
  virtual std::optional<ProviderPayment> find(const Context& ctx, const Authorization& authorization) = 0;

  /// A piece of the provider's book, newest first, for reconciliation.
  struct BookPage {
    std::vector<ProviderPayment> payments;
    std::optional<std::string> next;  ///< the cursor for more
  };
  virtual BookPage book(const Context& ctx, WallTime since, const std::string& cursor) = 0;

  /// "memory", "stripe": in the payments' rows, in the ledger's accounts, in metrics.
  virtual std::string_view name() const noexcept = 0;

 protected:
  PaymentProvider() = default;
};

}  // namespace holdfast::orders::payments
