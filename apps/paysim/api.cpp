#include "paysim/api.hpp"

#include "holdfast/base/digest.hpp"
#include "holdfast/base/encoding.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "paysim/api_error.hpp"
#include "paysim/cards.hpp"
#include "paysim/requests.hpp"

namespace holdfast::paysim {
namespace {

constexpr std::string_view kFormType = "application/x-www-form-urlencoded";

/// The key of `Authorization: Bearer sk_…` or of Basic with the key as the user, as curl -u sends it.
std::string presented_key(std::string_view header) {
  if (header.starts_with("Bearer ")) return std::string(header.substr(7));
  if (!header.starts_with("Basic ")) return {};
  const auto decoded = decode_base64(header.substr(6));
  return decoded ? decoded->substr(0, decoded->find(':')) : std::string();
}

/// A key for people to recognize, not to use.
std::string masked(const std::string& key) {
  if (key.size() <= 12) return "****";
  return key.substr(0, 8) + "****" + key.substr(key.size() - 4);
}

Answer injected_error(const Rule& rule) {
  if (rule.status == 429) {
    return {429, to_error_json({.code = "rate_limit",
                                .message = "Too many requests hit the API too quickly. We recommend an "
                                           "exponential backoff of your requests."})};
  }
  return {rule.status,
          to_error_json({.type = "api_error", .message = "An unknown error occurred (simulated)."})};
}

}  // namespace

Api::Api(const Parts& parts, std::string secret_key, runtime::CancellationToken stopping)
    : parts_(parts), secret_key_(std::move(secret_key)), stopping_(std::move(stopping)) {}

void Api::authenticate(const http::Request& request) const {
  const std::string key = presented_key(request.header("Authorization"));
  if (key.empty())
    throw ApiError::unauthenticated(
        "You did not provide an API key. Provide it in the Authorization header, using Bearer auth "
        "(e.g. 'Authorization: Bearer YOUR_SECRET_KEY').");
  if (!equal_in_constant_time(as_bytes(key), as_bytes(secret_key_)))
    throw ApiError::unauthenticated("Invalid API Key provided: " + masked(key));
}

/// Until the caller has gone or we stop. The caller's deadline is nothing to a provider that hangs.
void Api::hang(const Context& ctx) const {
  try {
    parts_.stopped.wait(ctx.detached().with_cancellation(ctx.cancellation()), "hanging, as ordered");
  } catch (const Error&) {  // the caller has gone
  }
}

std::optional<http::Response> Api::misbehave_before(const Context& ctx, const Plan& plan) {
  if (plan.delay > Duration::zero()) {
    parts_.counters.misbehaved(Action::delay);
    // A slow provider does not notice that its caller has given up: it charges all the same.
    runtime::sleep_for(ctx.detached().with_cancellation(stopping_), plan.delay);
  }
  if (!plan.deed) return std::nullopt;
  const Rule& rule = *plan.deed;
  parts_.counters.misbehaved(rule.action);
  if (rule.action == Action::drop_before) return http::Response::dropped();
  if (rule.action == Action::hang) {
    hang(ctx);
    return http::Response::dropped();
  }
  const bool refuses = rule.action == Action::flap || (rule.action == Action::error && !rule.remembered);
  if (!refuses) return std::nullopt;
  Answer answer = injected_error(rule);
  http::Response response = answered(answer.status, std::move(answer.body), {});
  if (rule.retry_after > 0) response.set("Retry-After", std::to_string(rule.retry_after));
  return response;
}

std::optional<http::Response> Api::misbehave_after(const Context& ctx, const Plan& plan) {
  if (plan.is(Action::hang_after)) hang(ctx);
  if (plan.is(Action::hang_after) || plan.is(Action::drop_after)) return http::Response::dropped();
  return std::nullopt;
}

Plan Api::plan_for(const Context& ctx, const Call& call) {
  std::string card = call.card;
  if (card.empty() && !call.intent_id.empty() &&
      (call.operation == Operation::authorize || parts_.behaviour.names_cards())) {
    card =
        parts_.database
            .query_one<std::string>(ctx, "select payment_method from intents where id = $1", call.intent_id)
            .value_or("");
  }
  const auto known = find_card(card);
  return parts_.behaviour.plan(call.operation, card, known ? known->fault : std::nullopt);
}

http::Response Api::answered(int status, std::string body, const Origin& origin) {
  http::Response response = http::Response::json(status, std::move(body));
  if (!origin.request_id.empty()) response.add("Request-Id", origin.request_id);
  if (!origin.idempotency_key.empty()) response.set("Idempotency-Key", origin.idempotency_key);
  return response;
}

Api::Outcome Api::perform(sql::Transaction& tx, const Call& call, const Plan& plan, const Origin& origin,
                          const std::string& fingerprint) {
  const std::string& key = origin.idempotency_key;
  if (!key.empty()) {
    if (auto known = remembered_answer(tx, key, fingerprint)) return {std::move(*known), true};
  }
  Outcome outcome;
  if (plan.is(Action::error) && plan.deed->remembered) {
    outcome.answer = injected_error(*plan.deed);
  } else {
    try {
      outcome.answer = call.deed(tx, Verdict::of(plan), origin);
    } catch (const ApiError& refused) {  // nothing was written yet
      outcome.answer = {refused.status(), to_error_json(refused.body())};
    }
  }
  if (!key.empty()) remember_answer(tx, key, fingerprint, outcome.answer, parts_.clock.wall_now());
  return outcome;
}

http::Response Api::serve_post(const Context& ctx, const http::Request& request, const Prepare& prepare) {
  authenticate(request);
  Origin origin{.request_id = parts_.ids.make<Id<"req">>().text(),
                .idempotency_key = std::string(request.header("Idempotency-Key"))};
  if (origin.idempotency_key.size() > kMaxKeyBytes)
    throw ApiError::bad_request("", "The Idempotency-Key is longer than 255 characters.");
  const std::string_view type = request.header("Content-Type");
  if (!request.body.empty() && !http::equal_ignoring_case(type.substr(0, type.find(';')), kFormType))
    throw ApiError::bad_request("", "Send the parameters as application/x-www-form-urlencoded.");
  const Form form = Form::parse(request.body);
  const Call call = prepare(request, form);
  form.ignore("expand");
  form.refuse_unknown();
  parts_.counters.arrived(call.operation);

  std::optional<InFlight::Claim> claim;
  std::string fingerprint;
  if (!origin.idempotency_key.empty()) {
    claim.emplace(in_flight_, origin.idempotency_key);
    fingerprint = encode_hex(sha256(std::string(request.path) + "\n" + form.canonical()));
  }
  const Plan plan = plan_for(ctx, call);
  if (auto instead = misbehave_before(ctx, plan)) return std::move(*instead);
  const Context outlasting = ctx.detached().with_cancellation(stopping_);
  Outcome outcome = parts_.database.transact(outlasting, call.name, [&](sql::Transaction& tx) {
    return perform(tx, call, plan, origin, fingerprint);
  });
  if (outcome.replayed) {
    parts_.counters.replayed();
  } else if (auto instead = misbehave_after(ctx, plan)) {
    return std::move(*instead);
  }
  http::Response response = answered(outcome.answer.status, std::move(outcome.answer.body), origin);
  if (outcome.replayed) response.set("Idempotent-Replayed", "true");
  return response;
}

http::Response Api::serve_get(const Context& ctx, const http::Request& request, const Reading& reading) {
  authenticate(request);
  parts_.counters.arrived(Operation::read);
  const Plan plan =
      plan_for(ctx, {.operation = Operation::read, .intent_id = std::string(request.path_parameter("id"))});
  if (auto instead = misbehave_before(ctx, plan)) return std::move(*instead);
  std::string body = reading(ctx.detached().with_cancellation(stopping_), request);
  if (auto instead = misbehave_after(ctx, plan)) return std::move(*instead);
  return answered(200, std::move(body), {});
}

void Api::post(http::Router& router, std::string pattern, Prepare prepare) {
  router.post(std::move(pattern),
              [this, prepare = std::move(prepare)](const Context& ctx, http::Request& request) {
                return serve_post(ctx, request, prepare);
              });
}

void Api::get(http::Router& router, std::string pattern, Reading reading) {
  router.get(std::move(pattern),
             [this, reading = std::move(reading)](const Context& ctx, http::Request& request) {
               return serve_get(ctx, request, reading);
             });
}

void Api::add_routes(http::Router& router) {
  Payments& payments = parts_.payments;
  sql::Database& db = parts_.database;
  post(router, "/v1/payment_intents", [&payments](const http::Request&, const Form& form) {
    NewIntent wanted = read_new_intent(form);
    return Call{.operation = wanted.confirm ? Operation::authorize : Operation::create,
                .name = "create payment intent",
                .card = wanted.payment_method,
                .deed = [&payments, wanted = std::move(wanted)](sql::Transaction& tx, const Verdict& verdict,
                                                                const Origin& origin) {
                  return payments.create(tx, wanted, verdict, origin);
                }};
  });
  post(router, "/v1/payment_intents/{id}/confirm",
       [&payments](const http::Request& request, const Form& form) {
         std::string id(request.path_parameter("id"));
         std::string card = read_payment_method(form);
         const bool never_asks = form.boolean("error_on_requires_action").value_or(false);
         ignore_common(form);
         return Call{.operation = Operation::authorize,
                     .name = "confirm payment intent",
                     .card = card,
                     .intent_id = id,
                     .deed = [&payments, id, card, never_asks](sql::Transaction& tx, const Verdict& verdict,
                                                               const Origin& origin) {
                       return payments.confirm(tx, id, card, never_asks ? verdict.without_asking() : verdict,
                                               origin);
                     }};
       });
  post(router, "/v1/payment_intents/{id}/capture",
       [&payments](const http::Request& request, const Form& form) {
         std::string id(request.path_parameter("id"));
         const auto amount = form.integer("amount_to_capture");
         form.ignore("metadata");
         return Call{
             .operation = Operation::capture,
             .name = "capture payment intent",
             .intent_id = id,
             .deed = [&payments, id, amount](sql::Transaction& tx, const Verdict&, const Origin& origin) {
               return payments.capture(tx, id, amount, origin);
             }};
       });
  post(router, "/v1/payment_intents/{id}/cancel",
       [&payments](const http::Request& request, const Form& form) {
         std::string id(request.path_parameter("id"));
         std::string reason = read_cancellation_reason(form);
         return Call{
             .operation = Operation::cancel,
             .name = "cancel payment intent",
             .intent_id = id,
             .deed = [&payments, id, reason](sql::Transaction& tx, const Verdict&, const Origin& origin) {
               return payments.cancel(tx, id, reason, origin);
             }};
       });
  post(router, "/v1/refunds", [&payments](const http::Request&, const Form& form) {
    NewRefund wanted = read_new_refund(form);
    return Call{.operation = Operation::refund,
                .name = "refund",
                .intent_id = wanted.payment_intent,
                .deed = [&payments, wanted](sql::Transaction& tx, const Verdict&, const Origin& origin) {
                  return payments.refund(tx, wanted, origin);
                }};
  });
  get(router, "/v1/payment_intents",
      [&db](const Context& ctx, const http::Request& r) { return list_intents(ctx, db, r); });
  get(router, "/v1/payment_intents/search",
      [&db](const Context& ctx, const http::Request& r) { return search_intents(ctx, db, r); });
  get(router, "/v1/payment_intents/{id}",
      [&db](const Context& ctx, const http::Request& r) { return show_intent(ctx, db, r); });
  get(router, "/v1/charges/{id}",
      [&db](const Context& ctx, const http::Request& r) { return show_charge(ctx, db, r); });
  get(router, "/v1/refunds",
      [&db](const Context& ctx, const http::Request& r) { return list_refunds(ctx, db, r); });
  get(router, "/v1/events",
      [&db](const Context& ctx, const http::Request& r) { return list_events(ctx, db, r); });
  get(router, "/v1/events/{id}",
      [&db](const Context& ctx, const http::Request& r) { return show_event(ctx, db, r); });
}

}  // namespace holdfast::paysim
