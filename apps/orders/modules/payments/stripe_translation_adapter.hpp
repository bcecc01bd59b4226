// The edge between Stripe's words and ours: forms, amounts, objects, errors and events of its API, in and
// out. Nothing of them goes further. (The adapter's own; its texts come from outside, so all of it is
// fuzzed.)
//
// Thread-safety: pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "holdfast/base/json.hpp"
#include "orders/modules/payments/payments.hpp"

namespace holdfast::orders::payments::stripe {

inline constexpr std::size_t kMaxAnswerBytes = 2 * 1024 * 1024;

using Form = std::vector<std::pair<std::string, std::string>>;
/// application/x-www-form-urlencoded; also for query strings.
std::string encode_form(const Form& form);
void append_escaped(std::string& out, std::string_view text);

/// Our minor units as the API counts: the same, but for currencies it treats as ISO 4217 does not
/// (docs.stripe.com/currencies: ISK and UGX take two decimals, MGA none, three-decimal ones end in 0).
/// Nothing where it can't be said.
std::optional<std::int64_t> to_amount(const Money& money);
std::optional<Money> from_amount(std::int64_t amount, Currency currency);
std::string currency_code(Currency currency);  ///< "gbp"

/// What an answer's text turned out to be: `why` says what is wrong with it where there is no value.
template <class T>
struct Read {
  std::optional<T> value;
  std::string why;
};

struct ReadIntent {
  ProviderPayment payment;
  std::int64_t created = 0;      ///< Unix seconds
  bool refunds_included = true;  ///< false: what was refunded has to be asked for
};
Read<ReadIntent> read_intent(const JsonValue& intent);
Read<ReadIntent> read_intent(std::string_view body);

struct IntentList {
  std::vector<ReadIntent> intents;
  std::optional<std::string> next;  ///< cursor
};
/// Of a list or a search. An intent within it that can't be read spoils it all: a book with a hole is none.
Read<IntentList> read_intents(std::string_view body);

struct Refunds {
  std::int64_t done = 0;          ///< in the API's units
  std::int64_t pending = 0;       ///< likewise
  bool more = false;              ///< there are others
  std::vector<std::string> keys;  ///< that they were asked for under
};
Read<Refunds> read_refunds(std::string_view body);
/// The status of one refund: "succeeded", "pending", "failed", …
Read<std::string> read_refund_status(std::string_view body);

struct ApiError {
  std::string type;
  std::string code;
  std::string decline_code;
  std::string message;
  std::optional<ReadIntent> intent;
};
/// Of what is not an error object, empty texts.
ApiError read_error(std::string_view body);
DeclineReason decline_reason(std::string_view code, std::string_view decline_code) noexcept;

/// Nothing for an event that says nothing about a payment's money. Throws Error(invalid_argument) for what is
/// no event.
std::optional<ProviderEvent> read_event(std::string_view body);

}  // namespace holdfast::orders::payments::stripe
