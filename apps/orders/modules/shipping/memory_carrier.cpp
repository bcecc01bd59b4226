#include "orders/modules/shipping/memory_carrier.hpp"

#include <utility>

namespace holdfast::orders::shipping {
namespace {

constexpr DeliveryDate kExpected = *DeliveryDate::of(2026, 1, 5);

/// Nine digits, so that they sort as they ascend.
std::string numbered(std::string_view prefix, std::size_t number) {
  const std::string text = std::to_string(number);
  return std::string(prefix).append(9 - text.size(), '0').append(text);
}

}  // namespace

std::vector<FieldViolation> MemoryCarrier::faults_of(const Destination&) const { return {}; }

MemoryCarrier::Mishap MemoryCarrier::next_mishap() {
  ++calls_;
  const Mishap mishap = std::exchange(mishap_, Mishap::none);
  switch (mishap) {
    case Mishap::refuse: throw carrier_error(CarrierFault::refused, "told to refuse");
    case Mishap::unavailable: throw carrier_error(CarrierFault::unavailable, "told to be away");
    case Mishap::lose_call: throw carrier_error(CarrierFault::outcome_unknown, "told to lose the call");
    default: return mishap;
  }
}

Booking MemoryCarrier::book(const Context&, const BookingRequest& request) {
  const std::lock_guard lock(mutex_);
  const Mishap mishap = next_mishap();
  Booking booking;
  booking.carrier_ref = numbered("M", by_ref_.size() + 1);
  booking.reference = request.reference;
  booking.tracking_number = numbered("MEM", by_ref_.size() + 1);
  booking.expected_delivery = kExpected;
  booking.delivers_to = place_of(request.destination);
  by_ref_.emplace(booking.carrier_ref, booking);
  if (mishap == Mishap::lose_answer) throw carrier_error(CarrierFault::outcome_unknown, "told to lose it");
  return booking;
}

Booking MemoryCarrier::cancel(const Context&, const std::string& carrier_ref) {
  const std::lock_guard lock(mutex_);
  const Mishap mishap = next_mishap();
  const auto found = by_ref_.find(carrier_ref);
  if (found == by_ref_.end()) throw carrier_error(CarrierFault::rejected, "there is no " + carrier_ref);
  if (found->second.status == BookingStatus::delivered) {
    throw carrier_error(CarrierFault::refused, carrier_ref + " is delivered");
  }
  found->second.status = BookingStatus::cancelled;
  if (mishap == Mishap::lose_answer) throw carrier_error(CarrierFault::outcome_unknown, "told to lose it");
  return found->second;
}

std::vector<Booking> MemoryCarrier::find(const Context&, const std::string& reference) {
  const std::lock_guard lock(mutex_);
  ++calls_;
  if (!can_be_asked_) throw carrier_error(CarrierFault::unavailable, "told not to be asked");
  std::vector<Booking> found;
  for (const auto& [ref, booking] : by_ref_) {
    if (booking.reference == reference) found.push_back(booking);
  }
  return found;
}

void MemoryCarrier::misbehave(Mishap next) noexcept {
  const std::lock_guard lock(mutex_);
  mishap_ = next;
}

void MemoryCarrier::forbid_asking(bool on) noexcept {
  const std::lock_guard lock(mutex_);
  can_be_asked_ = !on;
}

void MemoryCarrier::deliver(const std::string& carrier_ref) {
  const std::lock_guard lock(mutex_);
  by_ref_.at(carrier_ref).status = BookingStatus::delivered;
}

std::vector<Booking> MemoryCarrier::book_of_bookings() const {
  const std::lock_guard lock(mutex_);
  std::vector<Booking> all;
  for (const auto& [ref, booking] : by_ref_) all.push_back(booking);
  return all;
}

std::int64_t MemoryCarrier::calls() const noexcept {
  const std::lock_guard lock(mutex_);
  return calls_;
}

}  // namespace holdfast::orders::shipping
