#include "orders/saga_routes.hpp"

#include <optional>
#include <string>

#include "orders/shared/http.hpp"
#include "orders/shared/paging.hpp"

namespace holdfast::orders {
namespace {

struct SagaQuery {
  std::optional<saga::Status> status;
  std::optional<std::string> definition;
  std::optional<std::string> key;
  std::optional<std::string> reason;
  bool unfinished = false;
  std::optional<std::string> cursor;
  std::int64_t limit = kDefaultLimit;
  static constexpr auto rules() {
    return holdfast::rules(
        field<&SagaQuery::status>().doc("Only those in this state; parked ones wait for a person."),
        field<&SagaQuery::definition>().length(1, 100).doc("What they do: \"checkout\"."),
        field<&SagaQuery::key>().length(1, 255).doc("Their business key: an order's id."),
        field<&SagaQuery::reason>().length(1, 100).doc("Why they compensate: \"payment_declined\"."),
        field<&SagaQuery::unfinished>().defaulted().doc("Only those that have not ended."),
        field<&SagaQuery::cursor>().length(1, 2048).doc("nextCursor of the page before."),
        field<&SagaQuery::limit>().range(1, kMaxLimit).defaulted().doc("Sagas a page."));
  }
};
HOLDFAST_DESCRIBE(SagaQuery, (status, definition, key, reason, unfinished, cursor, limit))

struct SagaPath {
  std::string id;
  static constexpr auto rules() {
    return holdfast::rules(field<&SagaPath::id>().length(1, 100).pattern_chars("a-z0-9_"));
  }
};
HOLDFAST_DESCRIBE(SagaPath, (id))

struct Abandonment {
  std::string reason;
  static constexpr auto rules() {
    return holdfast::rules(field<&Abandonment::reason>().length(1, 300).doc(
        "What was done by hand; kept in the saga's history."));
  }
};
HOLDFAST_DESCRIBE(Abandonment, (reason))

constexpr const char* kOrder = "sagas";

http::RouteInfo about(std::string name, std::string summary, std::string scope) {
  return {.name = std::move(name),
          .summary = std::move(summary),
          .tags = {"operations"},
          .scope = std::move(scope)};
}

saga::SagaDetails details(const Context& ctx, saga::Records& records, const std::string& id) {
  auto found = records.find(ctx, id);
  if (!found) throw Error(ErrorCode::not_found, "There is no saga " + id + ".").reason("unknown_saga");
  return std::move(*found);
}

}  // namespace

void add_saga_routes(http::Router& router, saga::Records& records) {
  http::route(router, http::Method::get, "/v1/ops/sagas",
              about("listSagas", "Sagas with what they are at, newest first", "read"),
              [&records](const Context& ctx, http::Query<SagaQuery> query) {
                const auto limit = static_cast<std::size_t>(query->limit);
                std::string before;
                if (query->cursor) before = read_cursor(*query->cursor, kOrder, 1).keys[0];
                Page<saga::SagaSummary> page;
                page.items = records.list(ctx,
                                          {.status = query->status,
                                           .definition = query->definition,
                                           .key = query->key,
                                           .reason = query->reason,
                                           .unfinished = query->unfinished},
                                          before, limit + 1);
                if (page.items.size() > limit) {
                  page.items.pop_back();
                  page.next_cursor = write_cursor({kOrder, {page.items.back().id}});
                }
                return page;
              });
  http::route(
      router, http::Method::get, "/v1/ops/sagas/{id}",
      about("getSaga", "A saga with its steps, its timeline and its state", "read"),
      [&records](const Context& ctx, http::Path<SagaPath> path) { return details(ctx, records, path->id); });
  http::route(router, http::Method::post, "/v1/ops/sagas/{id}/retry",
              about("retrySaga", "Has a parked saga go on from where it stopped", "admin"),
              [&records](const Context& ctx, http::Path<SagaPath> path) {
                records.retry(ctx, path->id);
                return details(ctx, records, path->id);
              });
  http::route(router, http::Method::post, "/v1/ops/sagas/{id}/abandon",
              about("abandonSaga", "Ends a saga where it stands; nothing more is done or undone", "admin"),
              [&records](const Context& ctx, http::Path<SagaPath> path, http::Body<Abandonment> body) {
                records.abandon(ctx, path->id, body->reason);
                return details(ctx, records, path->id);
              });
}

}  // namespace holdfast::orders
