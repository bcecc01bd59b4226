#include "orders/modules/ordering/ordering.hpp"

#include <gmock/gmock.h>

#include "orders/testing/domain.hpp"

namespace holdfast::orders::ordering {
namespace {

using testing::Domain;
using testing::error_of;
using testing::product;
using testing::stock_shelf;
using testing::with_domain;

PlaceOrder order_of(std::vector<OrderItem> items, std::string customer = "17850") {
  PlaceOrder command;
  command.customer_id = std::move(customer);
  command.items = std::move(items);
  return command;
}

Placed place(Domain& d, const PlaceOrder& command) {
  return d.write([&](sql::Transaction& tx) { return d.ordering.place(d.ctx, tx, command); });
}

Placed cancel(Domain& d, const OrderId& id) {
  return d.write([&](sql::Transaction& tx) { return d.ordering.cancel(d.ctx, tx, id); });
}

std::int64_t stock(Domain& d, std::string_view sku) {
  return d.read([&](sql::Snapshot& db) { return inventory::level(db, sku).value().quantity; });
}

void expect_balanced(Domain& d) {
  d.read([](sql::Snapshot& db) {
    EXPECT_TRUE(inventory::imbalances(db).empty());
    EXPECT_TRUE(sales_mismatches(db).empty());
  });
}

TEST(Ordering, PlacesAnOrderWithItsStockAndItsEvent) {
  with_domain([](Domain& d) {
    stock_shelf(d, {product("MUG", 850, 10), product("BOWL", 1200, 5)});
    const Placed placed = place(d, order_of({{"MUG", 2}, {"BOWL", 1}}));
    EXPECT_EQ(placed.order.total, (Money{2900, Currency::of("GBP")}));
    EXPECT_EQ(placed.order.status, OrderStatus::confirmed);
    EXPECT_EQ(stock(d, "MUG"), 8);
    EXPECT_EQ(stock(d, "BOWL"), 4);
    ASSERT_EQ(d.publisher.published.size(), 1U);
    EXPECT_EQ(d.publisher.published[0].type, "order.placed");
    EXPECT_EQ(d.publisher.published[0].key, placed.order.id.text());
    EXPECT_EQ(d.publisher.published[0].payload, placed.json);
    const Order stored = d.read([&](sql::Snapshot& db) { return get(db, placed.order.id); });
    EXPECT_EQ(to_json(stored), placed.json);  // what was answered is what is kept
    expect_balanced(d);
  });
}

TEST(Ordering, KeepsAddressAndEmail) {
  with_domain([](Domain& d) {
    stock_shelf(d, {product("MUG", 850, 10)});
    PlaceOrder command = order_of({{"MUG", 1}});
    command.customer_email = "ada@example.org";
    command.shipping_address =
        Address{.name = "Ada", .line1 = "1 St", .city = "London", .postal_code = "N1", .country = "GB"};
    const Placed placed = place(d, command);
    const Order stored = d.read([&](sql::Snapshot& db) { return get(db, placed.order.id); });
    EXPECT_EQ(stored.shipping_address, command.shipping_address);
    EXPECT_EQ(stored.customer_email, "ada@example.org");
  });
}

TEST(Ordering, NamesEveryItemThatCantBeOrderedAndWritesNothing) {
  with_domain([](Domain& d) {
    stock_shelf(d, {product("MUG", 850, 10), product("OLD", 100, 10)});
    d.write([&](sql::Transaction& tx) { return catalog::archive(d.ctx, tx, "OLD"); });
    const Error error = error_of([&] { place(d, order_of({{"MUG", 1}, {"NONE", 1}, {"OLD", 1}})); });
    EXPECT_EQ(error.code(), ErrorCode::unprocessable);
    ASSERT_EQ(error.violations().size(), 2U);
    EXPECT_EQ(error.violations()[0].pointer, "/items/1/sku");
    EXPECT_EQ(error.violations()[0].code, "unknown_sku");
    EXPECT_EQ(error.violations()[1].pointer, "/items/2/sku");
    EXPECT_EQ(error.violations()[1].code, "archived_sku");
    EXPECT_EQ(stock(d, "MUG"), 10);
    EXPECT_EQ(d.read([](sql::Snapshot& db) { return count(db).orders; }), 0);
  });
}

TEST(Ordering, RefusesMixedCurrencies) {
  with_domain([](Domain& d) {
    stock_shelf(d, {product("MUG", 850, 10), product("TASSE", 900, 10, Currency::of("EUR"))});
    const Error error = error_of([&] { place(d, order_of({{"MUG", 1}, {"TASSE", 1}})); });
    EXPECT_EQ(error.reason(), "mixed_currencies");
    EXPECT_EQ(error.code(), ErrorCode::unprocessable);
  });
}

TEST(Ordering, RefusesWhatIsNotThereAndUndoesWhatItTook) {
  with_domain([](Domain& d) {
    stock_shelf(d, {product("A", 850, 10), product("B", 850, 1)});
    const Error error = error_of([&] { place(d, order_of({{"B", 2}, {"A", 3}})); });
    EXPECT_EQ(error.code(), ErrorCode::conflict);
    EXPECT_EQ(error.reason(), "insufficient_stock");
    ASSERT_EQ(error.violations().size(), 1U);
    EXPECT_EQ(error.violations()[0].pointer, "/items/0/quantity");
    EXPECT_EQ(stock(d, "A"), 10);
    expect_balanced(d);
  });
}

TEST(Ordering, RefusesATotalThatNoNumberHolds) {
  with_domain([](Domain& d) {
    std::vector<catalog::NewProduct> dear;
    std::vector<OrderItem> items;
    for (int i = 0; i < 10; ++i) {
      dear.push_back(product("P" + std::to_string(i), catalog::kMaxPriceMinor, kMaxQuantity));
      items.push_back({"P" + std::to_string(i), kMaxQuantity});
    }
    stock_shelf(d, dear);
    EXPECT_EQ(error_of([&] { place(d, order_of(items)); }).reason(), "money_overflow");
    EXPECT_EQ(stock(d, "P0"), kMaxQuantity);
  });
}

TEST(Ordering, CancellingGivesTheStockBackOnce) {
  with_domain([](Domain& d) {
    stock_shelf(d, {product("MUG", 850, 10)});
    const OrderId id = place(d, order_of({{"MUG", 4}})).order.id;
    EXPECT_EQ(stock(d, "MUG"), 6);
    d.clock.advance(std::chrono::minutes(1));
    const Placed first = cancel(d, id);
    EXPECT_EQ(first.order.status, OrderStatus::cancelled);
    EXPECT_GT(first.order.updated_at, first.order.created_at);
    const Placed again = cancel(d, id);
    EXPECT_EQ(again.json, first.json);
    EXPECT_EQ(stock(d, "MUG"), 10);
    ASSERT_EQ(d.publisher.published.size(), 2U);  // placed, cancelled; nothing for the second call
    EXPECT_EQ(d.publisher.published[1].type, "order.cancelled");
    expect_balanced(d);
  });
}

TEST(Ordering, RefusesMovesTheStatusMachineDoesNotHave) {
  EXPECT_TRUE(can_move(OrderStatus::confirmed, OrderStatus::cancelled));
  EXPECT_FALSE(can_move(OrderStatus::shipped, OrderStatus::cancelled));
  EXPECT_FALSE(can_move(OrderStatus::cancelled, OrderStatus::confirmed));
  EXPECT_FALSE(can_move(OrderStatus::rejected, OrderStatus::shipped));
  with_domain([](Domain& d) {
    stock_shelf(d, {product("MUG", 850, 10)});
    const OrderId id = place(d, order_of({{"MUG", 4}})).order.id;
    d.write([&](sql::Transaction& tx) { return d.ordering.ship(d.ctx, tx, id); });
    EXPECT_EQ(error_of([&] { cancel(d, id); }).reason(), "invalid_transition");
    EXPECT_EQ(stock(d, "MUG"), 6);
    EXPECT_EQ(error_of([&] { cancel(d, OrderId{}); }).reason(), "unknown_order");
  });
}

/// A checkout that remembers what it was told.
class RecordingCheckout final : public Checkout {
 public:
  void begin(const Context&, sql::Transaction&, const Order& order,
             const std::optional<std::string>& payment_method) override {
    if (!payment_method) throw Error(ErrorCode::unprocessable, "pay").reason("payment_method_required");
    begun.push_back(order.id);
  }
  void cancelled(const Context&, sql::Transaction&, const OrderId& id, std::string_view reason) override {
    stopped.emplace_back(id.text() + " " + std::string(reason));
  }
  std::vector<OrderId> begun;
  std::vector<std::string> stopped;
};

/// An Ordering with a checkout, and one paid-for order of four mugs of ten.
struct CheckedOut {
  explicit CheckedOut(Domain& domain) : d(domain), ordering(ids, d.publisher, &checkout) {
    stock_shelf(d, {product("MUG", 850, 10)});
    PlaceOrder command = order_of({{"MUG", 4}});
    command.payment_method = "pm_card_visa";
    order = d.write([&](sql::Transaction& tx) { return ordering.place(d.ctx, tx, command); }).order;
  }
  Order now() {
    return d.read([&](sql::Snapshot& db) { return get(db, order.id); });
  }
  std::vector<std::string> event_types() {
    std::vector<std::string> types;
    for (const auto& event : d.read([&](sql::Snapshot& db) { return events(db, order.id); }))
      types.push_back(event.type);
    return types;
  }

  Domain& d;
  SeededRandom random{3};
  IdGenerator ids{d.clock, random};
  RecordingCheckout checkout;
  Ordering ordering;
  Order order;
};

TEST(OrderingWithACheckout, IsPendingUntilConfirmedAndEndsShipped) {
  with_domain([](Domain& d) {
    CheckedOut c(d);
    EXPECT_EQ(c.order.status, OrderStatus::pending);
    EXPECT_EQ(c.checkout.begun, std::vector{c.order.id});
    EXPECT_FALSE(d.write([&](sql::Transaction& tx) { return c.ordering.ship(d.ctx, tx, c.order.id); }));
    EXPECT_TRUE(d.write([&](sql::Transaction& tx) { return c.ordering.confirm(d.ctx, tx, c.order.id); }));
    EXPECT_FALSE(d.write([&](sql::Transaction& tx) { return c.ordering.confirm(d.ctx, tx, c.order.id); }));
    EXPECT_TRUE(d.write([&](sql::Transaction& tx) { return c.ordering.ship(d.ctx, tx, c.order.id); }));
    EXPECT_EQ(c.now().status, OrderStatus::shipped);
    EXPECT_EQ(c.event_types(),
              (std::vector<std::string>{"order.placed", "order.confirmed", "order.shipped"}));
    const auto first = d.read([&](sql::Snapshot& db) { return events(db, c.order.id).front(); });
    EXPECT_EQ(first.json, to_json(c.order));  // as it was, not as it is
    const OrderCounts counts = d.read([](sql::Snapshot& db) { return count(db); });
    EXPECT_EQ(counts.confirmed, 1);
    EXPECT_EQ(counts.shipped, 1);
    EXPECT_EQ(stock(d, "MUG"), 6);
    expect_balanced(d);
  });
}

TEST(OrderingWithACheckout, RejectsWithAReasonAndGivesStockBackOnce) {
  with_domain([](Domain& d) {
    CheckedOut c(d);
    for (const bool expected : {true, false}) {
      EXPECT_EQ(expected, d.write([&](sql::Transaction& tx) {
        return c.ordering.withdraw(d.ctx, tx, c.order.id, "card_declined");
      }));
    }
    EXPECT_EQ(c.now().status, OrderStatus::rejected);
    EXPECT_EQ(c.now().status_reason, "card_declined");
    EXPECT_EQ(stock(d, "MUG"), 10);
    EXPECT_EQ(error_of([&] {
                d.write([&](sql::Transaction& tx) { return c.ordering.cancel(d.ctx, tx, c.order.id); });
              }).reason(),
              "invalid_transition");
    expect_balanced(d);
  });
}

TEST(OrderingWithACheckout, WithdrawingAConfirmedOrderCancelsIt) {
  with_domain([](Domain& d) {
    CheckedOut c(d);
    d.write([&](sql::Transaction& tx) { return c.ordering.confirm(d.ctx, tx, c.order.id); });
    d.write(
        [&](sql::Transaction& tx) { return c.ordering.withdraw(d.ctx, tx, c.order.id, "carrier_refused"); });
    EXPECT_EQ(c.now().status, OrderStatus::cancelled);
    EXPECT_EQ(c.now().status_reason, "carrier_refused");
    EXPECT_TRUE(c.checkout.stopped.empty());  // it is the checkout that said so
    EXPECT_EQ(stock(d, "MUG"), 10);
    expect_balanced(d);
  });
}

TEST(OrderingWithACheckout, CancellingTellsTheCheckoutOnce) {
  with_domain([](Domain& d) {
    CheckedOut c(d);
    for (int i = 0; i < 2; ++i)
      d.write([&](sql::Transaction& tx) { return c.ordering.cancel(d.ctx, tx, c.order.id, "changed_mind"); });
    EXPECT_EQ(c.checkout.stopped, std::vector{c.order.id.text() + " changed_mind"});
    EXPECT_FALSE(d.write([&](sql::Transaction& tx) { return c.ordering.confirm(d.ctx, tx, c.order.id); }));
    EXPECT_FALSE(d.write(
        [&](sql::Transaction& tx) { return c.ordering.withdraw(d.ctx, tx, c.order.id, "card_declined"); }));
    EXPECT_EQ(c.now().status_reason, "changed_mind");
    EXPECT_EQ(stock(d, "MUG"), 10);
    expect_balanced(d);
  });
}

TEST(OrderingWithACheckout, WhatItRefusesIsNotPlaced) {
  with_domain([](Domain& d) {
    CheckedOut c(d);
    const Error error = error_of([&] {
      d.write([&](sql::Transaction& tx) { return c.ordering.place(d.ctx, tx, order_of({{"MUG", 1}})); });
    });
    EXPECT_EQ(error.reason(), "payment_method_required");
    EXPECT_EQ(stock(d, "MUG"), 6);
    EXPECT_EQ(d.read([](sql::Snapshot& db) { return count(db).orders; }), 1);
  });
}

TEST(Ordering, ListsByCustomerStatusAndTimeNewestFirst) {
  with_domain([](Domain& d) {
    stock_shelf(d, {product("MUG", 850, 100)});
    std::vector<Order> placed;
    for (int i = 0; i < 5; ++i) {
      placed.push_back(place(d, order_of({{"MUG", 1}}, i % 2 == 0 ? "even" : "odd")).order);
      d.clock.advance(std::chrono::minutes(1));
    }
    cancel(d, placed[2].id);
    const auto ids = [&](OrderQuery query) {
      std::vector<std::size_t> found;
      do {
        const Page<Order> page = d.read([&](sql::Snapshot& db) { return list(db, query); });
        for (const Order& order : page.items) {
          for (std::size_t i = 0; i < placed.size(); ++i) {
            if (placed[i].id == order.id) found.push_back(i);
          }
        }
        query.cursor = page.next_cursor.value_or("");
      } while (!query.cursor.empty());
      return found;
    };
    using ::testing::ElementsAre;
    EXPECT_THAT(ids({.limit = 2}), ElementsAre(4, 3, 2, 1, 0));
    EXPECT_THAT(ids({.limit = 5}), ElementsAre(4, 3, 2, 1, 0));
    EXPECT_THAT(ids({.customer_id = "even", .limit = 1}), ElementsAre(4, 2, 0));
    EXPECT_THAT(ids({.status = OrderStatus::cancelled}), ElementsAre(2));
    EXPECT_THAT(ids({.status = OrderStatus::confirmed}), ElementsAre(4, 3, 1, 0));
    EXPECT_THAT(
        ids({.created_from = placed[1].created_at, .created_before = placed[3].created_at, .limit = 1}),
        ElementsAre(2, 1));
  });
}

TEST(Ordering, TellsWhatHappenedToAnOrder) {
  with_domain([](Domain& d) {
    stock_shelf(d, {product("MUG", 850, 10)});
    const Placed placed = place(d, order_of({{"MUG", 4}}));
    d.clock.advance(std::chrono::seconds(5));
    const Placed cancelled = cancel(d, placed.order.id);
    cancel(d, placed.order.id);
    const auto all = d.read([&](sql::Snapshot& db) { return events(db, placed.order.id); });
    ASSERT_EQ(all.size(), 2U);
    EXPECT_EQ(all[0].type, "order.placed");
    EXPECT_EQ(all[0].json, placed.json) << "as it was then, not as it is now";
    EXPECT_EQ(all[1].number, 2);
    EXPECT_EQ(all[1].json, cancelled.json);
    EXPECT_EQ(d.read([&](sql::Snapshot& db) { return events(db, placed.order.id, 1); }).size(), 1U);
    EXPECT_TRUE(d.read([&](sql::Snapshot& db) { return events(db, placed.order.id, 2); }).empty());
    EXPECT_EQ(error_of([&] { d.read([](sql::Snapshot& db) { return events(db, OrderId{}); }); }).reason(),
              "unknown_order");
  });
}

TEST(Ordering, RefusesACursorOfAnotherList) {
  with_domain([](Domain& d) {
    OrderQuery query;
    query.cursor = write_cursor({"sku", {"MUG", "MUG"}});
    EXPECT_EQ(error_of([&] { d.read([&](sql::Snapshot& db) { return list(db, query); }); }).reason(),
              "bad_cursor");
  });
}

TEST(Ordering, SeesSalesThatTheOrdersDoNotExplain) {
  with_domain([](Domain& d) {
    stock_shelf(d, {product("MUG", 850, 10)});
    place(d, order_of({{"MUG", 4}}));
    expect_balanced(d);
    d.write([&](sql::Transaction& tx) { return inventory::deduct(d.ctx, tx, "MUG", 1, "nobody"); });
    const auto found = d.read([](sql::Snapshot& db) { return sales_mismatches(db); });
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].ordered, 4);
    EXPECT_EQ(found[0].moved, 5);
  });
}

TEST(PlaceOrder, ListsEveryFaultWithItsPlace) {
  const Error error = error_of([] {
    from_json<PlaceOrder>(R"({"customerId": "", "customerEmail": 7, "items": [{"sku": "A B", "quantity": 0},
      {"sku": "B", "quantity": 1000001}, {"sku": "C", "quantity": 1.5}, {"quantity": 1}], "price": 1})");
  });
  std::vector<std::string> pointers;
  for (const auto& fault : error.violations()) pointers.push_back(fault.pointer);
  EXPECT_THAT(pointers, ::testing::UnorderedElementsAre("/customerId", "/customerEmail", "/items/0/sku",
                                                        "/items/0/quantity", "/items/1/quantity",
                                                        "/items/2/quantity", "/items/3/sku", "/price"));
}

TEST(PlaceOrder, RefusesTheSameSkuTwiceAndWhatIsNoAddress) {
  const Error error = error_of([] {
    from_json<PlaceOrder>(R"({"customerId": "1", "customerEmail": "a@b@c",
      "items": [{"sku": "A", "quantity": 1}, {"sku": "B", "quantity": 1}, {"sku": "A", "quantity": 1}]})");
  });
  ASSERT_EQ(error.violations().size(), 2U);
  EXPECT_EQ(error.violations()[0].code, "bad_email");
  EXPECT_EQ(error.violations()[1].code, "duplicate_sku");
  EXPECT_EQ(error.violations()[1].pointer, "/items/2/sku");
}

}  // namespace
}  // namespace holdfast::orders::ordering
