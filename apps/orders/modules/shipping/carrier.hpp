// Carrier: the port to whoever takes the goods, in our own words; adapters translate a carrier's.
// (Part of shipping.hpp.)
//
// A carrier need not know idempotency keys: each shipment is booked under a reference of ours, and who is
// not sure whether it was asks by that reference before booking again. What is thrown says what is known:
// see CarrierFault. A destination that the carrier does not take is `refused`: asking again won't help.
//
// Thread-safety: calls from any fiber of the runtime; none of them within a transaction, since they wait.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/money.hpp"
#include "holdfast/base/reflect.hpp"
#include "holdfast/runtime/context.hpp"
#include "orders/modules/shipping/delivery_date.hpp"

namespace holdfast::orders::shipping {

/// Where the goods go. (An order's address, in the words of this module.)
struct Destination {
  std::string name;
  std::string line1;
  std::string line2;
  std::string city;
  std::string region;
  std::string postal_code;
  std::string country;  ///< ISO 3166-1 alpha-2
  bool operator==(const Destination&) const = default;
};
HOLDFAST_DESCRIBE(Destination, (name, line1, line2, city, region, postal_code, country))

struct Parcel {
  std::string sku;
  std::string name;
  std::int64_t quantity = 0;
  bool operator==(const Parcel&) const = default;
};
HOLDFAST_DESCRIBE(Parcel, (sku, name, quantity))

/// What a carrier is asked to take.
struct BookingRequest {
  std::string reference;  ///< ours, unique: "<saga id>/<step>"
  Destination destination;
  std::vector<Parcel> parcels;
  Money declared_value;  ///< what it is insured for
  bool operator==(const BookingRequest&) const = default;
};

enum class BookingStatus : std::uint8_t {
  booked,     ///< taken, on its way to the customer
  delivered,  ///< too late to cancel
  cancelled,
};
HOLDFAST_DESCRIBE_ENUM(BookingStatus, booked, delivered, cancelled)

/// Where a carrier says that it delivers to.
struct Place {
  std::string street;
  std::string city;
  std::string region;
  std::string postal_code;
  bool operator==(const Place&) const = default;
};

Place place_of(const Destination& destination);

/// A booking as the carrier's book has it.
struct Booking {
  std::string carrier_ref;      ///< the carrier's own number of it
  std::string reference;        ///< ours
  std::string tracking_number;  ///< for the customer
  BookingStatus status = BookingStatus::booked;
  std::optional<DeliveryDate> expected_delivery;
  Place delivers_to;
  bool operator==(const Booking&) const = default;
};

/// What a failed call says; reason() of the Error it throws.
enum class CarrierFault : std::uint8_t {
  refused,          ///< carrier_refused: this shipment is not taken, or can't be cancelled; don't repeat it
  rejected,         ///< carrier_rejected: our request is wrong (configuration, a defect); don't repeat it
  unavailable,      ///< carrier_unavailable: nothing happened; repeat it later
  malformed,        ///< carrier_malformed: asking got an answer that is none; nothing was changed by it
  outcome_unknown,  ///< carrier_outcome_unknown: it may have happened; ask
};
HOLDFAST_DESCRIBE_ENUM(CarrierFault, refused, rejected, unavailable, malformed, outcome_unknown)

/// The Error to throw; `cause` is for the log.
Error carrier_error(CarrierFault fault, std::string cause, std::optional<Duration> retry_after = {});

/// What an Error thrown by book() or cancel() says. One that is no carrier_error() (a deadline, a
/// cancellation) leaves the outcome unknown.
CarrierFault fault_of(const Error& error);

class Carrier {
 public:
  virtual ~Carrier() = default;
  Carrier(const Carrier&) = delete;
  Carrier& operator=(const Carrier&) = delete;

  /// What of a destination this carrier can't take, by field ("/postalCode"); empty: all is well. Pure:
  /// for saying so when the order is placed, instead of when it has been paid.
  virtual std::vector<FieldViolation> faults_of(const Destination& destination) const = 0;

  /// Books; called twice, it may book twice.
  virtual Booking book(const Context& ctx, const BookingRequest& request) = 0;

  /// Makes the booking not happen; cancelling a cancelled one changes nothing. `refused` where it is too
  /// late.
  virtual Booking cancel(const Context& ctx, const std::string& carrier_ref) = 0;

  /// Every booking under that reference, the oldest first, cancelled ones too. Changes nothing.
  virtual std::vector<Booking> find(const Context& ctx, const std::string& reference) = 0;

  /// "memory", "legacy": in the shipments' rows and in metrics.
  virtual std::string_view name() const noexcept = 0;

 protected:
  Carrier() = default;
};

}  // namespace holdfast::orders::shipping
