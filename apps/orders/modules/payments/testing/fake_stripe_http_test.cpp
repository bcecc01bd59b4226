// FakeStripe's workings; no tests of their own.
#include <algorithm>
#include <set>

#include "orders/modules/payments/stripe_http_adapter.hpp"
#include "orders/modules/payments/testing/fake_stripe.hpp"

namespace holdfast::orders::payments::testing {
namespace {

using Form = std::map<std::string, std::string>;

Form parse_form(std::string_view text) {
  Form form;
  while (!text.empty()) {
    const std::string_view pair = text.substr(0, text.find('&'));
    text.remove_prefix(std::min(text.size(), pair.size() + 1));
    const std::size_t equals = pair.find('=');
    std::string name;
    std::string value;
    EXPECT_TRUE(http::percent_decode(pair.substr(0, equals), http::Escaped::query, name));
    EXPECT_TRUE(http::percent_decode(pair.substr(equals + 1), http::Escaped::query, value));
    EXPECT_TRUE(form.emplace(name, value).second) << name << " is said twice";
  }
  return form;
}

std::string header(const http::ClientRequest& request, std::string_view name) {
  for (const auto& each : request.headers) {
    if (http::equal_ignoring_case(each.name, name)) return each.value;
  }
  return {};
}

}  // namespace

FakeStripe::Answer FakeStripe::error(int status, const std::string& type, const std::string& code,
                                     const std::string& intent, const std::string& decline_code) {
  std::string body;
  JsonWriter writer(body);
  writer.begin_object().key("error").begin_object().member("type", type).member("code", code);
  writer.member("message", "about " + code).member("doc_url", "https://example.org");
  if (!decline_code.empty()) writer.member("decline_code", decline_code);
  if (!intent.empty()) writer.key("payment_intent").raw(intent);
  writer.end_object().end_object();
  return {status, body};
}

std::string FakeStripe::intent_json(const Intent& intent) const {
  std::string body;
  JsonWriter writer(body);
  writer.begin_object().member("id", intent.id).member("object", "payment_intent");
  writer.key("amount").raw(intent.amount).member("currency", intent.currency);
  writer.key("amount_received").raw(intent.received).member("created", 1767225600 + intents.size());
  writer.member("status", intent.status).member("latest_charge", "ch_1").key("next_action");
  if (intent.status == "requires_action") {
    writer.raw(R"({"type":"redirect_to_url","redirect_to_url":{"url":"https://hooks.stripe.com/3ds"}})");
  } else {
    writer.null();
  }
  writer.key("last_payment_error");
  if (intent.error_code.empty()) {
    writer.null();
  } else {
    writer.begin_object().member("code", intent.error_code).member("decline_code", intent.decline_code);
    writer.end_object();
  }
  writer.key("metadata").begin_object();
  for (const auto& [name, value] : intent.metadata) writer.member(name, value);
  writer.end_object().end_object();
  return body;
}

FakeStripe::Intent* FakeStripe::find(const std::string& id) {
  const auto found =
      std::find_if(intents.begin(), intents.end(), [&](const Intent& each) { return each.id == id; });
  return found == intents.end() ? nullptr : &*found;
}

FakeStripe::Answer FakeStripe::create(const Form& form) {
  static const std::set<std::string> kConfirming{"error_on_requires_action", "return_url"};
  const bool confirm = form.contains("confirm") && form.at("confirm") == "true";
  EXPECT_EQ(form.at("capture_method"), "manual");
  Intent intent;
  intent.id = "pi_" + std::to_string(intents.size() + 1);
  intent.amount = form.at("amount");
  intent.currency = form.at("currency");
  for (const auto& [name, value] : form) {
    EXPECT_TRUE(confirm || !kConfirming.contains(name)) << name << " takes confirm=true";
    if (name.starts_with("metadata[")) intent.metadata[name.substr(9, name.size() - 10)] = value;
  }
  if (!confirm) {
    intent.status = "requires_confirmation";
    intents.push_back(intent);
    return {200, intent_json(intents.back())};
  }
  // A method among the automatic ones may send the customer elsewhere, unless that is ruled out.
  const auto redirects = form.find("automatic_payment_methods[allow_redirects]");
  const bool may_redirect = form.contains("automatic_payment_methods[enabled]") &&
                            (redirects == form.end() || redirects->second != "never");
  if (may_redirect && !form.contains("return_url"))
    return error(400, "invalid_request_error", "payment_intent_invalid_parameter");
  ++effects;
  const std::string& method = form.at("payment_method");
  const auto declined = [&](std::string code, std::string decline_code) {
    intent.status = "requires_payment_method";
    intent.error_code = code;
    intent.decline_code = decline_code;
    intents.push_back(intent);
    return error(402, "card_error", code, intent_json(intent), decline_code);
  };
  if (method.ends_with("InsufficientFunds")) return declined("card_declined", "insufficient_funds");
  if (method.ends_with("ExpiredCard")) return declined("expired_card", "expired_card");
  if (method.ends_with("chargeDeclined")) return declined("card_declined", "generic_decline");
  if (method.find("authenticationRequired") != std::string::npos) {
    if (form.contains("error_on_requires_action")) return declined("authentication_required", "");
    intent.status = "requires_action";
  } else {
    intent.status = "requires_capture";
  }
  intents.push_back(intent);
  return {200, intent_json(intents.back())};
}

FakeStripe::Answer FakeStripe::act(Intent& intent, const std::string& verb, const Form& form) {
  const auto unexpected = [&] {
    return error(400, "invalid_request_error", "payment_intent_unexpected_state", intent_json(intent));
  };
  if (verb == "capture") {
    if (intent.status != "requires_capture") return unexpected();
    intent.status = "succeeded";
    intent.received = form.at("amount_to_capture");
  } else {
    if (intent.status == "succeeded" || intent.status == "canceled") return unexpected();
    if (intent.status == "requires_confirmation") --effects;  // nothing was held
    intent.status = "canceled";
  }
  ++effects;
  return {200, intent_json(intent)};
}

FakeStripe::Answer FakeStripe::refund(const Form& form) {
  Intent* intent = find(form.at("payment_intent"));
  if (intent == nullptr) return error(404, "invalid_request_error", "resource_missing");
  std::int64_t left = std::stoll(intent->received);
  for (const Refund& each : refunds) {
    if (each.intent == intent->id && each.status != "failed") left -= std::stoll(each.amount);
  }
  if (std::stoll(form.at("amount")) > left)
    return error(400, "invalid_request_error", "charge_already_refunded");
  ++effects;
  refunds.push_back({"re_" + std::to_string(refunds.size() + 1), intent->id, form.at("amount"), refund_status,
                     form.at("metadata[refund_key]")});
  const Refund& made = refunds.back();
  std::string body;
  JsonWriter writer(body);
  writer.begin_object().member("id", made.id).member("object", "refund").key("amount").raw(made.amount);
  writer.member("status", made.status).member("payment_intent", made.intent).end_object();
  return {200, body};
}

FakeStripe::Answer FakeStripe::list(const Form& query, bool search) const {
  std::string body;
  JsonWriter writer(body);
  writer.begin_object().key("data").begin_array();
  const std::string wanted = search ? query.at("query") : "";
  for (auto each = intents.rbegin(); each != intents.rend(); ++each) {
    const auto key = each->metadata.find("authorization_key");
    const bool found =
        key != each->metadata.end() && wanted == "metadata['authorization_key']:'" + key->second + "'";
    if (!search || found) writer.raw(intent_json(*each));
  }
  writer.end_array().member("has_more", false).end_object();
  return {200, body};
}

FakeStripe::Answer FakeStripe::handle(const http::ClientRequest& request, const std::string& path,
                                      const Form& form) {
  const std::string intents_path = "/v1/payment_intents";
  const bool post = request.method == http::Method::post;
  if (path == intents_path) return post ? create(form) : list(form, false);
  if (path == intents_path + "/search") return list(form, true);
  if (path == "/v1/refunds") {
    if (post) return refund(form);
    std::string body;
    JsonWriter writer(body);
    writer.begin_object().key("data").begin_array();
    for (const Refund& each : refunds) {
      if (each.intent != form.at("payment_intent")) continue;
      writer.begin_object()
          .member("id", each.id)
          .key("amount")
          .raw(each.amount)
          .member("status", each.status);
      writer.key("metadata").begin_object().member("refund_key", each.key).end_object().end_object();
    }
    writer.end_array().member("has_more", false).end_object();
    return {200, body};
  }
  std::string id = path.substr(intents_path.size() + 1);
  const std::size_t slash = id.find('/');
  const std::string verb = slash == std::string::npos ? "" : id.substr(slash + 1);
  id = id.substr(0, slash);
  Intent* intent = find(id);
  if (intent == nullptr) return error(404, "invalid_request_error", "resource_missing");
  return post ? act(*intent, verb, form) : Answer{200, intent_json(*intent)};
}

http::ClientResponse FakeStripe::send(const http::ClientRequest& request) {
  ++requests;
  const bool failing = failures_left > 0;
  if (failing) --failures_left;
  const auto respond = [&](const Answer& answer, bool replayed) {
    http::ClientResponse response;
    response.status = answer.status;
    response.body = answer.body;
    if (replayed) response.headers.push_back({"Idempotent-Replayed", "true"});
    for (const auto& [name, value] : std::exchange(extra_headers, {}))
      response.headers.push_back({name, value});
    if (auto body = std::exchange(answer_next, std::nullopt)) response.body = *body;
    return response;
  };
  const auto lose = [] { throw Error(ErrorCode::unavailable, "lost").reason("connection_lost"); };
  if (failing && failure == Failure::before)
    throw Error(ErrorCode::unavailable, "no connection").reason("connection_failed");
  if (failing && failure == Failure::lost_request) lose();
  if (failing && failure == Failure::rate_limited) {
    extra_headers = {{"Retry-After", "7"}};
    return respond(error(429, "invalid_request_error", "rate_limit"), false);
  }
  if (failing && failure == Failure::rejected)
    return respond(error(400, "invalid_request_error", "parameter_unknown"), false);

  const std::string base = "https://api.stripe.test";
  EXPECT_TRUE(request.url.starts_with(base)) << request.url;
  EXPECT_EQ(header(request, "Stripe-Version"), "2024-06-20");
  if (header(request, "Authorization") != std::string("Bearer ") + kKey)
    return respond(error(401, "invalid_request_error", ""), false);
  const std::string target = request.url.substr(base.size());
  const std::size_t question = target.find('?');
  const std::string path = target.substr(0, question);
  const bool post = request.method == http::Method::post;
  const std::string raw = post                            ? request.body
                          : question == std::string::npos ? ""
                                                          : target.substr(question + 1);
  const Form form = parse_form(raw);
  if (!post) {
    const Answer answer = handle(request, path, form);
    if (failing && failure == Failure::after) lose();
    return respond(answer, false);
  }
  EXPECT_EQ(header(request, "Content-Type"), "application/x-www-form-urlencoded");
  const std::string key = header(request, "Idempotency-Key");
  EXPECT_FALSE(key.empty());
  keys.push_back(key);
  last_form = form;
  const auto kept = kept_.find(key);
  if (kept != kept_.end()) {
    if (kept->second.parameters != path + "?" + raw)
      return respond(error(400, "idempotency_error", ""), false);
    if (failing && failure == Failure::after) lose();
    return respond(kept->second.answer, true);
  }
  Answer answer;
  if (remembered_failure == 0 || failure_hides_effect) answer = handle(request, path, form);
  if (remembered_failure != 0) answer = error(std::exchange(remembered_failure, 0), "api_error", "");
  kept_[key] = {path + "?" + raw, answer};
  if (failing && failure == Failure::after) lose();
  return respond(answer, false);
}

StripeUnderTest::StripeUnderTest(std::string return_url) {
  StripeSettings settings;
  settings.url = "https://api.stripe.test/";
  settings.secret_key = config::Secret(FakeStripe::kKey);
  settings.return_url = std::move(return_url);
  provider_ = std::make_unique<StripeProvider>(
      settings, [this](const Context&, const http::ClientRequest& request) { return fake.send(request); });
}

}  // namespace holdfast::orders::payments::testing
