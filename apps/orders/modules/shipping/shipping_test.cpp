#include "orders/modules/shipping/shipping.hpp"

#include <gtest/gtest.h>

#include "orders/modules/shipping/testing/carrier_contract.hpp"
#include "orders/testing/domain.hpp"

namespace holdfast::orders::shipping {
namespace {

using orders::testing::error_of;
using Mishap = MemoryCarrier::Mishap;
using namespace std::chrono_literals;

struct Shop {
  const Context& ctx;
  ManualClock& clock;
  sql::Database& db;
  MemoryCarrier carrier;
  observe::Metrics metrics;
  SeededRandom random{3};
  IdGenerator ids{clock, random};
  Shipping shipping{db, ids, carrier, metrics};
  OrderId order = ids.make<OrderId>();

  Shipment open(bool with_destination = true) {
    const BookingRequest sample = testing::sample_request("sag_1/book");
    NewShipment wanted{.order_id = order,
                       .destination = with_destination ? std::optional(sample.destination) : std::nullopt,
                       .parcels = sample.parcels,
                       .declared_value = sample.declared_value,
                       .reference = sample.reference};
    return db.transact(ctx, [&](sql::Transaction& tx) { return shipping.open(ctx, tx, wanted); });
  }
  /// As a saga's step does it.
  Shipment run(Outcome outcome) {
    const Outcome settled = shipping.settle(ctx, std::move(outcome));
    return db.transact(ctx, [&](sql::Transaction& tx) { return shipping.record(ctx, tx, settled); }).value();
  }
  Shipment now() {
    return db.read(ctx, [&](sql::Snapshot& snapshot) { return find(snapshot, order).value(); });
  }
  std::size_t active() const {
    std::size_t count = 0;
    for (const Booking& each : carrier.book_of_bookings()) count += each.status == BookingStatus::booked;
    return count;
  }
};

void with_shop(const std::function<void(Shop&)>& body) {
  orders::testing::with_domain([&](orders::testing::Domain& d) {
    for (const auto& step : migrations()) {
      d.write([&](sql::Transaction& tx) { tx.execute_script(step.up_sql); });
    }
    Shop shop{d.ctx, d.clock, d.db};
    body(shop);
  });
}

TEST(Carriers, TheOneInMemoryKeepsTheContract) {
  with_shop([](Shop& shop) { testing::check_contract(shop.ctx, shop.carrier); });
}

TEST(Shipping, BooksOnceHoweverOftenItIsAsked) {
  with_shop([](Shop& shop) {
    const Shipment opened = shop.open();
    EXPECT_EQ(opened.state, ShipmentState::requested);
    EXPECT_EQ(shop.open().id, opened.id);
    const Shipment booked = shop.run(shop.shipping.book(shop.ctx, shop.order));
    EXPECT_EQ(booked.state, ShipmentState::booked);
    EXPECT_EQ(booked.tracking_number, "MEM000000001");
    EXPECT_EQ(to_text(*booked.expected_delivery), "2026-01-05");
    EXPECT_TRUE(shop.shipping.book(shop.ctx, shop.order).nothing_to_do);
    EXPECT_EQ(shop.active(), 1U);
  });
}

TEST(Shipping, ACrashBetweenTheCallAndItsRecordBooksNothingTwice) {
  with_shop([](Shop& shop) {
    shop.open();
    shop.shipping.book(shop.ctx, shop.order);  // and never recorded
    const Shipment booked = shop.run(shop.shipping.book(shop.ctx, shop.order));
    EXPECT_EQ(booked.tracking_number, "MEM000000001");
    EXPECT_EQ(shop.carrier.book_of_bookings().size(), 1U);
  });
}

TEST(Shipping, WhatWasCertainlyNeverTriedIsNotAskedFor) {
  with_shop([](Shop& shop) {
    shop.open();
    shop.carrier.misbehave(Mishap::lose_answer);
    error_of([&] { shop.run(shop.shipping.book(shop.ctx, shop.order, Tried::never)); });
    EXPECT_EQ(shop.carrier.calls(), 1);
    EXPECT_EQ(shop.now().state, ShipmentState::unknown);
    // What is written down counts for more than what the caller says.
    EXPECT_EQ(shop.run(shop.shipping.book(shop.ctx, shop.order, Tried::never)).state, ShipmentState::booked);
    EXPECT_EQ(shop.carrier.book_of_bookings().size(), 1U);
  });
}

TEST(Shipping, AnAnswerThatIsLostIsAskedFor) {
  with_shop([](Shop& shop) {
    shop.open();
    shop.carrier.misbehave(Mishap::lose_answer);
    const Error error = error_of([&] { shop.run(shop.shipping.book(shop.ctx, shop.order)); });
    EXPECT_EQ(error.code(), ErrorCode::unavailable);
    EXPECT_EQ(error.reason(), "carrier_outcome_unknown");
    EXPECT_EQ(shop.now().state, ShipmentState::unknown);
    EXPECT_EQ(shop.now().open_operation, Operation::book);
    const Shipment booked = shop.run(shop.shipping.book(shop.ctx, shop.order));
    EXPECT_EQ(booked.state, ShipmentState::booked);
    EXPECT_FALSE(booked.unknown_since.has_value());
    EXPECT_EQ(shop.carrier.book_of_bookings().size(), 1U);
  });
}

TEST(Shipping, ACallThatMayBeUnderWayIsGivenTimeBeforeItIsMadeAgain) {
  with_shop([](Shop& shop) {
    shop.open();
    shop.carrier.misbehave(Mishap::lose_call);
    error_of([&] { shop.run(shop.shipping.book(shop.ctx, shop.order)); });
    shop.clock.advance(4s);
    for (const auto& again : {std::function<void()>([&] { shop.shipping.book(shop.ctx, shop.order); }),
                              std::function<void()>([&] { shop.shipping.cancel(shop.ctx, shop.order); }),
                              std::function<void()>([&] { shop.shipping.resolve(shop.ctx, shop.order); })}) {
      const Error error = error_of(again);
      EXPECT_EQ(error.reason(), "carrier_outcome_unknown");
      EXPECT_EQ(error.retry_after(), Duration(6s));
    }
    EXPECT_EQ(shop.active(), 0U);
    shop.clock.advance(6s);
    EXPECT_EQ(shop.run(shop.shipping.book(shop.ctx, shop.order)).state, ShipmentState::booked);
    EXPECT_EQ(shop.active(), 1U);
  });
}

TEST(Shipping, BookingsThereAreTooManyOfAreCancelledDownToTheFirst) {
  with_shop([](Shop& shop) {
    shop.open();
    const BookingRequest request = testing::sample_request("sag_1/book");
    const Booking first = shop.carrier.book(shop.ctx, request);
    shop.carrier.book(shop.ctx, request);
    shop.carrier.book(shop.ctx, request);
    const Shipment booked = shop.run(shop.shipping.book(shop.ctx, shop.order));
    EXPECT_EQ(booked.carrier_ref, first.carrier_ref);
    EXPECT_EQ(shop.active(), 1U);
  });
}

TEST(Shipping, CancelsWhatEverStateItIsIn) {
  with_shop([](Shop& shop) {
    EXPECT_TRUE(shop.shipping.cancel(shop.ctx, shop.order).nothing_to_do);  // there is none
    shop.open();
    shop.run(shop.shipping.book(shop.ctx, shop.order));
    shop.carrier.misbehave(Mishap::lose_answer);
    error_of([&] { shop.run(shop.shipping.cancel(shop.ctx, shop.order)); });
    EXPECT_EQ(shop.now().state, ShipmentState::unknown);
    EXPECT_EQ(shop.now().open_operation, Operation::cancel);
    EXPECT_EQ(shop.run(shop.shipping.cancel(shop.ctx, shop.order)).state, ShipmentState::cancelled);
    EXPECT_EQ(shop.active(), 0U);
    EXPECT_TRUE(shop.shipping.cancel(shop.ctx, shop.order).nothing_to_do);
    EXPECT_EQ(error_of([&] { shop.shipping.book(shop.ctx, shop.order); }).reason(), "shipment_state");
  });
}

TEST(Shipping, CancelsWhatWasNeverBooked) {
  with_shop([](Shop& shop) {
    shop.open();
    EXPECT_EQ(shop.run(shop.shipping.cancel(shop.ctx, shop.order, Tried::never)).state,
              ShipmentState::cancelled);
  });
}

/// Booked, or cancelled, by a saga's step that is tried `tried`.
Shipment again(Shop& shop, bool to_cancel, Tried tried) {
  return shop.run(to_cancel ? shop.shipping.cancel(shop.ctx, shop.order, tried)
                            : shop.shipping.book(shop.ctx, shop.order, tried));
}

TEST(Shipping, WhatADeadProcessMayHaveSentIsGivenTimeToShowUp) {
  for (const bool to_cancel : {false, true}) {
    with_shop([&](Shop& shop) {
      shop.open();
      const auto first = [&] { again(shop, to_cancel, Tried::under_way); };
      EXPECT_EQ(error_of(first).reason(), "carrier_outcome_unknown");
      EXPECT_EQ(shop.now().state, ShipmentState::unknown);
      shop.clock.advance(9s);
      EXPECT_EQ(error_of([&] { again(shop, to_cancel, Tried::perhaps); }).retry_after(), Duration(1s));
      shop.carrier.book(shop.ctx, testing::sample_request("sag_1/book"));  // there it is
      EXPECT_EQ(again(shop, to_cancel, Tried::perhaps).state,
                to_cancel ? ShipmentState::cancelled : ShipmentState::booked);
      EXPECT_EQ(shop.carrier.book_of_bookings().size(), 1U);
      EXPECT_EQ(shop.active(), to_cancel ? 0U : 1U);
    });
  }
}

/// It died at its second try: what is known of the first is no reason to be quick.
TEST(Shipping, TheTimeToShowUpBeginsWithTheLastTryThatMayBeUnderWay) {
  for (const bool to_cancel : {false, true}) {
    with_shop([&](Shop& shop) {
      shop.open();
      shop.carrier.misbehave(Mishap::lose_call);
      error_of([&] { shop.run(shop.shipping.book(shop.ctx, shop.order)); });
      shop.clock.advance(1min);
      EXPECT_EQ(error_of([&] { again(shop, to_cancel, Tried::under_way); }).reason(),
                "carrier_outcome_unknown");
      shop.clock.advance(9s);
      EXPECT_EQ(error_of([&] { again(shop, to_cancel, Tried::perhaps); }).retry_after(), Duration(1s));
      shop.carrier.book(shop.ctx, testing::sample_request("sag_1/book"));
      EXPECT_EQ(again(shop, to_cancel, Tried::perhaps).state,
                to_cancel ? ShipmentState::cancelled : ShipmentState::booked);
      EXPECT_EQ(shop.active(), to_cancel ? 0U : 1U);
    });
  }
}

TEST(Shipping, ACarrierThatCanNotBeAskedMakesNobodyForgetWhatMayBeUnderWay) {
  for (const bool to_cancel : {false, true}) {
    with_shop([&](Shop& shop) {
      shop.open();
      shop.carrier.forbid_asking(true);
      EXPECT_EQ(error_of([&] { again(shop, to_cancel, Tried::under_way); }).reason(),
                "carrier_outcome_unknown");
      EXPECT_EQ(shop.now().state, ShipmentState::unknown);
      EXPECT_EQ(error_of([&] { again(shop, to_cancel, Tried::perhaps); }).reason(), "carrier_unavailable");
      shop.carrier.forbid_asking(false);
      EXPECT_EQ(error_of([&] { again(shop, to_cancel, Tried::perhaps); }).retry_after(), Duration(10s));
      shop.carrier.book(shop.ctx, testing::sample_request("sag_1/book"));
      EXPECT_EQ(again(shop, to_cancel, Tried::perhaps).state,
                to_cancel ? ShipmentState::cancelled : ShipmentState::booked);
      EXPECT_EQ(shop.active(), to_cancel ? 0U : 1U);
    });
  }
}

TEST(Shipping, WhatNeverShowsUpWasNotSent) {
  for (const bool to_cancel : {false, true}) {
    with_shop([&](Shop& shop) {
      shop.open();
      error_of([&] { again(shop, to_cancel, Tried::under_way); });
      shop.clock.advance(10s);
      EXPECT_EQ(again(shop, to_cancel, Tried::perhaps).state,
                to_cancel ? ShipmentState::cancelled : ShipmentState::booked);
      EXPECT_EQ(shop.active(), to_cancel ? 0U : 1U);
    });
  }
}

TEST(Shipping, WhatIsDeliveredCantBeCancelled) {
  with_shop([](Shop& shop) {
    shop.open();
    const Shipment booked = shop.run(shop.shipping.book(shop.ctx, shop.order));
    shop.carrier.deliver(*booked.carrier_ref);
    EXPECT_EQ(error_of([&] { shop.shipping.cancel(shop.ctx, shop.order); }).reason(), "shipment_state");
    EXPECT_EQ(shop.now().state, ShipmentState::booked);
  });
}

TEST(Shipping, ARefusalIsFinalAndAnOutageIsNot) {
  with_shop([](Shop& shop) {
    shop.open();
    shop.carrier.misbehave(Mishap::unavailable);
    EXPECT_EQ(error_of([&] { shop.run(shop.shipping.book(shop.ctx, shop.order)); }).reason(),
              "carrier_unavailable");
    EXPECT_EQ(shop.now().state, ShipmentState::requested);
    shop.carrier.misbehave(Mishap::refuse);
    const Error error = error_of([&] { shop.run(shop.shipping.book(shop.ctx, shop.order)); });
    EXPECT_EQ(error.code(), ErrorCode::conflict);
    EXPECT_EQ(error.reason(), "shipment_refused");
    EXPECT_EQ(shop.now().state, ShipmentState::failed);
    EXPECT_TRUE(shop.shipping.cancel(shop.ctx, shop.order).nothing_to_do);
  });
}

TEST(Shipping, WhatIsCollectedIsNeverBooked) {
  with_shop([](Shop& shop) {
    EXPECT_EQ(shop.open(false).state, ShipmentState::collected);
    EXPECT_TRUE(shop.shipping.book(shop.ctx, shop.order).nothing_to_do);
    EXPECT_EQ(shop.run(shop.shipping.book(shop.ctx, shop.order)).state, ShipmentState::collected);
    EXPECT_EQ(shop.carrier.calls(), 0);
  });
}

TEST(Shipping, ALateRecordChangesNothingThatIsOver) {
  with_shop([](Shop& shop) {
    shop.open();
    const Outcome late = shop.shipping.book(shop.ctx, shop.order);
    shop.run(shop.shipping.cancel(shop.ctx, shop.order));
    EXPECT_EQ(shop.run(late).state, ShipmentState::cancelled);
  });
}

/// A worker that stood still hears of nothing; another has booked meanwhile.
TEST(Shipping, WhoDoesNotKnowForgetsNothingThatAnotherHasHeard) {
  with_shop([](Shop& shop) {
    shop.open();
    shop.carrier.misbehave(Mishap::lose_answer);
    const Outcome late = shop.shipping.book(shop.ctx, shop.order);
    ASSERT_FALSE(late.known());
    EXPECT_EQ(shop.run(shop.shipping.book(shop.ctx, shop.order)).state, ShipmentState::booked);
    EXPECT_EQ(error_of([&] { shop.run(late); }).reason(), "carrier_outcome_unknown");
    EXPECT_EQ(shop.now().state, ShipmentState::booked);
    EXPECT_FALSE(shop.now().unknown_since.has_value());
  });
}

TEST(Shipping, ListsWhatIsUnknown) {
  with_shop([](Shop& shop) {
    shop.open();
    shop.carrier.misbehave(Mishap::lose_call);
    error_of([&] { shop.run(shop.shipping.book(shop.ctx, shop.order)); });
    shop.db.read(shop.ctx, [&](sql::Snapshot& snapshot) {
      ASSERT_EQ(unknown_shipments(snapshot).size(), 1U);
      EXPECT_EQ(unknown_shipments(snapshot)[0].order_id, shop.order);
      ASSERT_EQ(count_by_state(snapshot).size(), 1U);
      EXPECT_EQ(count_by_state(snapshot)[0].state, ShipmentState::unknown);
    });
  });
}

}  // namespace
}  // namespace holdfast::orders::shipping
