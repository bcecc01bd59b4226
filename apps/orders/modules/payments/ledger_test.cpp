#include "orders/modules/payments/ledger.hpp"

#include <gmock/gmock.h>

#include "orders/modules/payments/testing/shop.hpp"

namespace holdfast::orders::payments {
namespace {

using ::testing::IsEmpty;
using testing::Shop;
using ::testing::SizeIs;
using testing::with_shop;

LedgerEntry entry(const OrderId& order, std::string account, std::int64_t minor,
                  Currency currency = Currency::of("GBP")) {
  LedgerEntry made;
  made.transaction_id = "t1";
  made.order_id = order;
  made.account = std::move(account);
  made.amount_minor = minor;
  made.currency = currency;
  return made;
}

TEST(Ledger, TakesBalancedTransactionsOnceAndNoOthers) {
  with_shop([](Shop& shop) {
    const OrderId order = shop.ids.make<OrderId>();
    const auto write = [&](std::vector<LedgerEntry> entries) {
      return shop.write([&](sql::Transaction& tx) { return post(tx, entries); });
    };
    EXPECT_EQ(testing::reason_of([&] {
                write({entry(order, "a", 100), entry(order, "b", -99)});
              }),
              "ledger_unbalanced");
    EXPECT_EQ(testing::reason_of([&] {
                write({entry(order, "a", 100), entry(order, "b", -100, Currency::of("EUR"))});
              }),
              "ledger_unbalanced");
    EXPECT_THAT(shop.entries(order), IsEmpty());
    EXPECT_TRUE(write({entry(order, "a", 100), entry(order, "b", -60), entry(order, "c", -40)}));
    EXPECT_FALSE(write({entry(order, "a", 100), entry(order, "b", -60), entry(order, "c", -40)}));
    EXPECT_FALSE(write({}));
    EXPECT_THAT(shop.entries(order), SizeIs(3));
  });
}

TEST(Ledger, IsOnlyAppendedTo) {
  with_shop([](Shop& shop) {
    const OrderId order = shop.paid(1250);
    for (const char* sql : {"update ledger_entries set amount_minor = 1", "delete from ledger_entries"}) {
      EXPECT_ANY_THROW(shop.write([&](sql::Transaction& tx) { tx.execute(sql); })) << sql;
    }
    EXPECT_THAT(shop.entries(order), SizeIs(4));
  });
}

TEST(Ledger, FindsWhatDoesNotAddUp) {
  with_shop([](Shop& shop) {
    const OrderId order = shop.paid(1250);
    const auto broken = [&] { return shop.read([](sql::Snapshot& db) { return imbalances(db); }); };
    const auto different = [&] { return shop.read([](sql::Snapshot& db) { return mismatches(db); }); };
    EXPECT_THAT(broken(), IsEmpty());
    EXPECT_THAT(different(), IsEmpty());
    shop.write([&](sql::Transaction& tx) {
      tx.execute(
          "insert into ledger_entries(transaction_id, position, order_id, kind, account, amount_minor, "
          "currency, "
          "at) values('t', 1, $1, 'capture', 'clearing:memory', 7, 'GBP', 0)",
          order);
    });
    ASSERT_THAT(broken(), SizeIs(1));
    EXPECT_EQ(broken()[0].sum_minor, 7);
    ASSERT_THAT(different(), SizeIs(1));
    EXPECT_EQ(different()[0].ledger_captured_minor, 1257);
  });
}

TEST(Ledger, KnowsWhatAnOrderOwesFromBeginningToEnd) {
  with_shop([](Shop& shop) {
    EXPECT_EQ(shop.balance(shop.ids.make<OrderId>()).owed, Money{});
    const OrderId order = shop.open(1250);
    EXPECT_EQ(shop.balance(order).owed.minor, 1250);
    shop.authorize(order);
    EXPECT_EQ(shop.balance(order).owed.minor, 1250) << "held is not paid";
    shop.capture(order);
    EXPECT_EQ(shop.balance(order).owed.minor, 0);
    EXPECT_EQ(shop.balance(order).charged.minor, 1250);
    shop.undo(order);
    EXPECT_EQ(shop.balance(order).owed.minor, 0);
    EXPECT_EQ(shop.balance(order).refunded.minor, 1250);
    std::int64_t sum = 0;
    for (const LedgerEntry& each : shop.entries(order)) sum += each.amount_minor;
    EXPECT_EQ(sum, 0);
  });
}

}  // namespace
}  // namespace holdfast::orders::payments
