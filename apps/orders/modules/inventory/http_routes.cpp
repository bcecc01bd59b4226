#include "orders/modules/inventory/http_routes.hpp"

#include "orders/modules/inventory/inventory.hpp"
#include "orders/shared/http.hpp"
#include "orders/shared/paging.hpp"

namespace holdfast::orders::inventory {
namespace {

struct StockPath {
  std::string sku;
  static constexpr auto rules() {
    return holdfast::rules(field<&StockPath::sku>().length(1, 64).pattern_chars("A-Za-z0-9._-"));
  }
};
HOLDFAST_DESCRIBE(StockPath, (sku))

struct PageQuery {
  std::optional<std::string> cursor;
  std::int64_t limit = kDefaultLimit;
  static constexpr auto rules() {
    return holdfast::rules(field<&PageQuery::cursor>().length(1, 2048),
                           field<&PageQuery::limit>().range(1, kMaxLimit).defaulted());
  }
};
HOLDFAST_DESCRIBE(PageQuery, (cursor, limit))

Page<StockAccount> accounts_page(sql::Queries& db, const PageQuery& query) {
  const std::string after = query.cursor ? read_cursor(*query.cursor, "stock", 1).keys[0] : "";
  Page<StockAccount> page;
  page.items = accounts(db, after, query.limit + 1);
  if (static_cast<std::int64_t>(page.items.size()) > query.limit) {
    page.items.pop_back();
    page.next_cursor = write_cursor({"stock", {page.items.back().sku}});
  }
  return page;
}

[[noreturn]] void refuse_unknown(std::string_view sku) {
  throw Error(ErrorCode::not_found, "There is no stock of " + std::string(sku) + ".").reason("unknown_sku");
}

Page<Movement> movements_page(sql::Queries& db, const std::string& sku, const PageQuery& query) {
  if (!level(db, sku)) refuse_unknown(sku);
  const std::int64_t before =
      query.cursor ? cursor_number(read_cursor(*query.cursor, "movements", 1).keys[0]) : 0;
  Page<Movement> page;
  page.items = movements(db, sku, before, query.limit + 1);
  if (static_cast<std::int64_t>(page.items.size()) > query.limit) {
    page.items.pop_back();
    page.next_cursor = write_cursor({"movements", {std::to_string(page.items.back().id)}});
  }
  return page;
}

}  // namespace

void add_routes(http::Router& router, sql::Database& database, idempotency::Idempotency& idempotency) {
  http::route(router, http::Method::get, "/v1/stock",
              {.name = "listStock",
               .summary = "Every level, and the sums of the movements that explain it",
               .tags = {"inventory"},
               .scope = "read"},
              [&database](const Context& ctx, http::Query<PageQuery> query) {
                return database.read(ctx, {.offload = true},
                                     [&](sql::Snapshot& db) { return accounts_page(db, query.value); });
              });
  http::route(
      router, http::Method::get, "/v1/stock/{sku}",
      {.name = "getStock", .summary = "How many pieces there are", .tags = {"inventory"}, .scope = "read"},
      [&database](const Context& ctx, http::Path<StockPath> path) -> StockLevel {
        auto found = database.read(ctx, [&](sql::Snapshot& db) { return level(db, path->sku); });
        if (!found) refuse_unknown(path->sku);
        return *found;
      });
  http::route(router, http::Method::get, "/v1/stock/{sku}/movements",
              {.name = "listMovements",
               .summary = "Why the level is what it is, newest first",
               .tags = {"inventory"},
               .scope = "read"},
              [&database](const Context& ctx, http::Path<StockPath> path, http::Query<PageQuery> query) {
                return database.read(ctx, {.offload = true}, [&](sql::Snapshot& db) {
                  return movements_page(db, path->sku, query.value);
                });
              });
  router.post(
      "/v1/stock/{sku}/adjustments",
      idempotency.transactional(
          "adjust stock",
          [](const Context&, http::Request& request) -> idempotency::Effect {
            return [path = read_path<StockPath>(request), adjustment = read_body<Adjustment>(request)](
                       const Context& ctx, sql::Transaction& tx) {
              return http::Response::json(200, to_json(adjust(ctx, tx, path.sku, adjustment)));
            };
          }),
      described<StockPath, Adjustment, StockLevel>({.name = "adjustStock",
                                                    .summary = "Adds or takes pieces, with the reason",
                                                    .tags = {"inventory"},
                                                    .scope = "write",
                                                    .idempotency = http::Idempotency::optional},
                                                   200));
}

}  // namespace holdfast::orders::inventory
