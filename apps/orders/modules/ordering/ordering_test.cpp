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
    d.write(
        [&](sql::Transaction& tx) { tx.execute("update orders set status = 'shipped' where id = $1", id); });
    EXPECT_EQ(error_of([&] { cancel(d, id); }).reason(), "invalid_transition");
    EXPECT_EQ(stock(d, "MUG"), 6);
    EXPECT_EQ(error_of([&] { cancel(d, OrderId{}); }).reason(), "unknown_order");
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
