#include "orders/webhook_routes.hpp"

#include <string>
#include <utility>

#include "holdfast/http/typed.hpp"
#include "holdfast/idempotency/typed.hpp"
#include "orders/shared/paging.hpp"

namespace holdfast::orders {
namespace {

using webhooks::Deliveries;
using webhooks::Delivery;
using webhooks::Subscriber;
using webhooks::Subscribers;
using webhooks::SubscriberWithSecret;

struct SubscriberPath {
  webhooks::SubscriberId id;
};
HOLDFAST_DESCRIBE(SubscriberPath, (id))

struct DeliveryPath {
  webhooks::DeliveryId id;
};
HOLDFAST_DESCRIBE(DeliveryPath, (id))

struct SubscriberQuery {
  std::optional<std::string> cursor;
  std::int64_t limit = kDefaultLimit;
  static constexpr auto rules() {
    return holdfast::rules(field<&SubscriberQuery::cursor>().length(1, 2048),
                           field<&SubscriberQuery::limit>().range(1, kMaxLimit).defaulted());
  }
};
HOLDFAST_DESCRIBE(SubscriberQuery, (cursor, limit))

struct DeliveryQuery {
  std::optional<webhooks::DeliveryStatus> status;
  std::optional<std::string> cursor;
  std::int64_t limit = kDefaultLimit;
  static constexpr auto rules() {
    return holdfast::rules(field<&DeliveryQuery::cursor>().length(1, 2048),
                           field<&DeliveryQuery::limit>().range(1, kMaxLimit).defaulted());
  }
};
HOLDFAST_DESCRIBE(DeliveryQuery, (status, cursor, limit))

struct RedeliverFailed {
  WallTime since{};
  static constexpr auto rules() {
    return holdfast::rules(field<&RedeliverFailed::since>().doc("Those given up at this time or later."));
  }
};
HOLDFAST_DESCRIBE(RedeliverFailed, (since))

struct Redelivered {
  std::uint64_t redelivered = 0;
  bool more = false;
};
HOLDFAST_DESCRIBE(Redelivered, (redelivered, more))

http::RouteInfo info(std::string name, std::string summary, std::string description = {}) {
  return {.name = std::move(name),
          .summary = std::move(summary),
          .description = std::move(description),
          .tags = {"webhooks"},
          .scope = "admin"};
}

http::RouteInfo repeatable(http::RouteInfo info, std::vector<int> errors = {}) {
  info.idempotency = http::Idempotency::optional;
  info.errors = std::move(errors);
  return info;
}

/// A page of what `fetch(after, limit)` lists by id, one more than the limit telling whether there is more.
template <class T, class Fetch>
Page<T> page_by_id(const std::optional<std::string>& cursor, const char* order, std::int64_t limit,
                   const Fetch& fetch) {
  Page<T> page;
  const std::string after = cursor ? read_cursor(*cursor, order, 1).keys[0] : std::string();
  page.items = fetch(after, static_cast<std::size_t>(limit) + 1);
  if (static_cast<std::int64_t>(page.items.size()) > limit) {
    page.items.pop_back();
    page.next_cursor = write_cursor({order, {page.items.back().id}});
  }
  return page;
}

void add_reading(http::Router& router, sql::Database& database) {
  http::route(router, http::Method::get, "/v1/webhooks/subscribers",
              info("listWebhookSubscribers", "Lists who is told of events, oldest first"),
              [&database](const Context& ctx, http::Query<SubscriberQuery> query) -> Page<Subscriber> {
                return database.read(ctx, [&](sql::Snapshot& db) {
                  return page_by_id<Subscriber>(query->cursor, "subscribers", query->limit,
                                                [&](const std::string& after, std::size_t limit) {
                                                  return Subscribers::list(db, after, limit);
                                                });
                });
              });
  http::route(router, http::Method::get, "/v1/webhooks/subscribers/{id}",
              info("getWebhookSubscriber", "Reads a subscriber; its secret is not shown again"),
              [&database](const Context& ctx, http::Path<SubscriberPath> path) -> Subscriber {
                return database.read(
                    ctx, [&](sql::Snapshot& db) { return Subscribers::get(db, path->id.text()); });
              });
  http::route(router, http::Method::get, "/v1/webhooks/subscribers/{id}/deliveries",
              info("listWebhookDeliveries", "Lists what a subscriber was or will be sent, newest first"),
              [&database](const Context& ctx, http::Path<SubscriberPath> path,
                          http::Query<DeliveryQuery> query) -> Page<Delivery> {
                return database.read(ctx, [&](sql::Snapshot& db) {
                  const std::string subscriber = Subscribers::get(db, path->id.text()).id;
                  return page_by_id<Delivery>(query->cursor, "deliveries", query->limit,
                                              [&](const std::string& before, std::size_t limit) {
                                                return Deliveries::list(db, subscriber, query->status, before,
                                                                        limit);
                                              });
                });
              });
}

void add_changing(http::Router& router, idempotency::Idempotency& keys, Subscribers& subscribers,
                  Deliveries& deliveries) {
  idempotency::route(
      router, keys, http::Method::post, "/v1/webhooks/subscribers",
      repeatable(info("createWebhookSubscriber", "Adds a subscriber; its secret is told this once",
                      "Events are posted as `{\"id\", \"type\", \"createdAt\", \"data\"}`, signed as "
                      "[Standard Webhooks](https://www.standardwebhooks.com) says, at least once, and not "
                      "strictly in order."),
                 {409}),
      "add webhook subscriber",
      [&subscribers, &deliveries](
          const Context& ctx, sql::Transaction& tx,
          const http::Body<webhooks::NewSubscriber>& body) -> http::Created<SubscriberWithSecret> {
        deliveries.interest_changes(tx);
        SubscriberWithSecret made = subscribers.create(ctx, tx, body.value);
        std::string location = "/v1/webhooks/subscribers/" + made.subscriber.id;
        return {std::move(made), std::move(location)};
      });
  idempotency::route(
      router, keys, http::Method::patch, "/v1/webhooks/subscribers/{id}",
      repeatable(info("changeWebhookSubscriber", "Changes a subscriber; what is absent stays")),
      "change webhook subscriber",
      [&subscribers, &deliveries](const Context& ctx, sql::Transaction& tx,
                                  const http::Path<SubscriberPath>& path,
                                  const http::Body<webhooks::SubscriberChange>& body) -> Subscriber {
        deliveries.interest_changes(tx);
        return subscribers.change(ctx, tx, path->id.text(), body.value);
      });
  idempotency::route(router, keys, http::Method::delete_, "/v1/webhooks/subscribers/{id}",
                     repeatable(info("removeWebhookSubscriber", "Removes a subscriber and its deliveries")),
                     "remove webhook subscriber",
                     [&subscribers](const Context&, sql::Transaction& tx,
                                    const http::Path<SubscriberPath>& path) -> http::NoContent {
                       subscribers.remove(tx, path->id.text());
                       return {};
                     });
  idempotency::route(router, keys, http::Method::post, "/v1/webhooks/subscribers/{id}/rotate-secret",
                     repeatable(info("rotateWebhookSecret", "Makes a new secret, told this once",
                                     "Bodies are signed with both for a day, then with the new one alone.")),
                     "rotate webhook secret",
                     [&subscribers](const Context& ctx, sql::Transaction& tx,
                                    const http::Path<SubscriberPath>& path) -> SubscriberWithSecret {
                       return subscribers.rotate_secret(ctx, tx, path->id.text());
                     });
}

void add_sending(http::Router& router, idempotency::Idempotency& keys, Subscribers& subscribers,
                 Deliveries& deliveries) {
  idempotency::route(
      router, keys, http::Method::post, "/v1/webhooks/subscribers/{id}/enable",
      repeatable(info("enableWebhookSubscriber", "Enables a subscriber again; what is pending is sent")),
      "enable webhook subscriber",
      [&subscribers, &deliveries](const Context& ctx, sql::Transaction& tx,
                                  const http::Path<SubscriberPath>& path) -> Subscriber {
        tx.after_commit(deliveries.due());
        deliveries.interest_changes(tx);
        return subscribers.enable(ctx, tx, path->id.text());
      });
  idempotency::route(router, keys, http::Method::post, "/v1/webhooks/subscribers/{id}/test",
                     repeatable(info("testWebhookSubscriber", "Sends an event of type webhook.test"), {409}),
                     "test webhook subscriber",
                     [&deliveries](const Context& ctx, sql::Transaction& tx,
                                   const http::Path<SubscriberPath>& path) -> http::Accepted<Delivery> {
                       return {deliveries.send_test(ctx, tx, path->id.text()),
                               "/v1/webhooks/subscribers/" + path->id.text() + "/deliveries"};
                     });
  idempotency::route(
      router, keys, http::Method::post, "/v1/webhooks/subscribers/{id}/redeliver",
      repeatable(info("redeliverFailedWebhooks", "Sends again all that was given up since a time",
                      "At most 10,000 a call; `more` says whether to call again."),
                 {409}),
      "redeliver failed webhooks",
      [&deliveries](const Context& ctx, sql::Transaction& tx, const http::Path<SubscriberPath>& path,
                    const http::Body<RedeliverFailed>& body) -> http::Accepted<Redelivered> {
        const std::size_t count = deliveries.redeliver_failed(ctx, tx, path->id.text(), body->since);
        return {{.redelivered = count, .more = count == Deliveries::kMaxRedelivered}};
      });
  idempotency::route(
      router, keys, http::Method::post, "/v1/webhooks/deliveries/{id}/redeliver",
      repeatable(info("redeliverWebhook", "Sends one delivery again, whatever became of it"), {409}),
      "redeliver a webhook",
      [&deliveries](const Context& ctx, sql::Transaction& tx, const http::Path<DeliveryPath>& path)
          -> http::Accepted<Delivery> { return {deliveries.redeliver(ctx, tx, path->id.text())}; });
}

}  // namespace

void add_webhook_routes(http::Router& router, sql::Database& database, idempotency::Idempotency& idempotency,
                        webhooks::Subscribers& subscribers, webhooks::Deliveries& deliveries) {
  add_reading(router, database);
  add_changing(router, idempotency, subscribers, deliveries);
  add_sending(router, idempotency, subscribers, deliveries);
}

}  // namespace holdfast::orders
