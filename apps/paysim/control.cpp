#include "paysim/control.hpp"

#include <charconv>

#include "holdfast/base/reflect.hpp"
#include "paysim/api_error.hpp"
#include "paysim/book.hpp"
#include "paysim/page.hpp"

namespace holdfast::paysim {
namespace {

constexpr std::int64_t kMaxBookPage = 10'000;
constexpr std::int64_t kShown = 25;  // on the page

void require_json(const http::Request& request) {
  const std::string_view type = request.header("Content-Type");
  if (!http::equal_ignoring_case(type.substr(0, type.find(';')), "application/json"))
    throw ApiError::bad_request("", "Send application/json.");
}

struct Authentication {
  bool passed = true;
};
HOLDFAST_DESCRIBE(Authentication, (passed))

/// What the page's tables show.
struct ShownIntent {
  std::string id;
  std::string order_id;
  IntentStatus status = IntentStatus::requires_payment_method;
  std::int64_t amount = 0;
  std::string currency;
  std::int64_t captured = 0;
  std::int64_t refunded = 0;
  std::string payment_method;
  WallTime created_at{};
};
HOLDFAST_DESCRIBE(ShownIntent,
                  (id, order_id, status, amount, currency, captured, refunded, payment_method, created_at))

struct ShownDelivery {
  std::string event_id;
  std::string type;
  std::string intent_id;
  std::string state;
  std::int64_t attempts = 0;
  std::string outcome;
};
HOLDFAST_DESCRIBE(ShownDelivery, (event_id, type, intent_id, state, attempts, outcome))

}  // namespace

Control::Control(const Parts& parts, std::string behaviour_at_start)
    : parts_(parts), behaviour_at_start_(std::move(behaviour_at_start)) {}

void Control::add_routes(http::Router& router) {
  router.get("/", [](const Context&, http::Request&) { return page(); });
  router.get("/health/live",
             [](const Context&, http::Request&) { return http::Response::json(200, R"({"status":"up"})"); });
  router.get("/paysim/summary",
             [this](const Context& ctx, http::Request&) { return http::Response::json(200, summary(ctx)); });
  router.get("/paysim/requests", [this](const Context&, http::Request&) {
    return http::Response::json(200, parts_.counters.json());
  });
  router.post("/paysim/reset", [this](const Context& ctx, http::Request& request) {
    require_json(request);
    reset(ctx);
    return http::Response::json(200, R"({"reset":true})");
  });
  router.post("/paysim/authenticate/{id}", [this](const Context& ctx, http::Request& request) {
    require_json(request);
    const bool passed = from_json<Authentication>(request.body).passed;
    const std::string id(request.path_parameter("id"));
    Answer answer = parts_.database.transact(ctx, "authenticate", [&](sql::Transaction& tx) {
      return parts_.payments.authenticate(tx, id, passed);
    });
    return http::Response::json(answer.status, std::move(answer.body));
  });
  add_behaviour(router);
  add_book(router);
  add_webhooks(router);
}

void Control::add_behaviour(http::Router& router) {
  router.get("/paysim/behaviour", [this](const Context&, http::Request&) {
    return http::Response::json(200, parts_.behaviour.json());
  });
  router.put("/paysim/behaviour", [this](const Context&, http::Request& request) {
    require_json(request);
    parts_.behaviour.set(request.body);
    return http::Response::json(200, parts_.behaviour.json());
  });
}

void Control::add_book(http::Router& router) {
  router.get("/paysim/book", [this](const Context& ctx, http::Request& request) {
    const auto limit = request.query("limit");
    if (!limit) return whole_book(parts_.database);
    std::int64_t wanted = 0;
    const auto read = std::from_chars(limit->data(), limit->data() + limit->size(), wanted);
    if (read.ec != std::errc() || read.ptr != limit->data() + limit->size() || wanted < 1 ||
        wanted > kMaxBookPage)
      throw ApiError::bad_request("limit", "This value must be between 1 and 10000.");
    return http::Response::json(200,
                                book_page(ctx, parts_.database, request.query("after").value_or(""), wanted));
  });
}

void Control::add_webhooks(http::Router& router) {
  router.get("/paysim/webhook", [this](const Context&, http::Request&) {
    return http::Response::json(200, to_json(parts_.deliveries.endpoint()));
  });
  router.put("/paysim/webhook", [this](const Context& ctx, http::Request& request) {
    require_json(request);
    parts_.deliveries.point_to(ctx, from_json<WebhookEndpoint>(request.body));
    return http::Response::json(200, to_json(parts_.deliveries.endpoint()));
  });
  router.post("/paysim/events/{id}/redeliver", [this](const Context& ctx, http::Request& request) {
    require_json(request);
    const std::string id(request.path_parameter("id"));
    if (!parts_.deliveries.redeliver(ctx, parts_.ids, id)) throw ApiError::missing("event", id, "id");
    return http::Response::json(202, R"({"queued":true})");
  });
}

/// The book, the events, the answers and the counters are forgotten; the webhook's endpoint stays.
void Control::reset(const Context& ctx) {
  parts_.database.transact(ctx, "reset", [](sql::Transaction& tx) {
    for (const char* table :
         {"intents", "intent_metadata", "refunds", "events", "deliveries", "remembered_answers"}) {
      tx.execute("delete from " + std::string(table));
    }
  });
  parts_.behaviour.set(behaviour_at_start_);
  parts_.counters.reset();
}

std::string Control::summary(const Context& ctx) {
  sql::Database& db = parts_.database;
  const Totals sums = totals(ctx, db);
  const auto deliveries = db.read(ctx, {.offload = true}, [](sql::Snapshot& snapshot) {
    return *snapshot.query_one<DeliveryCounts>(
        "select coalesce(sum(case when state = 'pending' then 1 else 0 end), 0) as pending, "
        "coalesce(sum(case when state = 'delivered' then 1 else 0 end), 0) as delivered, "
        "coalesce(sum(case when state = 'failed' then 1 else 0 end), 0) as failed from deliveries");
  });
  const auto intents =
      db.query<ShownIntent>(ctx,
                            "select id, order_id, status, amount, currency, amount_received as captured, "
                            "amount_refunded as refunded, "
                            "payment_method, created_at from intents order by id desc limit $1",
                            kShown);
  const auto sent = db.query<ShownDelivery>(ctx,
                                            "select d.event_id as event_id, e.type as type, d.intent_id as "
                                            "intent_id, d.state as state, d.attempts as "
                                            "attempts, d.outcome as outcome from deliveries d join events e "
                                            "on e.id = d.event_id order by d.id desc "
                                            "limit $1",
                                            kShown);
  std::string out;
  JsonWriter writer(out);
  writer.begin_object().key("totals").raw(to_json(sums)).key("deliveries").raw(to_json(deliveries));
  writer.key("intents").raw(to_json(intents)).key("webhooks").raw(to_json(sent));
  writer.member("webhookUrl", parts_.deliveries.endpoint().url);
  writer.key("behaviour")
      .raw(parts_.behaviour.json())
      .key("requests")
      .raw(parts_.counters.json())
      .end_object();
  return out;
}

}  // namespace holdfast::paysim
