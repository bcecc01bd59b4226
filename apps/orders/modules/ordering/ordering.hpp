// Ordering: customers' orders, from the request to their end. Placing one deducts its stock, writes it
// down and publishes its event in one transaction; prices are the catalog's, never the client's.
//
//   Ordering ordering(ids, publisher);
//   const Order order = db.transact(ctx, "place order", [&](sql::Transaction& tx) {
//     return ordering.place(ctx, tx, {.customer_id = "17850", .items = {{"MUG-1", 2}}});
//   });
//
// Thread-safety: an Ordering holds no state of its own; the rest as the Transaction's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/id.hpp"
#include "holdfast/base/money.hpp"
#include "holdfast/base/reflect.hpp"
#include "holdfast/messaging/outbox.hpp"
#include "holdfast/runtime/context.hpp"
#include "holdfast/sql/database.hpp"
#include "holdfast/sql/migrations.hpp"
#include "orders/modules/catalog/catalog.hpp"
#include "orders/shared/paging.hpp"

namespace holdfast::orders::ordering {

using OrderId = Id<"ord">;

inline constexpr std::int64_t kMaxQuantity = 1'000'000;
inline constexpr std::size_t kMaxItems = 500;    // so that an order's event stays below a message's limit
inline constexpr std::size_t kMaxBatch = 1'000;  // orders

/// The topic of order events; their key is the order's id and their payload the Order.
inline constexpr std::string_view kTopic = "orders";
inline constexpr std::string_view kPlacedEvent = "order.placed";
inline constexpr std::string_view kConfirmedEvent = "order.confirmed";  // not for orders placed confirmed
inline constexpr std::string_view kRejectedEvent = "order.rejected";
inline constexpr std::string_view kShippedEvent = "order.shipped";
inline constexpr std::string_view kCancelledEvent = "order.cancelled";

enum class OrderStatus : std::uint8_t {
  pending,    ///< taken, its stock deducted; something else (a payment) has yet to agree
  confirmed,  ///< taken for good
  rejected,   ///< something else did not agree; stock is back
  shipped,
  cancelled,  ///< by the customer or the shop; stock is back
};
HOLDFAST_DESCRIBE_ENUM(OrderStatus, pending, confirmed, rejected, shipped, cancelled)

/// Whether an order may go from `from` to `to`.
bool can_move(OrderStatus from, OrderStatus to) noexcept;

struct Address {
  std::string name;
  std::string line1;
  std::string line2;
  std::string city;
  std::string region;
  std::string postal_code;
  std::string country;
  static constexpr auto rules() {
    return holdfast::rules(field<&Address::name>().length(1, 200).printable(),
                           field<&Address::line1>().length(1, 200).printable(),
                           field<&Address::line2>().length(0, 200).printable().defaulted(),
                           field<&Address::city>().length(1, 100).printable(),
                           field<&Address::region>().length(0, 100).printable().defaulted(),
                           field<&Address::postal_code>().length(1, 20).printable(),
                           field<&Address::country>()
                               .length(2, 2)
                               .pattern_chars("A-Z")
                               .doc("ISO 3166-1 alpha-2.")
                               .example("\"GB\""));
  }
  bool operator==(const Address&) const = default;
};
HOLDFAST_DESCRIBE(Address, (name, line1, line2, city, region, postal_code, country))

struct OrderItem {
  std::string sku;
  std::int64_t quantity = 0;
  static constexpr auto rules() {
    return holdfast::rules(field<&OrderItem::sku>()
                               .length(1, catalog::kMaxSkuLength)
                               .pattern_chars(catalog::kSkuChars)
                               .example("\"CAKE-STAND-3\""),
                           field<&OrderItem::quantity>().range(1, kMaxQuantity).doc("Pieces.").example("2"));
  }
};
HOLDFAST_DESCRIBE(OrderItem, (sku, quantity))

struct PlaceOrder {
  std::string customer_id;
  std::optional<std::string> customer_email;
  std::vector<OrderItem> items;
  std::optional<Address> shipping_address;
  std::optional<std::string> payment_method;

  void validate(Violations& faults) const;
  static constexpr auto rules() {
    return holdfast::rules(field<&PlaceOrder::customer_id>()
                               .length(1, 64)
                               .pattern_chars("A-Za-z0-9._-")
                               .doc("The shop's own name of the customer.")
                               .example("\"17850\""),
                           field<&PlaceOrder::customer_email>()
                               .length(3, 254)
                               .printable()
                               .doc("Where the receipt goes; <customerId>@customers.invalid unless given.")
                               .example("\"ada@example.org\""),
                           field<&PlaceOrder::items>().size(1, kMaxItems).doc("Each sku once."),
                           field<&PlaceOrder::shipping_address>().doc("Where the goods go."),
                           field<&PlaceOrder::payment_method>()
                               .length(1, 255)
                               .pattern_chars("A-Za-z0-9_-")
                               .doc("What the payment provider calls the customer's means of payment; a "
                                    "token, never a card's number.")
                               .example("\"pm_card_visa\""));
  }
};
HOLDFAST_DESCRIBE(PlaceOrder, (customer_id, customer_email, items, shipping_address, payment_method))

struct OrderLine {
  std::string sku;
  std::string name;  ///< as it was when the order was placed
  std::int64_t quantity = 0;
  Money unit_price;
  Money line_total;
};
HOLDFAST_DESCRIBE(OrderLine, (sku, name, quantity, unit_price, line_total))

struct Order {
  OrderId id;
  std::string customer_id;
  std::optional<std::string> customer_email;
  OrderStatus status = OrderStatus::confirmed;
  std::optional<std::string> status_reason;  ///< why it is rejected or cancelled: "card_declined"
  std::vector<OrderLine> items;
  Money total;
  std::optional<Address> shipping_address;
  WallTime created_at;  ///< the time in its id, so that orders sort and are found by it
  WallTime updated_at;
  static constexpr auto rules() {
    return holdfast::rules(
        field<&Order::status>().doc(
            "pending: taken, its stock reserved; the payment has yet to be agreed to. confirmed: taken for "
            "good. shipped: the carrier has it. rejected: the payment was not agreed to. cancelled: by the "
            "customer or the shop; what was paid is given back."),
        field<&Order::status_reason>().doc(
            "Why it is rejected or cancelled: card_declined, insufficient_funds, payment_not_confirmed, "
            "payment_unavailable, shipment_refused, cancelled_on_request, …"));
  }
};
HOLDFAST_DESCRIBE(Order, (id, customer_id, customer_email, status, status_reason, items, total,
                          shipping_address, created_at, updated_at))

/// An order, and the JSON of it that its event carries: callers that answer with it needn't write it again.
struct Placed {
  Order order;
  std::string json;
};

struct OrderQuery {
  std::string customer_id;  ///< empty: any
  std::optional<OrderStatus> status;
  std::optional<WallTime> created_from;    ///< inclusive
  std::optional<WallTime> created_before;  ///< exclusive
  std::string cursor;
  std::int64_t limit = kDefaultLimit;
};

/// A port: what else has to agree to an order (its payment, its carrier). Told within the order's own
/// transactions; it drives the order on by Ordering's confirm(), reject() and ship().
class Checkout {
 public:
  virtual ~Checkout() = default;
  Checkout(const Checkout&) = delete;
  Checkout& operator=(const Checkout&) = delete;

  /// `order` was placed and is pending. Throws Error(unprocessable), with violations, where it can't be
  /// paid as asked: the order is then not placed.
  virtual void begin(const Context& ctx, sql::Transaction& tx, const Order& order,
                     const std::optional<std::string>& payment_method) = 0;

  /// The order was cancelled: what was done for it so far is to be undone.
  virtual void cancelled(const Context& ctx, sql::Transaction& tx, const OrderId& id,
                         std::string_view reason) = 0;

 protected:
  Checkout() = default;
};

class Ordering {
 public:
  /// All are borrowed. Without a checkout nothing but its stock has to agree to an order: it is
  /// confirmed when it is placed.
  Ordering(IdGenerator& ids, messaging::Publisher& publisher, Checkout* checkout = nullptr) noexcept
      : ids_(ids), publisher_(publisher), checkout_(checkout) {}

  /// `command` must be valid (from_json() or check_value() saw to it). Throws Error: unprocessable with
  /// a violation for each item, "unknown_sku" / "archived_sku" / "mixed_currencies"; conflict,
  /// "insufficient_stock", with a violation for each item there is too little of; invalid_argument,
  /// "money_overflow"; what Checkout::begin throws. Nothing is written then, as long as the transaction or
  /// a savepoint is undone.
  Placed place(const Context& ctx, sql::Transaction& tx, const PlaceOrder& command);

  /// Gives the stock back, once: cancelling a cancelled order changes nothing and returns it. Money that
  /// was taken follows (Checkout::cancelled). Throws Error: not_found, "unknown_order"; conflict,
  /// "invalid_transition".
  Placed cancel(const Context& ctx, sql::Transaction& tx, const OrderId& id,
                std::string_view reason = "cancelled_on_request");

  // The checkout's verbs. Each changes nothing and returns false where the order has already gone another
  // way (or the same): the caller, run again after a crash, finds its work done. They throw Error
  // (not_found, "unknown_order").

  /// pending → confirmed, published as order.confirmed.
  bool confirm(const Context& ctx, sql::Transaction& tx, const OrderId& id);
  /// confirmed → shipped, published as order.shipped.
  bool ship(const Context& ctx, sql::Transaction& tx, const OrderId& id);
  /// The shop can't keep its part: pending → rejected, confirmed → cancelled; stock goes back. `reason` is
  /// a code that customers are shown.
  bool withdraw(const Context& ctx, sql::Transaction& tx, const OrderId& id, std::string_view reason);

 private:
  /// Writes the move down and publishes it. False where another transaction was faster.
  bool move(const Context& ctx, sql::Transaction& tx, Placed& placed, OrderStatus to, std::string_view event,
            std::string_view reason = {});
  void publish(const Context& ctx, sql::Transaction& tx, const Placed& placed, std::string_view type);

  IdGenerator& ids_;
  messaging::Publisher& publisher_;
  Checkout* checkout_;
};

/// What happened to an order, told to whoever watches it.
struct OrderEvent {
  std::int64_t number = 0;  ///< within the order, from 1
  std::string type;         ///< kPlacedEvent, kCancelledEvent, …
  WallTime at;
  std::string json;  ///< the Order as it was after it
};

/// The events after number `after`, in order. Kept as long as the order is, unlike its messages.
/// Throws Error(not_found, "unknown_order").
std::vector<OrderEvent> events(sql::Queries& db, const OrderId& id, std::int64_t after = 0);

std::optional<Order> find(sql::Queries& db, const OrderId& id);
/// As find(); throws Error(not_found, "unknown_order").
Order get(sql::Queries& db, const OrderId& id);

/// The newest first. Throws Error(invalid_argument, "bad_cursor").
Page<Order> list(sql::Queries& db, const OrderQuery& query);

/// Orders in the database, for reconciliation.
struct OrderCounts {
  std::int64_t orders = 0;
  std::int64_t pending = 0;
  std::int64_t confirmed = 0;  ///< ever: those cancelled afterwards too
  std::int64_t rejected = 0;
  std::int64_t shipped = 0;
  std::int64_t cancelled = 0;
};
HOLDFAST_DESCRIBE(OrderCounts, (orders, pending, confirmed, rejected, shipped, cancelled))
OrderCounts count(sql::Queries& db);

/// A sku whose pieces sold and given back, by the ledger, are not those of the orders.
struct SalesMismatch {
  std::string sku;
  std::int64_t ordered = 0;  ///< by orders that are not cancelled or rejected
  std::int64_t moved = 0;    ///< by the ledger's `sold` and `cancelled`
};
HOLDFAST_DESCRIBE(SalesMismatch, (sku, ordered, moved))

/// All that were rejected or cancelled, for reconciliation.
std::vector<OrderId> undone(sql::Queries& db);

/// There should never be one. Reads all orders and the whole ledger.
std::vector<SalesMismatch> sales_mismatches(sql::Queries& db, std::int64_t limit = 100);

/// This module's steps of the schema; their numbers are given out in orders/migrations.cpp.
std::vector<sql::Migration> migrations();

}  // namespace holdfast::orders::ordering
