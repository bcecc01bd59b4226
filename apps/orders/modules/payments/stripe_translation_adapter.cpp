#include "orders/modules/payments/stripe_translation_adapter.hpp"

#include <algorithm>
#include <array>
#include <limits>

#include "holdfast/base/error.hpp"

namespace holdfast::orders::payments::stripe {
namespace {

constexpr JsonLimits kLimits{.max_bytes = kMaxAnswerBytes, .max_depth = 32};
constexpr std::size_t kMaxRefBytes = 255;

/// Thrown and caught within this file only.
struct Unreadable {
  std::string why;
};

std::optional<JsonDocument> parse(std::string_view body, std::string& why) {
  try {
    return JsonDocument::parse(body, kLimits);
  } catch (const Error& error) {
    why = error.detail();
    return std::nullopt;
  }
}

std::string_view text_or(const JsonValue& object, std::string_view name, std::string_view otherwise = {}) {
  const JsonValue* value = object.find(name);
  return value != nullptr && value->is_string() ? value->as_string() : otherwise;
}

std::string_view text(const JsonValue& object, std::string_view name) {
  const JsonValue* value = object.find(name);
  if (value == nullptr || !value->is_string() || value->as_string().empty())
    throw Unreadable{"there is no text '" + std::string(name) + "'"};
  return value->as_string();
}

std::string ref(const JsonValue& object, std::string_view name) {
  const std::string_view id = text(object, name);
  // It becomes part of a URL's path and of a row: so it is what ids are made of, and short.
  const bool plain = std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
  if (!plain || id.size() > kMaxRefBytes) throw Unreadable{"'" + std::string(name) + "' is no id"};
  return std::string(id);
}

std::int64_t number(const JsonValue& object, std::string_view name) {
  const JsonValue* value = object.find(name);
  if (value == nullptr || value->kind() != JsonKind::int64 || value->as_int64() < 0)
    throw Unreadable{"there is no number '" + std::string(name) + "'"};
  return value->as_int64();
}

Currency currency(const JsonValue& object) {
  std::string code(text(object, "currency"));
  for (char& c : code) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  const auto parsed = Currency::parse(code);
  if (!parsed) throw Unreadable{"'currency' is none"};
  return *parsed;
}

Money money(const JsonValue& object, std::string_view name, Currency of) {
  const auto read = from_amount(number(object, name), of);
  if (!read) throw Unreadable{"'" + std::string(name) + "' is no amount of " + std::string(of.text())};
  return *read;
}

ProviderStatus status(std::string_view name) {
  if (name == "requires_capture") return ProviderStatus::authorized;
  if (name == "succeeded") return ProviderStatus::captured;
  if (name == "canceled") return ProviderStatus::cancelled;
  if (name == "processing") return ProviderStatus::processing;
  if (name == "requires_action" || name == "requires_confirmation") return ProviderStatus::action_required;
  if (name == "requires_payment_method") return ProviderStatus::declined;
  throw Unreadable{"the status '" + std::string(name.substr(0, 40)) + "' is not known"};
}

void read_metadata(const JsonValue& object, ProviderPayment& payment) {
  const JsonValue* metadata = object.find("metadata");
  if (metadata == nullptr) return;
  payment.payment_id = PaymentId::parse(text_or(*metadata, "payment_id"));
  payment.key = text_or(*metadata, "authorization_key");
}

ReadIntent intent_of(const JsonValue& object) {
  if (!object.is_object()) throw Unreadable{"it is no object"};
  ReadIntent read;
  ProviderPayment& payment = read.payment;
  payment.ref = ref(object, "id");
  payment.status = status(text(object, "status"));
  const Currency of = currency(object);
  payment.amount = money(object, "amount", of);
  payment.captured = payment.refunded = payment.refunding = {0, of};
  const bool captured = payment.status == ProviderStatus::captured;
  if (captured) payment.captured = money(object, "amount_received", of);
  if (payment.captured.minor > payment.amount.minor) throw Unreadable{"more was received than asked for"};
  if (const JsonValue* created = object.find("created"); created != nullptr)
    read.created = number(object, "created");
  if (payment.status == ProviderStatus::declined) {
    const JsonValue* why = object.find("last_payment_error");
    payment.decline = why == nullptr ? DeclineReason::card_declined
                                     : decline_reason(text_or(*why, "code"), text_or(*why, "decline_code"));
  }
  if (const JsonValue* next = object.find("next_action"); next != nullptr) {
    if (const JsonValue* redirect = next->find("redirect_to_url"); redirect != nullptr) {
      const std::string_view url = text_or(*redirect, "url");
      if (url.starts_with("https://")) payment.action_url = std::string(url);
    }
  }
  read_metadata(object, payment);
  const JsonValue* charge = object.find("latest_charge");
  const bool expanded = charge != nullptr && charge->is_object();
  if (expanded && captured) payment.refunded = money(*charge, "amount_refunded", of);
  read.refunds_included = expanded || !captured;
  if (payment.refunded.minor > payment.captured.minor) throw Unreadable{"more was refunded than received"};
  return read;
}

/// Runs `reading` of a parsed body; what is wrong becomes `why`.
template <class T, class Reading>
Read<T> reading(std::string_view body, Reading&& read) {
  Read<T> result;
  const auto document = parse(body, result.why);
  if (!document) return result;
  try {
    result.value = read(document->root());
  } catch (Unreadable& fault) {
    result.why = std::move(fault.why);
  }
  return result;
}

std::span<const JsonValue> data_of(const JsonValue& list) {
  const JsonValue* data = list.find("data");
  if (data == nullptr || !data->is_array()) throw Unreadable{"there is no list 'data'"};
  return data->items();
}

bool has_more(const JsonValue& list) {
  const JsonValue* more = list.find("has_more");
  return more != nullptr && more->kind() == JsonKind::boolean && more->as_bool();
}

/// How the API counts a currency, where it is not as ISO 4217 does.
struct Odd {
  Currency currency;
  std::int64_t times;  ///< our minor units times this
  std::int64_t over;   ///< over this, without a rest
  std::int64_t step;   ///< the API's amount is a multiple of it
};
constexpr std::array kOdd{Odd{Currency::of("ISK"), 100, 1, 100}, Odd{Currency::of("UGX"), 100, 1, 100},
                          Odd{Currency::of("MGA"), 1, 100, 1},   Odd{Currency::of("BHD"), 1, 1, 10},
                          Odd{Currency::of("JOD"), 1, 1, 10},    Odd{Currency::of("KWD"), 1, 1, 10},
                          Odd{Currency::of("OMR"), 1, 1, 10},    Odd{Currency::of("TND"), 1, 1, 10}};

const Odd* odd(Currency currency) {
  const auto* const found =
      std::find_if(kOdd.begin(), kOdd.end(), [&](const Odd& each) { return each.currency == currency; });
  return found == kOdd.end() ? nullptr : found;
}

}  // namespace

void append_escaped(std::string& out, std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || c == '~';
    if (plain) {
      out.push_back(c);
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out.append({'%', kDigits[byte >> 4], kDigits[byte & 15]});
  }
}

std::string encode_form(const Form& form) {
  std::string out;
  for (const auto& [name, value] : form) {
    if (!out.empty()) out.push_back('&');
    append_escaped(out, name);
    out.push_back('=');
    append_escaped(out, value);
  }
  return out;
}

std::string currency_code(Currency currency) {
  std::string code(currency.text());
  for (char& c : code) c = static_cast<char>(c - 'A' + 'a');
  return code;
}

std::optional<std::int64_t> to_amount(const Money& money) {
  const Odd* rule = odd(money.currency);
  if (money.minor < 0) return std::nullopt;
  if (rule == nullptr) return money.minor;
  if (money.minor > std::numeric_limits<std::int64_t>::max() / rule->times) return std::nullopt;
  const std::int64_t amount = money.minor * rule->times / rule->over;
  if (money.minor * rule->times % rule->over != 0 || amount % rule->step != 0) return std::nullopt;
  return amount;
}

std::optional<Money> from_amount(std::int64_t amount, Currency currency) {
  if (amount < 0) return std::nullopt;
  const Odd* rule = odd(currency);
  if (rule == nullptr) return Money{amount, currency};
  if (amount % rule->times != 0 || amount > std::numeric_limits<std::int64_t>::max() / rule->over)
    return std::nullopt;
  return Money{amount / rule->times * rule->over, currency};
}

Read<ReadIntent> read_intent(const JsonValue& intent) {
  Read<ReadIntent> result;
  try {
    result.value = intent_of(intent);
  } catch (Unreadable& fault) {
    result.why = std::move(fault.why);
  }
  return result;
}

Read<ReadIntent> read_intent(std::string_view body) { return reading<ReadIntent>(body, intent_of); }

Read<IntentList> read_intents(std::string_view body) {
  return reading<IntentList>(body, [](const JsonValue& root) {
    IntentList list;
    for (const JsonValue& each : data_of(root)) list.intents.push_back(intent_of(each));
    if (!has_more(root)) return list;
    if (const std::string_view page = text_or(root, "next_page"); !page.empty()) {
      list.next = std::string(page);
    } else if (!list.intents.empty()) {
      list.next = list.intents.back().payment.ref;
    }
    return list;
  });
}

Read<Refunds> read_refunds(std::string_view body) {
  return reading<Refunds>(body, [](const JsonValue& root) {
    Refunds refunds;
    for (const JsonValue& each : data_of(root)) {
      const std::int64_t amount = number(each, "amount");
      if (const JsonValue* metadata = each.find("metadata"); metadata != nullptr)
        refunds.keys.emplace_back(text_or(*metadata, "refund_key"));
      const std::string_view state = text_or(each, "status", "succeeded");
      std::int64_t& sum = state == "succeeded" ? refunds.done : refunds.pending;
      if (state == "failed" || state == "canceled") continue;
      if (__builtin_add_overflow(sum, amount, &sum)) throw Unreadable{"the refunds are too many"};
    }
    refunds.more = has_more(root);
    return refunds;
  });
}

Read<std::string> read_refund_status(std::string_view body) {
  return reading<std::string>(body, [](const JsonValue& root) {
    static_cast<void>(ref(root, "id"));
    static_cast<void>(number(root, "amount"));
    return std::string(text_or(root, "status", "succeeded"));
  });
}

ApiError read_error(std::string_view body) {
  ApiError error;
  std::string why;
  const auto document = parse(body, why);
  if (!document) return error;
  const JsonValue* given = document->root().find("error");
  if (given == nullptr) return error;
  error.type = text_or(*given, "type");
  error.code = text_or(*given, "code");
  error.decline_code = text_or(*given, "decline_code");
  error.message = text_or(*given, "message");
  if (const JsonValue* intent = given->find("payment_intent"); intent != nullptr)
    error.intent = read_intent(*intent).value;
  return error;
}

DeclineReason decline_reason(std::string_view code, std::string_view decline_code) noexcept {
  for (const std::string_view said : {decline_code, code}) {
    if (said == "insufficient_funds") return DeclineReason::insufficient_funds;
    if (said == "expired_card") return DeclineReason::expired_card;
    if (said == "incorrect_cvc" || said == "invalid_cvc") return DeclineReason::incorrect_cvc;
    if (said == "incorrect_number" || said == "invalid_number") return DeclineReason::incorrect_number;
    if (said == "processing_error") return DeclineReason::processing_error;
    if (said == "currency_not_supported") return DeclineReason::currency_not_supported;
    if (said == "authentication_required" || said == "payment_intent_authentication_failure")
      return DeclineReason::authentication_failed;
  }
  return DeclineReason::card_declined;  // also for stolen and lost cards: whoever uses one is not told
}

namespace {

/// A charge after a refund of it.
ProviderEvent refunded_charge(const JsonValue& charge, ProviderEvent event) {
  event.ref = ref(charge, "payment_intent");
  const Currency of = currency(charge);
  ProviderPayment seen;
  seen.ref = event.ref;
  seen.status = ProviderStatus::captured;
  seen.amount = money(charge, "amount", of);
  seen.captured = money(charge, "amount_captured", of);
  seen.refunded = money(charge, "amount_refunded", of);
  seen.refunding = {0, of};
  if (seen.captured.minor > seen.amount.minor || seen.refunded.minor > seen.captured.minor)
    throw Unreadable{"the charge's amounts make no sense"};
  event.seen = seen;
  return event;
}

std::optional<ProviderEvent> event_of(const JsonValue& root) {
  ProviderEvent event;
  event.id = ref(root, "id");
  const std::string_view type = text(root, "type");
  const JsonValue* data = root.find("data");
  const JsonValue* object = data == nullptr ? nullptr : data->find("object");
  if (object == nullptr || !object->is_object()) throw Unreadable{"there is no 'data.object'"};
  if (type.starts_with("payment_intent.") && type != "payment_intent.created") {
    event.seen = intent_of(*object).payment;
    event.ref = event.seen->ref;
    event.payment_id = event.seen->payment_id;
    return event;
  }
  if (type == "charge.refunded") return refunded_charge(*object, std::move(event));
  // Of refunds that ended later the object says too little: the payment is asked for.
  if (type == "refund.updated" || type == "refund.failed" || type == "charge.refund.updated") {
    event.ref = ref(*object, "payment_intent");
    return event;
  }
  return std::nullopt;
}

}  // namespace

std::optional<ProviderEvent> read_event(std::string_view body) {
  auto read = reading<std::optional<ProviderEvent>>(body, event_of);
  if (read.value) return std::move(*read.value);
  throw Error(ErrorCode::invalid_argument, "This is no event of the payment provider: " + read.why + ".")
      .reason("malformed_event");
}

}  // namespace holdfast::orders::payments::stripe
