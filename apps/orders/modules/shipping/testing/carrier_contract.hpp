// What every Carrier promises, run against each of them.
#pragma once

#include <gtest/gtest.h>

#include "orders/modules/shipping/shipping.hpp"

namespace holdfast::orders::shipping::testing {

inline BookingRequest sample_request(std::string reference) {
  BookingRequest request;
  request.reference = std::move(reference);
  request.destination = {.name = "Ada Lovelace",
                         .line1 = "12 St James's Sq | rear \\ yard",
                         .line2 = "Flat 3",
                         .city = "Zürich",
                         .region = "",
                         .postal_code = "SW1Y 4JH",
                         .country = "GB"};
  request.parcels = {{"MUG-1", "Mug", 2}, {"CAKE", "Cake stand", 1}};
  request.declared_value = {2950, Currency::of("GBP")};
  return request;
}

inline CarrierFault fault_thrown(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return fault_of(error);
  }
  ADD_FAILURE() << "nothing was thrown";
  return CarrierFault::rejected;
}

inline void check_contract(const Context& ctx, Carrier& carrier) {
  const BookingRequest request = sample_request("sag_1/book");
  EXPECT_TRUE(carrier.faults_of(request.destination).empty());
  EXPECT_TRUE(carrier.find(ctx, request.reference).empty());

  const Booking booked = carrier.book(ctx, request);
  EXPECT_FALSE(booked.carrier_ref.empty());
  EXPECT_FALSE(booked.tracking_number.empty());
  EXPECT_EQ(booked.reference, request.reference);
  EXPECT_EQ(booked.status, BookingStatus::booked);
  EXPECT_EQ(booked.delivers_to, place_of(request.destination));
  EXPECT_TRUE(booked.expected_delivery.has_value());
  EXPECT_EQ(carrier.find(ctx, request.reference), std::vector<Booking>{booked});

  // No idempotency keys: what is sent twice is booked twice, and found twice, the oldest first.
  const Booking again = carrier.book(ctx, request);
  EXPECT_NE(again.carrier_ref, booked.carrier_ref);
  EXPECT_EQ(carrier.find(ctx, request.reference), (std::vector<Booking>{booked, again}));

  const Booking cancelled = carrier.cancel(ctx, again.carrier_ref);
  EXPECT_EQ(cancelled.status, BookingStatus::cancelled);
  EXPECT_EQ(carrier.cancel(ctx, again.carrier_ref), cancelled);
  EXPECT_EQ(carrier.find(ctx, request.reference), (std::vector<Booking>{booked, cancelled}));
  EXPECT_TRUE(carrier.find(ctx, "sag_2/book").empty());
  EXPECT_EQ(fault_thrown([&] { carrier.cancel(ctx, "999"); }), CarrierFault::rejected);
}

}  // namespace holdfast::orders::shipping::testing
