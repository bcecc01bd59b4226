// Reading orders.
#include "orders/modules/ordering/order_rows.hpp"

namespace holdfast::orders::ordering {
namespace {

#define ORDER_COLUMNS                                                                                        \
  "select id, customer_id, customer_email, status, status_reason, total_minor, currency, shipping_address, " \
  "created_at, updated_at, confirmed_at from orders"

std::vector<OrderLine> lines_of(sql::Queries& db, const OrderRow& row) {
  std::vector<OrderLine> lines;
  db.for_each<LineRow>(
      "select sku, name, quantity, unit_price_minor from order_lines where order_id = $1 order by position",
      [&](LineRow&& line) {
        const Money unit_price{line.unit_price_minor, row.currency};
        const Money line_total = unit_price * line.quantity;
        lines.push_back({std::move(line.sku), std::move(line.name), line.quantity, unit_price, line_total});
      },
      row.id);
  return lines;
}

Order to_order(sql::Queries& db, OrderRow&& row) {
  Order order;
  order.items = lines_of(db, row);
  order.id = row.id;
  order.customer_id = std::move(row.customer_id);
  order.customer_email = std::move(row.customer_email);
  order.status = row.status;
  order.status_reason = std::move(row.status_reason);
  order.total = {row.total_minor, row.currency};
  if (row.shipping_address) order.shipping_address = from_json<Address>(*row.shipping_address);
  order.created_at = row.created_at;
  order.updated_at = row.updated_at;
  return order;
}

/// The least id an order of that millisecond or later can have; orders are created at their id's time.
std::string lowest_id_at(WallTime at) {
  auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(at.time_since_epoch()).count();
  milliseconds = std::max<std::int64_t>(milliseconds, 0);
  Bytes16 bytes{};
  for (std::size_t i = 6; i-- > 0; milliseconds >>= 8)
    bytes[i] = static_cast<std::uint8_t>(milliseconds & 0xff);
  return OrderId(bytes).text();
}

[[noreturn]] void throw_unknown(const OrderId& id) {
  throw Error(ErrorCode::not_found, "There is no order " + id.text() + ".").reason("unknown_order");
}

}  // namespace

std::optional<Order> find(sql::Queries& db, const OrderId& id) {
  auto row = db.query_one<OrderRow>(ORDER_COLUMNS " where id = $1", id);
  if (!row) return std::nullopt;
  return to_order(db, std::move(*row));
}

Order get(sql::Queries& db, const OrderId& id) {
  auto found = find(db, id);
  if (!found) throw_unknown(id);
  return std::move(*found);
}

std::vector<OrderEvent> events(sql::Queries& db, const OrderId& id, std::int64_t after) {
  std::vector<OrderEvent> found;
  if (after < 1) {
    auto row = db.query_one<OrderRow>(ORDER_COLUMNS " where id = $1", id);
    if (!row) throw_unknown(id);
    const bool at_once = row->confirmed_at && *row->confirmed_at == row->created_at;
    Order placed = to_order(db, std::move(*row));
    placed.status = at_once ? OrderStatus::confirmed : OrderStatus::pending;
    placed.status_reason.reset();
    placed.updated_at = placed.created_at;
    found.push_back({1, std::string(kPlacedEvent), placed.created_at, to_json(placed)});
  }
  db.for_each<ChangeRow>(
      "select number, type, at, payload from order_changes where order_id = $1 and number > $2 order by "
      "number",
      [&](ChangeRow&& row) {
        found.push_back({row.number, std::move(row.type), row.at, std::move(row.payload)});
      },
      id, after);
  return found;
}

Page<Order> list(sql::Queries& db, const OrderQuery& query) {
  // Bounds of the walk down the ids; all of them are texts that sort as the ids do.
  std::string before = "ord_~";  // above every id
  if (query.created_before) before = lowest_id_at(*query.created_before);
  if (!query.cursor.empty()) before = std::min(before, read_cursor(query.cursor, "orders", 1).keys[0]);
  std::string from = "ord_";
  if (query.created_from) from = lowest_id_at(*query.created_from);

  std::string sql = ORDER_COLUMNS " where id < $1 and id >= $2";
  if (query.status) sql.append(" and status = '").append(enum_name(*query.status)).append("'");
  std::vector<OrderRow> rows;
  const std::int64_t one_more = query.limit + 1;
  if (query.customer_id.empty()) {
    rows = db.query<OrderRow>(sql + " order by id desc limit $3", before, from, one_more);
  } else {
    rows = db.query<OrderRow>(sql + " and customer_id = $4 order by id desc limit $3", before, from, one_more,
                              query.customer_id);
  }

  Page<Order> page;
  const bool more = static_cast<std::int64_t>(rows.size()) > query.limit;
  if (more) rows.pop_back();
  if (more) page.next_cursor = write_cursor({"orders", {rows.back().id.text()}});
  page.items.reserve(rows.size());
  for (OrderRow& row : rows) page.items.push_back(to_order(db, std::move(row)));
  return page;
}

OrderCounts count(sql::Queries& db) {
  return db
      .query_one<OrderCounts>(
          "select count(*) as orders,"
          " coalesce(sum(case when status = 'pending' then 1 else 0 end), 0) as pending,"
          " coalesce(sum(case when confirmed_at is not null then 1 else 0 end), 0) as confirmed,"
          " coalesce(sum(case when status = 'rejected' then 1 else 0 end), 0) as rejected,"
          " coalesce(sum(case when status = 'shipped' then 1 else 0 end), 0) as shipped,"
          " coalesce(sum(case when status = 'cancelled' then 1 else 0 end), 0) as cancelled from orders")
      .value();
}

std::vector<OrderId> undone(sql::Queries& db) {
  return db.query<OrderId>("select id from orders where status = 'rejected' or status = 'cancelled'");
}

std::vector<SalesMismatch> sales_mismatches(sql::Queries& db, std::int64_t limit) {
  return db.query<SalesMismatch>(
      "select sku, sum(ordered) as ordered, sum(moved) as moved from ("
      "  select l.sku as sku, sum(l.quantity) as ordered, 0 as moved from order_lines l"
      "  join orders o on o.id = l.order_id where o.status not in ('cancelled', 'rejected') group by l.sku"
      "  union all"
      "  select sku, 0, -sum(delta) from stock_movements where reason in ('sold', 'cancelled') group by sku) "
      "as both_sides "
      "group by sku having sum(ordered) <> sum(moved) order by sku limit $1",
      limit);
}

}  // namespace holdfast::orders::ordering
