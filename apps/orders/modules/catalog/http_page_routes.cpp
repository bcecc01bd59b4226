// The product's page and its reviews over HTTP. (Declared in http_routes.hpp.)
#include "orders/modules/catalog/http_routes.hpp"
#include "orders/shared/http.hpp"

namespace holdfast::orders::catalog {
namespace {

struct SkuPath {
  std::string sku;
  static constexpr auto rules() {
    return holdfast::rules(field<&SkuPath::sku>().length(1, kMaxSkuLength).pattern_chars(kSkuChars));
  }
};
HOLDFAST_DESCRIBE(SkuPath, (sku))

struct ReviewsQuery {
  std::optional<std::string> cursor;
  std::int64_t limit = kDefaultLimit;
  static constexpr auto rules() {
    return holdfast::rules(field<&ReviewsQuery::cursor>().length(1, 2048),
                           field<&ReviewsQuery::limit>().range(1, kMaxLimit).defaulted());
  }
};
HOLDFAST_DESCRIBE(ReviewsQuery, (cursor, limit))

}  // namespace

void add_page_routes(http::Router& router, sql::Database& database, idempotency::Idempotency& idempotency,
                     IdGenerator& ids, ProductPages& pages) {
  http::route(
      router, http::Method::get, "/v1/products/{sku}/page",
      {.name = "getProductPage",
       .summary = "All that a product's page shows",
       .description = "Product and stock, or an error. Reviews and what is bought together have a time "
                      "budget: `degraded` lists those left out or old, `stale` says how old.",
       .tags = {"catalog"}},
      [&pages](const Context& ctx, http::Path<SkuPath> path) { return pages.get(ctx, path->sku); });
  http::route(
      router, http::Method::get, "/v1/products/{sku}/reviews",
      {.name = "listReviews", .summary = "Lists a product's reviews, newest first", .tags = {"catalog"}},
      [&database](const Context& ctx, http::Path<SkuPath> path, http::Query<ReviewsQuery> query) {
        return database.read(ctx, [&](sql::Snapshot& db) {
          return reviews(db, path->sku, query->cursor.value_or(""), query->limit);
        });
      });
  router.post("/v1/products/{sku}/reviews",
              idempotency.transactional(
                  "add review",
                  [&ids](const Context&, http::Request& request) -> idempotency::Effect {
                    return [&ids, path = read_path<SkuPath>(request), review = read_body<NewReview>(request)](
                               const Context& ctx, sql::Transaction& tx) {
                      return http::Response::json(201, to_json(add_review(ctx, tx, ids, path.sku, review)))
                          .set("Location", "/v1/products/" + path.sku + "/reviews");
                    };
                  }),
              described<SkuPath, NewReview, Review>({.name = "addReview",
                                                     .summary = "Adds a review of a product",
                                                     .tags = {"catalog"},
                                                     .scope = "write",
                                                     .idempotency = http::Idempotency::required},
                                                    201));
}

}  // namespace holdfast::orders::catalog
