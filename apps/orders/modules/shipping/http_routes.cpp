#include "orders/modules/shipping/http_routes.hpp"

#include "holdfast/http/typed.hpp"
#include "orders/modules/shipping/shipping.hpp"

namespace holdfast::orders::shipping {
namespace {

struct OrderPath {
  OrderId id;
};
HOLDFAST_DESCRIBE(OrderPath, (id))

}  // namespace

void add_routes(http::Router& router, sql::Database& database) {
  http::route(router, http::Method::get, "/v1/orders/{id}/shipment",
              {.name = "getShipment",
               .summary = "Where an order's goods are: state, tracking number, expected delivery",
               .tags = {"shipping"},
               .scope = "read"},
              [&database](const Context& ctx, http::Path<OrderPath> path) -> Shipment {
                auto found = database.read(ctx, [&](sql::Snapshot& db) { return find(db, path->id); });
                if (found) return *std::move(found);
                throw Error(ErrorCode::not_found, "There is no shipment of " + path->id.text() + ".")
                    .reason("unknown_shipment");
              });
}

}  // namespace holdfast::orders::shipping
