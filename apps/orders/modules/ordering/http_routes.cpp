#include "orders/modules/ordering/http_routes.hpp"

#include <charconv>

#include "holdfast/http/problem.hpp"
#include "holdfast/http/sse.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "orders/shared/http.hpp"

namespace holdfast::orders::ordering {
namespace {

struct OrderPath {
  OrderId id;
};
HOLDFAST_DESCRIBE(OrderPath, (id))

struct ListQuery {
  std::optional<std::string> customer_id;
  std::optional<OrderStatus> status;
  std::optional<WallTime> created_from;
  std::optional<WallTime> created_before;
  std::optional<std::string> cursor;
  std::int64_t limit = kDefaultLimit;
  static constexpr auto rules() {
    return holdfast::rules(
        field<&ListQuery::customer_id>().length(1, 64).doc("Orders of this customer only."),
        field<&ListQuery::created_from>().doc("Inclusive."),
        field<&ListQuery::created_before>().doc("Exclusive."),
        field<&ListQuery::cursor>().length(1, 2048).doc("nextCursor of the page before."),
        field<&ListQuery::limit>().range(1, kMaxLimit).defaulted().doc("Orders a page."));
  }
};
HOLDFAST_DESCRIBE(ListQuery, (customer_id, status, created_from, created_before, cursor, limit))

/// The items as they came: each is checked on its own, so that one that is wrong spoils no other.
struct OrderBatch {
  std::vector<JsonText> orders;
  static constexpr auto rules() {
    return holdfast::rules(
        field<&OrderBatch::orders>().size(1, kMaxBatch).doc("Each as for placing one order."));
  }
};
HOLDFAST_DESCRIBE(OrderBatch, (orders))

/// For the API's document only.
struct PlaceOrders {
  std::vector<PlaceOrder> orders;
  static constexpr auto rules() { return holdfast::rules(field<&PlaceOrders::orders>().size(1, kMaxBatch)); }
};
HOLDFAST_DESCRIBE(PlaceOrders, (orders))

struct BatchResult {
  std::int32_t status = 201;
  std::optional<Order> order;
  std::optional<http::Problem> problem;
};
HOLDFAST_DESCRIBE(BatchResult, (status, order, problem))

struct BatchAnswer {
  std::vector<BatchResult> results;
  std::int64_t placed = 0;
  std::int64_t refused = 0;
};
HOLDFAST_DESCRIBE(BatchAnswer, (results, placed, refused))

http::Response order_answer(int status, const Placed& placed) {
  http::Response response = http::Response::json(status, placed.json);
  if (status == 201) response.set("Location", "/v1/orders/" + placed.order.id.text());
  return response;
}

// ---- placing --------------------------------------------------------------------------------------

/// A refusal as a problem within a batch's answer: about the item, not the request.
std::string problem_of(const Error& error) {
  http::Problem problem;
  problem.status = http::status_of(error);
  problem.title = std::string(http::reason_phrase(problem.status));
  problem.code = std::string(error.reason());
  problem.detail = error.detail();
  if (!error.violations().empty()) {
    auto& faults = problem.errors.emplace();
    for (const FieldViolation& fault : error.violations())
      faults.push_back({fault.pointer, fault.code, fault.message});
  }
  return to_json(problem);
}

/// Whether an Error is the item's own; others are the whole batch's and undo all of it.
bool is_refusal(const Error& error) {
  const int status = http::status_of(error);
  return status >= 400 && status < 500 && status != 408 && status != 429 && status != 499;
}

/// One of a batch, read: a command, or why it is none.
struct BatchItem {
  std::optional<PlaceOrder> command;
  std::string problem;
};

std::vector<BatchItem> read_items(const OrderBatch& batch) {
  std::vector<BatchItem> items;
  items.reserve(batch.orders.size());
  for (const JsonText& order : batch.orders) {
    BatchItem& item = items.emplace_back();
    try {
      item.command = from_json<PlaceOrder>(order.text());
    } catch (const Error& error) {
      item.problem = problem_of(error);
    }
  }
  return items;
}

http::Response place_batch(const Context& ctx, sql::Transaction& tx, Ordering& ordering,
                           const std::vector<BatchItem>& items) {
  std::string body;
  JsonWriter writer(body);
  std::int64_t placed = 0;
  std::int64_t refused = 0;
  const auto refuse = [&](const std::string& problem, int status) {
    ++refused;
    writer.begin_object().member("status", status).key("problem").raw(problem).end_object();
  };
  writer.begin_object().key("results").begin_array();
  for (const BatchItem& item : items) {
    if (!item.command) {
      refuse(item.problem, 400);
      continue;
    }
    try {
      const Placed one = tx.savepoint([&] { return ordering.place(ctx, tx, *item.command); });
      writer.begin_object().member("status", 201).key("order").raw(one.json).end_object();
      ++placed;
    } catch (const Error& error) {
      if (!is_refusal(error)) throw;
      refuse(problem_of(error), http::status_of(error));
    }
  }
  writer.end_array().member("placed", placed).member("refused", refused).end_object();
  return http::Response::json(200, std::move(body));
}

void add_placing(http::Router& router, idempotency::Idempotency& idempotency, Ordering& ordering,
                 const RouteOptions& options) {
  using idempotency::Effect;
  router.post(
      "/v1/orders",
      idempotency.transactional(
          "place order",
          [&ordering](const Context&, http::Request& request) -> Effect {
            return [&ordering, command = read_body<PlaceOrder>(request)](const Context& ctx,
                                                                         sql::Transaction& tx) {
              return order_answer(201, ordering.place(ctx, tx, command));
            };
          },
          // Stock is guarded by its update's condition, the rest by unique keys.
          sql::Isolation::read_committed),
      described<Nothing, PlaceOrder, Order>(
          {.name = "placeOrder",
           .summary = "Places an order",
           .description = "All of it or nothing: stock, order and event are written in one transaction. Sent "
                          "again with the same Idempotency-Key, it gets the same answer. Where there is a "
                          "payment or a shipment to wait for, the order is `pending` at first: read it, or "
                          "watch its events.",
           .tags = {"orders"},
           .scope = "write",
           .idempotency = http::Idempotency::required,
           .priority = Priority::critical},
          201));
  http::RouteInfo batch{
      .name = "placeOrders",
      .summary = "Places up to 1,000 orders in one transaction",
      .description = "Each order stands for itself: `results` has an order or a problem for each.",
      .tags = {"orders"},
      .scope = "write",
      .idempotency = http::Idempotency::required};
  batch.priority = Priority::critical;
  batch.max_body_bytes = options.max_batch_bytes;
  router.post("/v1/orders/batch",
              idempotency.transactional("place orders",
                                        [&ordering](const Context&, http::Request& request) -> Effect {
                                          http::binding::require_json(request, false);
                                          const auto given = from_json<OrderBatch>(
                                              request.body, {.limits = {.max_bytes = request.body.size()}});
                                          return [&ordering, items = read_items(given)](
                                                     const Context& ctx, sql::Transaction& tx) {
                                            return place_batch(ctx, tx, ordering, items);
                                          };
                                        }),
              described<Nothing, PlaceOrders, BatchAnswer>(std::move(batch), 200));
  router.post("/v1/orders/{id}/cancellation",
              idempotency.transactional("cancel order",
                                        [&ordering](const Context&, http::Request& request) -> Effect {
                                          return [&ordering, path = read_path<OrderPath>(request)](
                                                     const Context& ctx, sql::Transaction& tx) {
                                            return order_answer(200, ordering.cancel(ctx, tx, path.id));
                                          };
                                        }),
              described<OrderPath, Nothing, Order>(
                  {.name = "cancelOrder",
                   .summary = "Cancels an order; its stock returns, once",
                   .description = "At any moment before it is shipped. What was paid, "
                                  "or held, is given back afterwards.",
                   .tags = {"orders"},
                   .scope = "write",
                   .idempotency = http::Idempotency::optional},
                  200));
}

// ---- watching -------------------------------------------------------------------------------------

/// An order's events as they happen: those after `last`, then new ones, until the client or we leave.
http::Response order_events(sql::Database& database, runtime::Signal& changed, const RouteOptions& options,
                            const OrderId& id, std::int64_t last) {
  return http::event_stream(
      [&database, &changed, options, id, last](const Context& ctx, http::EventStream& out) mutable {
        while (!out.stopping()) {
          const std::uint64_t seen = changed.version();
          const auto found = database.read(ctx, [&](sql::Snapshot& db) { return events(db, id, last); });
          for (const OrderEvent& event : found) {
            out.send(ctx, {.id = std::to_string(event.number), .event = event.type, .data = event.json});
            last = event.number;
          }
          out.heartbeat_if_due(ctx);
          const auto woken = changed.wait_past(ctx.with_timeout(options.event_poll), seen, "order events");
          ctx.check("waiting for events of an order");
          if (woken == runtime::Woken::by_event) runtime::sleep_for(ctx, options.event_pause);
        }
      },
      {.heartbeat = options.event_heartbeat});
}

std::int64_t last_seen_event(const http::Request& request) {
  const std::string_view text = request.header("Last-Event-ID");
  if (text.empty()) return 0;
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc{} && end == text.data() + text.size() && number >= 0) return number;
  throw Error(ErrorCode::invalid_argument, "Last-Event-ID must be the id of an event of this order.")
      .reason("bad_last_event_id")
      .violations({{"header Last-Event-ID", "bad_last_event_id", "must be a whole number"}});
}

void add_reading(http::Router& router, sql::Database& database, runtime::Signal& changed,
                 const RouteOptions& options) {
  http::route(
      router, http::Method::get, "/v1/orders",
      {.name = "listOrders", .summary = "Lists orders, newest first", .tags = {"orders"}, .scope = "read"},
      [&database](const Context& ctx, http::Query<ListQuery> query) {
        return database.read(ctx, [&](sql::Snapshot& db) {
          return list(db, {.customer_id = query->customer_id.value_or(""),
                           .status = query->status,
                           .created_from = query->created_from,
                           .created_before = query->created_before,
                           .cursor = query->cursor.value_or(""),
                           .limit = query->limit});
        });
      });
  http::route(router, http::Method::get, "/v1/orders/{id}",
              {.name = "getOrder", .summary = "Reads an order", .tags = {"orders"}, .scope = "read"},
              [&database](const Context& ctx, http::Path<OrderPath> path) {
                return database.read(ctx, [&](sql::Snapshot& db) { return get(db, path->id); });
              });
  http::route(
      router, http::Method::get, "/v1/orders/{id}/events",
      {.name = "watchOrder",
       .summary = "An order's events, as server-sent events",
       .description =
           "Those so far, then new ones as they happen. Send Last-Event-ID to go on where a stream ended.",
       .tags = {"orders"},
       .scope = "read"},
      [&database, &changed, options](const Context& ctx, http::Path<OrderPath> path, http::Request& request) {
        const std::int64_t last = last_seen_event(request);
        database.read(ctx, [&](sql::Snapshot& db) { get(db, path->id); });  // 404 now, not in the stream
        return order_events(database, changed, options, path->id, last);
      });
}

}  // namespace

void add_routes(http::Router& router, sql::Database& database, idempotency::Idempotency& idempotency,
                Ordering& ordering, runtime::Signal& changed, RouteOptions options) {
  add_placing(router, idempotency, ordering, options);
  add_reading(router, database, changed, options);
}

}  // namespace holdfast::orders::ordering
