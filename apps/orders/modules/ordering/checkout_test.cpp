#include "orders/modules/ordering/checkout.hpp"

#include <gmock/gmock.h>

#include <atomic>

#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/sync.hpp"
#include "holdfast/saga/schema.hpp"
#include "holdfast/webhooks/schema.hpp"
#include "orders/testing/domain.hpp"

namespace holdfast::orders::ordering {
namespace {

using namespace std::chrono_literals;
using payments::MemoryProvider;
using payments::PaymentState;
using shipping::MemoryCarrier;
using shipping::ShipmentState;
using ::testing::ElementsAre;
using testing::error_of;
using testing::product;

struct Given {
  bool pays = true;
  bool ships = true;
  std::string default_method = {};
};

/// A shop with ten mugs, a payment provider and a carrier in memory, and a saga worker.
struct Shop {
  Shop(const Context& context, runtime::Runtime& runtime, ManualClock& the_clock, sql::Database& database,
       Random& random, const Given& given)
      : ctx(context),
        clock(the_clock),
        db(database),
        ids(clock, random),
        payments(db, ids, provider, metrics),
        shipping(db, ids, carrier, metrics),
        sagas(runtime, db, metrics, {}, {.at_site = [this](std::string_view) { pass(); }}),
        checkout({db, sagas, given.pays ? &payments : nullptr, given.ships ? &shipping : nullptr}, ids,
                 publisher, {.settings = {}, .default_method = given.default_method}),
        ordering(ids, publisher, &checkout) {
    db.transact(ctx, [&](sql::Transaction& tx) { catalog::create(ctx, tx, product("MUG", 850, 10)); });
    sagas.run(ctx);
  }
  ~Shop() { sagas.stop(ctx.with_timeout(5s)); }

  /// Each place of the saga is passed in turn; wait_for_place() returns after the nth.
  void pass() {
    ++places;
    passed.notify();
  }
  void wait_for_place(int n) {
    for (;;) {
      const std::uint64_t seen = passed.version();
      if (places >= n || open_sagas() == 0) return;
      passed.wait_past(ctx.with_timeout(1s), seen, "waiting for the saga");
    }
  }

  Order place(std::optional<std::string> method = "pm_card_visa", int quantity = 4) {
    PlaceOrder command;
    command.customer_id = "17850";
    command.items = {{"MUG", quantity}};
    command.payment_method = std::move(method);
    command.shipping_address = Address{.name = "Ada",
                                       .line1 = "1 St",
                                       .city = "London",
                                       .region = "LDN",
                                       .postal_code = "N1",
                                       .country = "GB"};
    return db.transact(ctx, [&](sql::Transaction& tx) { return ordering.place(ctx, tx, command); }).order;
  }
  Order cancel(const Order& order) {
    return db.transact(ctx, [&](sql::Transaction& tx) { return ordering.cancel(ctx, tx, order.id); }).order;
  }

  Order now(const Order& order) {
    return db.read(ctx, [&](sql::Snapshot& s) { return get(s, order.id); });
  }
  std::optional<payments::Payment> payment(const Order& order) {
    return db.read(ctx, [&](sql::Snapshot& s) { return payments::find(s, order.id); });
  }
  std::optional<shipping::Shipment> shipment(const Order& order) {
    return db.read(ctx, [&](sql::Snapshot& s) { return shipping::find(s, order.id); });
  }
  std::int64_t stock() {
    return db.read(ctx, [&](sql::Snapshot& s) { return inventory::level(s, "MUG").value().quantity; });
  }
  std::int64_t open_sagas() {
    return db.query_value<std::int64_t>(
        ctx, "select count(*) from sagas where status in ('running', 'waiting', 'compensating', 'parked')");
  }
  /// Lets it work, in virtual time, until no saga is open; false where that takes too long.
  bool settle(Duration at_most = 1h) {
    for (const Instant end = clock.now() + at_most; clock.now() < end;) {
      if (open_sagas() == 0) return true;
      runtime::sleep_for(ctx, 50ms);
    }
    return false;
  }
  void expect_conserved() {
    db.read(ctx, [](sql::Snapshot& s) {
      EXPECT_TRUE(inventory::imbalances(s).empty());
      EXPECT_TRUE(sales_mismatches(s).empty());
      EXPECT_TRUE(payments::imbalances(s).empty());
    });
  }

  Context ctx;
  ManualClock& clock;
  sql::Database& db;
  observe::Metrics metrics;
  IdGenerator ids;
  testing::RecordingPublisher publisher;
  MemoryProvider provider;
  MemoryCarrier carrier;
  payments::Payments payments;
  shipping::Shipping shipping;
  std::atomic<int> places = 0;
  runtime::Signal passed;
  saga::Sagas sagas;
  CheckoutSaga checkout;
  Ordering ordering;
};

void with_shop(const Given& given, const std::function<void(Shop&)>& body) {
  ManualClock clock;
  SeededRandom random(11);
  runtime::Runtime runtime({.simulated = true, .manual_clock = &clock}, clock, random);
  const auto db = sql::sqlite::open_memory(runtime);
  runtime.run([&](const Context& ctx) {
    auto steps = testing::domain_migrations();
    for (auto room :
         {saga::migrations(), webhooks::migrations(), payments::migrations(), shipping::migrations()})
      steps.insert(steps.end(), room.begin(), room.end());
    std::int64_t version = 0;
    for (auto& step : steps) step.version = ++version;
    sql::Migrator(*db, steps).up(ctx);
    Shop shop(ctx, runtime, clock, *db, random, given);
    body(shop);
    shop.expect_conserved();
  });
}

TEST(Checkout, EndsShippedAndPaid) {
  with_shop({}, [](Shop& shop) {
    const Order order = shop.place();
    EXPECT_EQ(order.status, OrderStatus::pending);
    ASSERT_TRUE(shop.settle());
    EXPECT_EQ(shop.now(order).status, OrderStatus::shipped);
    EXPECT_EQ(shop.payment(order)->state, PaymentState::captured);
    EXPECT_EQ(shop.payment(order)->captured, order.total);
    EXPECT_EQ(shop.shipment(order)->state, ShipmentState::booked);
    EXPECT_EQ(shop.stock(), 6);
    EXPECT_EQ(shop.provider.effects(), 2U);  // authorized, captured
  });
}

TEST(Checkout, ADeclinedCardRejectsTheOrderAndSaysWhy) {
  with_shop({}, [](Shop& shop) {
    const Order order = shop.place("pm_card_visa_chargeDeclinedInsufficientFunds");
    ASSERT_TRUE(shop.settle());
    EXPECT_EQ(shop.now(order).status, OrderStatus::rejected);
    EXPECT_EQ(shop.now(order).status_reason, "insufficient_funds");
    EXPECT_EQ(shop.payment(order)->state, PaymentState::declined);
    EXPECT_EQ(shop.payment(order)->captured.minor, 0);
    EXPECT_EQ(shop.stock(), 10);
    EXPECT_TRUE(shop.carrier.book_of_bookings().empty());
  });
}

/// Each call of the whole flow fails once, in each way a call can fail: it is charged once, and shipped once.
TEST(Checkout, IsChargedAndShippedOnceWhicheverAnswerIsLost) {
  for (const auto failure : {MemoryProvider::Failure::before, MemoryProvider::Failure::after,
                             MemoryProvider::Failure::lost_request, MemoryProvider::Failure::rate_limited}) {
    for (std::size_t calls = 1; calls <= 3; ++calls) {
      with_shop({}, [&](Shop& shop) {
        shop.provider.fail_next(failure, calls);
        shop.carrier.misbehave(MemoryCarrier::Mishap::lose_answer);
        const Order order = shop.place();
        ASSERT_TRUE(shop.settle());
        EXPECT_EQ(shop.now(order).status, OrderStatus::shipped);
        EXPECT_EQ(shop.payment(order)->captured, order.total);
        EXPECT_EQ(shop.provider.effects(), 2U);
        EXPECT_EQ(shop.carrier.book_of_bookings().size(), 1U);
      });
    }
  }
}

TEST(Checkout, AProviderThatStaysAwayRejectsTheOrderWithoutAHold) {
  with_shop({}, [](Shop& shop) {
    shop.provider.fail_next(MemoryProvider::Failure::before, 100);
    const Order order = shop.place();
    ASSERT_TRUE(shop.settle(5h));
    EXPECT_EQ(shop.now(order).status, OrderStatus::rejected);
    EXPECT_EQ(shop.now(order).status_reason, "payment_unavailable");
    EXPECT_EQ(shop.payment(order)->captured.minor, 0);
    EXPECT_EQ(shop.stock(), 10);
  });
}

TEST(Checkout, ACarrierThatRefusesGetsTheMoneyBackToTheCustomer) {
  with_shop({}, [](Shop& shop) {
    shop.carrier.misbehave(MemoryCarrier::Mishap::refuse);
    const Order order = shop.place();
    ASSERT_TRUE(shop.settle());
    EXPECT_EQ(shop.now(order).status, OrderStatus::cancelled);
    EXPECT_EQ(shop.now(order).status_reason, "shipment_refused");
    EXPECT_EQ(shop.payment(order)->state, PaymentState::refunded);
    EXPECT_EQ(shop.payment(order)->refunded, order.total);
    EXPECT_EQ(shop.stock(), 10);
  });
}

/// At each moment of a checkout: nothing is kept of a cancelled order, and a shipped one refuses.
TEST(Checkout, CancellingAtAnyMomentLeavesNothingBehind) {
  int cancelled = 0;
  bool was_shipped = false;
  for (int moment = 0; !was_shipped && moment < 100; ++moment) {
    with_shop({}, [&](Shop& shop) {
      const Order order = shop.place();
      shop.wait_for_place(moment);
      const Error refused = error_of([&] { shop.cancel(order); });
      ASSERT_TRUE(shop.settle());
      const Order end = shop.now(order);
      if (refused.reason() == "invalid_transition") {
        was_shipped = true;
        EXPECT_EQ(end.status, OrderStatus::shipped);
        return;
      }
      ++cancelled;
      EXPECT_EQ(end.status, OrderStatus::cancelled) << "at moment " << moment;
      const auto payment = shop.payment(order).value();
      EXPECT_EQ(payment.captured, payment.refunded);
      EXPECT_TRUE(payments::is_final(payment.state)) << enum_name(payment.state);
      for (const auto& booking : shop.carrier.book_of_bookings())
        EXPECT_EQ(booking.status, shipping::BookingStatus::cancelled);
      EXPECT_EQ(shop.stock(), 10);
    });
  }
  EXPECT_TRUE(was_shipped);
  EXPECT_GT(cancelled, 5);
}

TEST(Checkout, WaitsForTheBankAndHearsOfIt) {
  with_shop({}, [](Shop& shop) {
    const Order order = shop.place("pm_card_authenticationRequired");
    runtime::sleep_for(shop.ctx, 5s);
    EXPECT_EQ(shop.now(order).status, OrderStatus::pending);
    ASSERT_EQ(shop.payment(order)->state, PaymentState::action_required);
    const std::string ref = shop.payment(order)->provider_ref.value();
    shop.provider.set_status(ref, payments::ProviderStatus::authorized);
    const payments::ProviderEvent event{
        .id = "evt_1", .seen = shop.provider.fetch(shop.ctx, ref), .ref = ref, .payment_id = {}};
    shop.payments.receive(shop.ctx, event, shop.checkout.on_payment_event());
    ASSERT_TRUE(shop.settle(1min));
    EXPECT_EQ(shop.now(order).status, OrderStatus::shipped);
  });
}

TEST(Checkout, AsksWhenNoWordComesAndGivesUpWhereNobodyConfirmed) {
  for (const bool confirmed : {true, false}) {
    with_shop({}, [&](Shop& shop) {
      const Order order = shop.place("pm_card_authenticationRequired");
      runtime::sleep_for(shop.ctx, 5s);
      const std::string ref = shop.payment(order)->provider_ref.value();
      if (confirmed) shop.provider.set_status(ref, payments::ProviderStatus::authorized);  // and says nothing
      ASSERT_TRUE(shop.settle(2h));
      EXPECT_EQ(shop.now(order).status, confirmed ? OrderStatus::shipped : OrderStatus::rejected);
      EXPECT_EQ(shop.now(order).status_reason.value_or(""), confirmed ? "" : "payment_not_confirmed");
      EXPECT_EQ(shop.payment(order)->captured.minor, confirmed ? order.total.minor : 0);
    });
  }
}

TEST(Checkout, ADeclineThatComesLaterRejects) {
  with_shop({}, [](Shop& shop) {
    const Order order = shop.place("pm_card_authenticationRequired");
    runtime::sleep_for(shop.ctx, 5s);
    const std::string ref = shop.payment(order)->provider_ref.value();
    shop.provider.set_status(ref, payments::ProviderStatus::declined);
    const payments::ProviderEvent event{
        .id = "evt_1", .seen = shop.provider.fetch(shop.ctx, ref), .ref = ref, .payment_id = {}};
    shop.payments.receive(shop.ctx, event, shop.checkout.on_payment_event());
    ASSERT_TRUE(shop.settle(1min));
    EXPECT_EQ(shop.now(order).status, OrderStatus::rejected);
    EXPECT_EQ(shop.stock(), 10);
  });
}

TEST(Checkout, WhatTheProviderTellsOfAnOrderThatIsOverIsGivenBack) {
  with_shop({}, [](Shop& shop) {
    shop.sagas.stall(true);
    const Order order = shop.place();
    shop.cancel(order);
    const auto saga = shop.sagas.records().find(shop.ctx, kCheckout, order.id.text());
    shop.sagas.records().abandon(shop.ctx, saga->saga.id, "by mistake");
    shop.sagas.stall(false);
    const auto payment = shop.payment(order).value();
    const auto held = shop.provider.authorize(shop.ctx, {.key = payment.authorize_key,
                                                         .payment_id = payment.id,
                                                         .order_id = order.id,
                                                         .amount = payment.amount,
                                                         .method = payment.method,
                                                         .first_asked_at = payment.created_at});
    const payments::ProviderEvent event{
        .id = "evt_1", .seen = held, .ref = held.ref, .payment_id = payment.id};
    shop.payments.receive(shop.ctx, event, shop.checkout.on_payment_event());
    EXPECT_EQ(shop.payment(order)->state, PaymentState::authorized);
    ASSERT_TRUE(shop.settle());
    EXPECT_EQ(shop.payment(order)->state, PaymentState::cancelled);
    EXPECT_EQ(shop.provider.fetch(shop.ctx, held.ref).status, payments::ProviderStatus::cancelled);
  });
}

TEST(Checkout, WithoutACarrierOrdersEndConfirmedAndCancellingGivesTheMoneyBack) {
  with_shop({.ships = false}, [](Shop& shop) {
    const Order order = shop.place();
    ASSERT_TRUE(shop.settle());
    EXPECT_EQ(shop.now(order).status, OrderStatus::confirmed);
    EXPECT_EQ(shop.payment(order)->state, PaymentState::captured);
    shop.cancel(order);
    ASSERT_TRUE(shop.settle());
    EXPECT_EQ(shop.now(order).status, OrderStatus::cancelled);
    EXPECT_EQ(shop.payment(order)->state, PaymentState::refunded);
    EXPECT_EQ(shop.stock(), 10);
  });
}

TEST(Checkout, WithoutAPaymentItShipsOnAccount) {
  with_shop({.pays = false}, [](Shop& shop) {
    const Order order = shop.place(std::nullopt);
    ASSERT_TRUE(shop.settle());
    EXPECT_EQ(shop.now(order).status, OrderStatus::shipped);
    EXPECT_FALSE(shop.payment(order).has_value());
  });
}

TEST(Checkout, RefusesAnOrderThatNamesNoMeansOfPayment) {
  with_shop({}, [](Shop& shop) {
    const Error error = error_of([&] { shop.place(std::nullopt); });
    EXPECT_EQ(error.code(), ErrorCode::unprocessable);
    EXPECT_EQ(error.reason(), "payment_method_required");
    EXPECT_EQ(shop.stock(), 10);
    EXPECT_EQ(shop.open_sagas(), 0);
  });
  with_shop({.default_method = "pm_card_visa"}, [](Shop& shop) {
    const Order order = shop.place(std::nullopt);
    ASSERT_TRUE(shop.settle());
    EXPECT_EQ(shop.now(order).status, OrderStatus::shipped);
  });
}

}  // namespace
}  // namespace holdfast::orders::ordering
