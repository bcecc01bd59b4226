#include "orders/modules/ordering/ordering.hpp"

#include <algorithm>
#include <array>
#include <numeric>

#include "holdfast/base/utf8.hpp"
#include "orders/modules/inventory/inventory.hpp"
#include "orders/modules/ordering/order_rows.hpp"

namespace holdfast::orders::ordering {
namespace {

struct Move {
  OrderStatus from;
  OrderStatus to;
};
// The status machine. What is not here is refused.
constexpr Move kMoves[] = {{OrderStatus::pending, OrderStatus::confirmed},
                           {OrderStatus::pending, OrderStatus::rejected},
                           {OrderStatus::pending, OrderStatus::cancelled},
                           {OrderStatus::confirmed, OrderStatus::shipped},
                           {OrderStatus::confirmed, OrderStatus::cancelled}};

/// The time in a UUIDv7: its first 48 bits, milliseconds.
WallTime time_of(const OrderId& id) {
  std::int64_t milliseconds = 0;
  for (std::size_t i = 0; i < 6; ++i) milliseconds = milliseconds << 8 | id.bytes()[i];
  return WallTime(std::chrono::milliseconds(milliseconds));
}

std::string item_pointer(std::size_t index, std::string_view member) {
  return "/items/" + std::to_string(index) + "/" + std::string(member);
}

/// One currency, known and active skus; each fault with its item.
std::vector<catalog::PriceTag> price(sql::Transaction& tx, const std::vector<OrderItem>& items) {
  std::vector<catalog::PriceTag> tags;
  tags.reserve(items.size());
  std::vector<FieldViolation> faults;
  for (std::size_t i = 0; i < items.size(); ++i) {
    auto tag = catalog::price_tag(tx, items[i].sku);
    if (!tag) {
      faults.push_back({item_pointer(i, "sku"), "unknown_sku", "is not in the catalog: " + items[i].sku});
    } else if (tag->status != catalog::ProductStatus::active) {
      faults.push_back({item_pointer(i, "sku"), "archived_sku", "is not sold any more: " + items[i].sku});
    }
    tags.push_back(tag ? std::move(*tag) : catalog::PriceTag{});
  }
  if (!faults.empty()) {
    std::string reason = faults.front().code;
    throw Error(ErrorCode::unprocessable,
                "Some items can't be ordered. Nothing was ordered; see the violations.")
        .reason(std::move(reason))
        .violations(std::move(faults));
  }
  for (std::size_t i = 1; i < tags.size(); ++i) {
    if (tags[i].currency == tags[0].currency) continue;
    faults.push_back({item_pointer(i, "sku"), "mixed_currencies",
                      "is priced in " + std::string(tags[i].currency.text()) + ", the first item in " +
                          std::string(tags[0].currency.text())});
  }
  if (!faults.empty()) {
    throw Error(ErrorCode::unprocessable, "An order has one currency. Place one for each.")
        .reason("mixed_currencies")
        .violations(std::move(faults));
  }
  return tags;
}

/// In the order of skus, so that two orders of the same goods never wait for each other crosswise.
void deduct_stock(const Context& ctx, sql::Transaction& tx, const Order& order) {
  std::vector<std::size_t> by_sku(order.items.size());
  std::iota(by_sku.begin(), by_sku.end(), 0);
  std::sort(by_sku.begin(), by_sku.end(),
            [&](std::size_t a, std::size_t b) { return order.items[a].sku < order.items[b].sku; });
  const std::string reference = order.id.text();
  std::vector<FieldViolation> faults;
  for (const std::size_t i : by_sku) {
    const OrderLine& line = order.items[i];
    if (inventory::deduct(ctx, tx, line.sku, line.quantity, reference)) continue;
    const auto level = inventory::level(tx, line.sku);
    faults.push_back({item_pointer(i, "quantity"), "insufficient_stock",
                      "asks for " + std::to_string(line.quantity) + " of " + line.sku + "; there are " +
                          std::to_string(level ? level->quantity : 0)});
  }
  if (faults.empty()) return;
  throw Error(ErrorCode::conflict, "There is not enough stock. Nothing was ordered; see the violations.")
      .reason("insufficient_stock")
      .violations(std::move(faults));
}

void insert(sql::Transaction& tx, const Order& order) {
  std::optional<std::string> address;
  if (order.shipping_address) address = to_json(*order.shipping_address);
  tx.execute(
      "insert into orders(id, customer_id, customer_email, status, total_minor, currency, shipping_address, "
      "created_at, updated_at, confirmed_at) values($1, $2, $3, $4, $5, $6, $7, $8, $8, $9)",
      order.id, order.customer_id, order.customer_email, order.status, order.total.minor,
      order.total.currency, address, order.created_at,
      order.status == OrderStatus::confirmed ? std::optional(order.created_at) : std::nullopt);
  std::int64_t position = 0;
  for (const OrderLine& line : order.items) {
    tx.execute(
        "insert into order_lines(order_id, position, sku, name, quantity, unit_price_minor) "
        "values($1, $2, $3, $4, $5, $6)",
        order.id, position++, line.sku, line.name, line.quantity, line.unit_price.minor);
  }
}

/// Event 1 is the order itself as it was placed, which costs the order path nothing; later ones are rows.
void record_change(sql::Transaction& tx, const Placed& placed, std::string_view type) {
  tx.execute(
      "insert into order_changes(order_id, number, type, at, payload) select $1, "
      "coalesce(max(number), 1) + 1, $2, $3, $4 from order_changes where order_id = $1",
      placed.order.id, type, placed.order.updated_at, placed.json);
}

void give_stock_back(const Context& ctx, sql::Transaction& tx, const Order& order) {
  const std::string reference = order.id.text();
  for (const OrderLine& line : order.items) inventory::give_back(ctx, tx, line.sku, line.quantity, reference);
}

bool looks_like_email(std::string_view text) {
  const std::size_t at = text.find('@');
  if (at == 0 || at == std::string_view::npos || at + 1 == text.size()) return false;
  return std::all_of(text.begin(), text.end(),
                     [&](char c) {
                       return c > ' ' && c < 127 &&
                              std::string_view("\"(),:;<>[]\\").find(c) == std::string_view::npos;
                     }) &&
         text.find('@', at + 1) == std::string_view::npos;
}

}  // namespace

bool can_move(OrderStatus from, OrderStatus to) noexcept {
  return std::any_of(std::begin(kMoves), std::end(kMoves),
                     [&](const Move& move) { return move.from == from && move.to == to; });
}

void PlaceOrder::validate(Violations& faults) const {
  if (customer_email && !looks_like_email(*customer_email)) {
    faults.add_at("/customerEmail", "bad_email", "must be an e-mail address such as ada@example.org");
  }
  if (items.size() < 2) return;
  std::vector<std::size_t> by_sku(items.size());
  std::iota(by_sku.begin(), by_sku.end(), 0);
  std::stable_sort(by_sku.begin(), by_sku.end(),
                   [&](std::size_t a, std::size_t b) { return items[a].sku < items[b].sku; });
  for (std::size_t i = 1; i < by_sku.size(); ++i) {
    if (items[by_sku[i]].sku != items[by_sku[i - 1]].sku) continue;
    faults.add_at(item_pointer(by_sku[i], "sku"), "duplicate_sku",
                  "is in the order already; one item a sku, with the quantities added");
  }
}

Placed Ordering::place(const Context& ctx, sql::Transaction& tx, const PlaceOrder& command) {
  std::vector<catalog::PriceTag> tags = price(tx, command.items);

  Placed placed;
  Order& order = placed.order;
  order.id = ids_.make<OrderId>();
  order.created_at = order.updated_at = time_of(order.id);
  order.status = checkout_ != nullptr ? OrderStatus::pending : OrderStatus::confirmed;
  order.customer_id = command.customer_id;
  order.customer_email = command.customer_email;
  order.shipping_address = command.shipping_address;
  order.total = {0, tags.front().currency};
  order.items.reserve(command.items.size());
  for (std::size_t i = 0; i < command.items.size(); ++i) {
    const Money unit_price{tags[i].price_minor, tags[i].currency};
    const Money line_total = unit_price * command.items[i].quantity;
    order.total += line_total;
    order.items.push_back(
        {command.items[i].sku, std::move(tags[i].name), command.items[i].quantity, unit_price, line_total});
  }

  deduct_stock(ctx, tx, order);
  insert(tx, order);
  placed.json = to_json(order);
  publish(ctx, tx, placed, kPlacedEvent);
  if (checkout_ != nullptr) checkout_->begin(ctx, tx, order, command.payment_method);
  return placed;
}

bool Ordering::move(const Context& ctx, sql::Transaction& tx, Placed& placed, OrderStatus to,
                    std::string_view event, std::string_view reason) {
  Order& order = placed.order;
  const OrderStatus from = order.status;
  // Later than its creation, by which one is told that was confirmed at once.
  const WallTime now = std::max(ctx.clock().wall_now(), order.created_at + std::chrono::microseconds(1));
  const auto confirmed_at = to == OrderStatus::confirmed ? std::optional(now) : std::nullopt;
  order.status = to;
  order.updated_at = now;
  if (!reason.empty()) order.status_reason = std::string(reason);
  const std::int64_t moved = tx.execute(
      "update orders set status = $2, status_reason = $3, updated_at = $4, "
      "confirmed_at = coalesce(confirmed_at, $5) where id = $1 and status = $6",
      order.id, to, order.status_reason, now, confirmed_at, from);
  if (moved == 0) return false;  // only where transactions run side by side; the embedded ones don't
  placed.json = to_json(order);
  record_change(tx, placed, event);
  publish(ctx, tx, placed, event);
  return true;
}

Placed Ordering::cancel(const Context& ctx, sql::Transaction& tx, const OrderId& id,
                        std::string_view reason) {
  Placed placed{get(tx, id), {}};
  if (placed.order.status == OrderStatus::cancelled) {
    placed.json = to_json(placed.order);
    return placed;
  }
  if (!can_move(placed.order.status, OrderStatus::cancelled)) {
    throw Error(ErrorCode::conflict, "Order " + id.text() + " is " +
                                         std::string(enum_name(placed.order.status)) +
                                         " and can't be cancelled any more.")
        .reason("invalid_transition");
  }
  if (!move(ctx, tx, placed, OrderStatus::cancelled, kCancelledEvent, reason)) {
    throw Error(ErrorCode::conflict, "Order " + id.text() + " has just been changed. Try again.")
        .reason("invalid_transition");
  }
  give_stock_back(ctx, tx, placed.order);
  if (checkout_ != nullptr) checkout_->cancelled(ctx, tx, id, reason);
  return placed;
}

bool Ordering::confirm(const Context& ctx, sql::Transaction& tx, const OrderId& id) {
  Placed placed{get(tx, id), {}};
  if (placed.order.status != OrderStatus::pending) return false;
  return move(ctx, tx, placed, OrderStatus::confirmed, kConfirmedEvent);
}

bool Ordering::ship(const Context& ctx, sql::Transaction& tx, const OrderId& id) {
  Placed placed{get(tx, id), {}};
  if (placed.order.status != OrderStatus::confirmed) return false;
  return move(ctx, tx, placed, OrderStatus::shipped, kShippedEvent);
}

bool Ordering::withdraw(const Context& ctx, sql::Transaction& tx, const OrderId& id,
                        std::string_view reason) {
  Placed placed{get(tx, id), {}};
  const bool pending = placed.order.status == OrderStatus::pending;
  if (!pending && placed.order.status != OrderStatus::confirmed) return false;
  const bool moved = pending ? move(ctx, tx, placed, OrderStatus::rejected, kRejectedEvent, reason)
                             : move(ctx, tx, placed, OrderStatus::cancelled, kCancelledEvent, reason);
  if (moved) give_stock_back(ctx, tx, placed.order);
  return moved;
}

void Ordering::publish(const Context& ctx, sql::Transaction& tx, const Placed& placed,
                       std::string_view type) {
  publisher_.publish(ctx, tx,
                     {.topic = std::string(kTopic),
                      .key = placed.order.id.text(),
                      .type = std::string(type),
                      .payload = placed.json});
}

}  // namespace holdfast::orders::ordering
