#include "orders/modules/payments/stripe_http_adapter.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

namespace holdfast::orders::payments {
namespace {

using stripe::ApiError;

constexpr std::string_view kIntents = "/v1/payment_intents";
constexpr std::string_view kPageSize = "100";
constexpr std::string_view kKeyReused = "idempotency_error";
/// A key so old is looked for by the index, which lags behind by up to an hour; a younger one in the list.
constexpr auto kIndexLag = std::chrono::hours(1);
/// How far the provider's clock may be behind ours.
constexpr auto kClockSkew = std::chrono::minutes(5);
constexpr Duration kMostRetryAfter = std::chrono::hours(1);

bool says(const http::ClientResponse& response, std::string_view header, std::string_view value) {
  return http::equal_ignoring_case(response.header(header), value);
}

/// That this is what came of an earlier request with the key, told again.
bool replayed(const http::ClientResponse& response) { return says(response, "Idempotent-Replayed", "true"); }

bool success(const http::ClientResponse& response) { return response.status >= 200 && response.status < 300; }

/// In seconds only: dates would take the provider's clock for ours.
std::optional<Duration> retry_after(const http::ClientResponse& response) {
  const std::string_view text = response.header("Retry-After");
  std::int64_t seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size() || seconds < 0)
    return std::nullopt;
  return std::min<Duration>(std::chrono::seconds(std::min<std::int64_t>(seconds, 86'400)), kMostRetryAfter);
}

/// Whether nothing of the request can have arrived.
bool never_sent(const Error& error) {
  return error.code() == ErrorCode::invalid_argument || error.reason() == "host_not_found" ||
         error.reason() == "connection_failed";
}

std::string described(const http::ClientResponse& response, const ApiError& error) {
  std::string text = "status " + std::to_string(response.status);
  for (const std::string* part : {&error.type, &error.code, &error.message}) {
    if (!part->empty()) text += ", " + part->substr(0, 300);
  }
  if (const std::string_view id = response.header("Request-Id"); !id.empty())
    text += ", request " + std::string(id.substr(0, 100));
  return text;
}

/// An answer that is none of those that mean "perhaps" or "later": our request was wrong.
Error refusal(const http::ClientResponse& response, const ApiError& error) {
  std::string cause = described(response, error);
  if (response.status == 401 || response.status == 403)
    cause = "the key in payments.stripe.secret_key was refused: " + cause;
  if (response.status >= 300 && response.status < 400)
    cause = "payments.stripe.url leads elsewhere: " + cause;
  return provider_error(ProviderFault::rejected, std::move(cause));
}

/// An answer that says that the request should come again. Nothing for one that decides.
std::optional<Error> undecided(const http::ClientResponse& response) {
  if (replayed(response) || success(response) || response.status == 402) return std::nullopt;
  const bool busy = response.status == 429;
  const bool in_use = response.status == 409;
  const bool broken = response.status >= 500 || response.status == 408 || response.status == 424;
  const bool asks = says(response, "Stripe-Should-Retry", "true");
  if (!busy && !in_use && !broken && !asks) return std::nullopt;
  // Told not to repeat it, policies don't: `internal` counts against the provider and is not retried.
  const bool never = says(response, "Stripe-Should-Retry", "false");
  Error error = Error(never ? ErrorCode::internal : ErrorCode::unavailable, "The payment provider failed.")
                    .reason("payment_provider_failed")
                    .cause(described(response, stripe::read_error(response.body)));
  if (const auto after = retry_after(response)) return std::move(error).retry_after(*after);
  return error;
}

std::string id_in_path(const std::string& ref) {
  std::string escaped;
  stripe::append_escaped(escaped, ref);
  return escaped;
}

std::string amount_text(const Money& money) {
  const auto amount = stripe::to_amount(money);
  if (amount) return std::to_string(*amount);
  throw provider_error(ProviderFault::rejected, std::to_string(money.minor) + " minor units of " +
                                                    std::string(money.currency.text()) +
                                                    " can't be said in the API's amounts");
}

std::string next_key(const std::string& key, int number) {
  return number == 1 ? key : key + "~" + std::to_string(number);
}

}  // namespace

StripeProvider::StripeProvider(StripeSettings settings, Send send, Around around)
    : settings_(std::move(settings)), send_(std::move(send)), around_(std::move(around)) {
  while (settings_.url.ends_with('/')) settings_.url.pop_back();
}

StripeProvider::StripeProvider(StripeSettings settings, http::Client& client, resilience::Pipeline& pipeline)
    : StripeProvider(
          std::move(settings),
          [&client](const Context& ctx, const http::ClientRequest& request) {
            return client.send(ctx, request);
          },
          [&pipeline](const Context& ctx, const Attempt& attempt) {
            return pipeline.call(ctx, [&](const Context& attempt_ctx) { return attempt(attempt_ctx); },
                                 {.idempotent = true});
          }) {}

/// Sends under the policies and returns an answer that decides. Throws a ProviderFault otherwise: whatever
/// the last try said, one before it that may have arrived leaves the outcome unknown.
http::ClientResponse StripeProvider::send(const Context& ctx, const http::ClientRequest& request,
                                          bool changes) {
  bool may_have_happened = false;
  int last_status = 0;
  const Attempt attempt = [&](const Context& attempt_ctx) {
    last_status = 0;
    http::ClientResponse response;
    try {
      response = send_(attempt_ctx, request);
    } catch (const Error& error) {
      if (!never_sent(error)) may_have_happened = true;
      throw;
    }
    last_status = response.status;
    if (auto again = undecided(response)) {
      if (response.status != 429) may_have_happened = true;
      throw std::move(*again);
    }
    may_have_happened = false;  // it speaks for the key, and with it for every try before
    return response;
  };
  try {
    return around_ ? around_(ctx, attempt) : attempt(ctx);
  } catch (const Error& error) {
    if (changes && may_have_happened)
      throw provider_error(ProviderFault::outcome_unknown, error.what(), error.retry_after());
    if (error.code() == ErrorCode::cancelled) throw;
    const ProviderFault fault = error.code() == ErrorCode::invalid_argument ? ProviderFault::rejected
                                : last_status == 429                        ? ProviderFault::rate_limited
                                                                            : ProviderFault::unavailable;
    throw provider_error(fault, error.what(), error.retry_after());
  }
}

http::ClientResponse StripeProvider::post(const Context& ctx, const std::string& path,
                                          const std::string& form, const std::string& key) {
  http::ClientRequest request;
  request.method = http::Method::post;
  request.url = settings_.url + path;
  request.headers = {{"Authorization", "Bearer " + settings_.secret_key.reveal()},
                     {"Stripe-Version", settings_.api_version},
                     {"Content-Type", "application/x-www-form-urlencoded"},
                     {"Idempotency-Key", key}};
  request.body = form;
  request.max_response_bytes = stripe::kMaxAnswerBytes;
  return send(ctx, request, true);
}

std::string StripeProvider::get(const Context& ctx, const std::string& path_and_query) {
  http::ClientRequest request;
  request.method = http::Method::get;
  request.url = settings_.url + path_and_query;
  request.headers = {{"Authorization", "Bearer " + settings_.secret_key.reveal()},
                     {"Stripe-Version", settings_.api_version}};
  request.max_response_bytes = stripe::kMaxAnswerBytes;
  http::ClientResponse response = send(ctx, request, false);
  if (!success(response)) throw refusal(response, stripe::read_error(response.body));
  return std::move(response.body);
}

template <class Undecided>
ProviderPayment StripeProvider::post_for_payment(const Context& ctx, const std::string& path,
                                                 const std::string& form, const std::string& key,
                                                 Undecided&& there_is) {
  for (int number = 1;; ++number) {
    const http::ClientResponse response = post(ctx, path, form, next_key(key, number));
    if (success(response)) {
      auto read = stripe::read_intent(response.body);
      if (!read.value)
        throw provider_error(ProviderFault::outcome_unknown, "its answer can't be read: " + read.why);
      if (replayed(response)) return fetch(ctx, read.value->payment.ref);  // as it is now, not as it was then
      return std::move(read.value->payment);
    }
    const ApiError error = stripe::read_error(response.body);
    if (response.status == 402 && error.intent) {
      ProviderPayment declined = error.intent->payment;
      declined.decline = stripe::decline_reason(error.code, error.decline_code);
      return declined;
    }
    // The key was used with other parameters: a setting or a release of ours has changed since.
    const bool said_otherwise = error.type == kKeyReused;
    if (said_otherwise || (replayed(response) && response.status >= 500)) {
      if (auto there = there_is()) return std::move(*there);
    }
    if (!replayed(response)) throw refusal(response, error);
    if (number == kMaxKeys) throw refusal(response, error);
  }
}

ProviderPayment StripeProvider::authorize(const Context& ctx, const Authorization& authorization) {
  stripe::Form form{{"amount", amount_text(authorization.amount)},
                    {"currency", stripe::currency_code(authorization.amount.currency)},
                    {"capture_method", "manual"},
                    {"confirm", "true"},
                    {"payment_method", authorization.method},
                    {"automatic_payment_methods[enabled]", "true"},
                    {"description", "Order " + authorization.order_id.text()},
                    {"metadata[order_id]", authorization.order_id.text()},
                    {"metadata[payment_id]", authorization.payment_id.text()},
                    {"metadata[authorization_key]", authorization.key}};
  if (settings_.return_url.empty()) {
    form.emplace_back("automatic_payment_methods[allow_redirects]", "never");
    form.emplace_back("error_on_requires_action", "true");
  } else {
    form.emplace_back("return_url", settings_.return_url);
  }
  return post_for_payment(ctx, std::string(kIntents), stripe::encode_form(form), authorization.key,
                          [&] { return find(ctx, authorization); });
}

// The API refuses a key that comes with other parameters than it came with first. So the key is used for an
// intent that is not confirmed, which moves no money: either that works, and a request that is still on its
// way will be refused, or the refusal says that the key did its work, and repeating it tells what came of it.
std::optional<ProviderPayment> StripeProvider::withdraw(const Context& ctx,
                                                        const Authorization& authorization) {
  const std::string form =
      stripe::encode_form({{"amount", amount_text(authorization.amount)},
                           {"currency", stripe::currency_code(authorization.amount.currency)},
                           {"capture_method", "manual"},
                           {"automatic_payment_methods[enabled]", "true"},
                           {"description", "Withdrawn before it was asked for"},
                           {"metadata[withdrawn]", authorization.payment_id.text()}});
  const http::ClientResponse response = post(ctx, std::string(kIntents), form, authorization.key);
  if (success(response)) {
    const auto read = stripe::read_intent(response.body);
    if (!read.value)
      throw provider_error(ProviderFault::outcome_unknown, "its answer can't be read: " + read.why);
    cancel(ctx, read.value->payment.ref, authorization.key + "/withdrawn");
    return std::nullopt;
  }
  const ApiError error = stripe::read_error(response.body);
  if (error.type != kKeyReused) throw refusal(response, error);
  ProviderPayment was = authorize(ctx, authorization);
  if (was.ref.empty() || was.status == ProviderStatus::declined) return was;
  return fetch(ctx, was.ref);
}

ProviderPayment StripeProvider::capture(const Context& ctx, const std::string& ref, const std::string& key,
                                        const Money& amount) {
  const std::string path = std::string(kIntents) + "/" + id_in_path(ref) + "/capture";
  return post_for_payment(ctx, path, stripe::encode_form({{"amount_to_capture", amount_text(amount)}}), key,
                          [&]() -> std::optional<ProviderPayment> {
                            ProviderPayment now = fetch(ctx, ref);
                            if (now.status != ProviderStatus::captured) return std::nullopt;
                            return now;
                          });
}

ProviderPayment StripeProvider::cancel(const Context& ctx, const std::string& ref, const std::string& key) {
  const std::string path = std::string(kIntents) + "/" + id_in_path(ref) + "/cancel";
  return post_for_payment(ctx, path, stripe::encode_form({{"cancellation_reason", "requested_by_customer"}}),
                          key, [&]() -> std::optional<ProviderPayment> {
                            ProviderPayment now = fetch(ctx, ref);
                            if (now.status != ProviderStatus::cancelled) return std::nullopt;
                            return now;
                          });
}

ProviderPayment StripeProvider::refund(const Context& ctx, const std::string& ref, const std::string& key,
                                       const Money& amount) {
  const std::string form = stripe::encode_form(
      {{"payment_intent", ref}, {"amount", amount_text(amount)}, {"metadata[refund_key]", key}});
  for (int number = 1;; ++number) {
    const http::ClientResponse response = post(ctx, "/v1/refunds", form, next_key(key, number));
    const ApiError error = success(response) ? ApiError{} : stripe::read_error(response.body);
    if (success(response)) {
      const auto status = stripe::read_refund_status(response.body);
      if (!status.value)
        throw provider_error(ProviderFault::outcome_unknown, "its answer can't be read: " + status.why);
      const bool failed = *status.value == "failed" || *status.value == "canceled";
      if (!failed || !replayed(response)) {
        if (failed) throw provider_error(ProviderFault::rejected, "the refund of " + ref + " has failed");
        break;
      }
    } else if (!replayed(response)) {
      throw refusal(response, error);
    } else if (response.status >= 500) {
      const auto known =
          stripe::read_refunds(get(ctx, "/v1/refunds?limit=100&payment_intent=" + id_in_path(ref)));
      if (!known.value)
        throw provider_error(ProviderFault::outcome_unknown, "its refunds can't be read: " + known.why);
      if (std::find(known.value->keys.begin(), known.value->keys.end(), key) != known.value->keys.end())
        break;
    }
    if (number == kMaxKeys) throw refusal(response, error);
  }
  try {
    return fetch(ctx, ref);
  } catch (const Error& error) {  // it was refunded; how much in all, the next one who asks will hear
    throw provider_error(ProviderFault::outcome_unknown, error.what(), error.retry_after());
  }
}

ProviderPayment StripeProvider::fetch(const Context& ctx, const std::string& ref) {
  auto read = stripe::read_intent(get(ctx, std::string(kIntents) + "/" + id_in_path(ref)));
  if (!read.value) throw provider_error(ProviderFault::unavailable, "its answer can't be read: " + read.why);
  return with_refunds(ctx, std::move(*read.value));
}

ProviderPayment StripeProvider::with_refunds(const Context& ctx, stripe::ReadIntent read) {
  ProviderPayment& payment = read.payment;
  if (read.refunds_included) return std::move(payment);
  const auto refunds =
      stripe::read_refunds(get(ctx, "/v1/refunds?limit=100&payment_intent=" + id_in_path(payment.ref)));
  if (!refunds.value || refunds.value->more)
    throw provider_error(ProviderFault::unavailable, "its refunds can't be read: " + refunds.why);
  const auto done = stripe::from_amount(refunds.value->done, payment.amount.currency);
  const auto pending = stripe::from_amount(refunds.value->pending, payment.amount.currency);
  if (!done || !pending || done->minor > payment.captured.minor)
    throw provider_error(ProviderFault::unavailable, "the refunds of " + payment.ref + " make no sense");
  payment.refunded = *done;
  payment.refunding = *pending;
  return std::move(payment);
}

stripe::IntentList StripeProvider::list(const Context& ctx, const std::string& path_and_query) {
  auto read = stripe::read_intents(get(ctx, path_and_query));
  if (!read.value) throw provider_error(ProviderFault::unavailable, "its list can't be read: " + read.why);
  return std::move(*read.value);
}

std::optional<ProviderPayment> StripeProvider::find(const Context& ctx, const Authorization& authorization) {
  const auto since = authorization.first_asked_at - kClockSkew;
  const std::int64_t oldest =
      std::chrono::duration_cast<std::chrono::seconds>(since.time_since_epoch()).count();
  const bool indexed = ctx.clock().wall_now() - authorization.first_asked_at > kIndexLag;
  const std::string by_index =
      "/v1/payment_intents/search?" +
      stripe::encode_form({{"limit", std::string(kPageSize)},
                           {"query", "metadata['authorization_key']:'" + authorization.key + "'"}});
  const std::string newest_first = std::string(kIntents) + "?limit=" + std::string(kPageSize);
  std::string cursor;
  for (int page = 0; page < kMaxPages; ++page) {
    const std::string after =
        cursor.empty() ? "" : std::string(indexed ? "&page=" : "&starting_after=") + id_in_path(cursor);
    stripe::IntentList intents = list(ctx, (indexed ? by_index : newest_first) + after);
    for (stripe::ReadIntent& each : intents.intents) {
      if (each.payment.key == authorization.key) return with_refunds(ctx, std::move(each));
      if (!indexed && each.created < oldest) return std::nullopt;
    }
    if (!intents.next) return std::nullopt;
    cursor = *intents.next;
  }
  throw provider_error(ProviderFault::unavailable, "the payment of key " + authorization.key +
                                                       " is not among the " + std::to_string(kMaxPages) +
                                                       " newest pages of its book");
}

PaymentProvider::BookPage StripeProvider::book(const Context& ctx, WallTime since,
                                               const std::string& cursor) {
  const std::int64_t oldest =
      std::chrono::duration_cast<std::chrono::seconds>(since.time_since_epoch()).count();
  std::string path =
      std::string(kIntents) + "?limit=" + std::string(kPageSize) + "&expand%5B%5D=data.latest_charge";
  if (!cursor.empty()) path += "&starting_after=" + id_in_path(cursor);
  stripe::IntentList intents = list(ctx, path);
  BookPage page;
  page.next = std::move(intents.next);
  for (stripe::ReadIntent& each : intents.intents) {
    if (each.created < oldest) {
      page.next.reset();
      break;
    }
    page.payments.push_back(with_refunds(ctx, std::move(each)));
  }
  return page;
}

}  // namespace holdfast::orders::payments
