// Shipping: the shipment of an order, from asking for it to its tracking number, or its cancellation. An
// outside call waits and is made outside of any transaction; what came of it is recorded in one, e.g. a
// saga step's:
//
//   shipping.open(ctx, tx, {order.id, destination, parcels, total, saga_id + "/book_shipment"});
//   const Outcome outcome = shipping.settle(ctx, shipping.book(ctx, order.id));                 // act
//   shipping.record(ctx, tx, outcome);                                                          // its commit
//
// Carriers know no idempotency keys. So every call that may not be the first asks first, by our own
// reference; "it timed out, and may have been booked" is the state `unknown`, left by asking only. Bookings
// found twice are cancelled down to one. All of it may be repeated. Thread-safety: a Shipping is used from
// any fiber; the free functions as the Transaction's.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/id.hpp"
#include "holdfast/base/money.hpp"
#include "holdfast/base/reflect.hpp"
#include "holdfast/observe/metrics.hpp"
#include "holdfast/runtime/context.hpp"
#include "holdfast/sql/database.hpp"
#include "holdfast/sql/migrations.hpp"
#include "orders/modules/shipping/carrier.hpp"
#include "orders/modules/shipping/memory_carrier.hpp"
#include "orders/modules/shipping/settings.hpp"

namespace holdfast::orders::shipping {

using ShipmentId = Id<"shp">;
using OrderId = Id<"ord">;

enum class ShipmentState : std::uint8_t {
  collected,  ///< nothing to book: the customer comes for it; final
  requested,  ///< written down; nothing is known to have been asked of the carrier
  unknown,    ///< a booking or a cancellation was asked for, and may have happened
  booked,     ///< the carrier takes it
  cancelled,  ///< never booked, or not any more; final
  failed,     ///< the carrier does not take it; final
};
HOLDFAST_DESCRIBE_ENUM(ShipmentState, collected, requested, unknown, booked, cancelled, failed)

/// What is known of earlier tries of a booking.
enum class Tried : std::uint8_t {
  never,      ///< certainly none was begun: nobody needs to be asked
  perhaps,    ///< it is asked for
  under_way,  ///< by a process that died, or stands still, before it could write down what came of it. It may
              ///< be in the carrier's book only later, so what can't be found is given Options::settle_time
              ///< from now on, and Error "carrier_outcome_unknown" until it is over. Say so once: then
              ///< `perhaps`
};

enum class Operation : std::uint8_t { book, cancel, ask };
HOLDFAST_DESCRIBE_ENUM(Operation, book, cancel, ask)

struct Shipment {
  ShipmentId id;
  OrderId order_id;
  ShipmentState state = ShipmentState::requested;
  std::string reference;  ///< what the carrier knows it by
  std::string carrier;    ///< "legacy"; empty where collected
  std::optional<std::string> carrier_ref;
  std::optional<std::string> tracking_number;
  std::optional<DeliveryDate> expected_delivery;
  std::optional<Operation> open_operation;  ///< whose outcome is not known
  std::optional<WallTime> unknown_since;    ///< of the last call whose outcome is not known
  std::optional<std::string> failure_reason;
  std::int64_t version = 1;
  WallTime created_at;
  WallTime updated_at;
};
HOLDFAST_DESCRIBE(Shipment,
                  (id, order_id, state, reference, carrier, carrier_ref, tracking_number, expected_delivery,
                   open_operation, unknown_since, failure_reason, version, created_at, updated_at))

struct NewShipment {
  OrderId order_id;
  std::optional<Destination> destination;  ///< none: the order is collected, and nothing will be booked
  std::vector<Parcel> parcels;
  Money declared_value;
  std::string reference;  ///< "<saga id>/<step>"; what it will be booked under. At most kMaxReference
};
inline constexpr std::size_t kMaxReference = 64;

/// What came of an outside call, to be recorded.
struct Outcome {
  OrderId order_id;
  Operation operation = Operation::ask;
  std::optional<Booking> booking;      ///< as the carrier has it; absent: there is none
  std::optional<std::string> refused;  ///< why the carrier does not take it, for people
  std::optional<Error> error;          ///< why it is not known
  bool nothing_to_do = false;          ///< collected, or over already: nothing was asked, nothing is recorded
  std::int64_t version = 0;            ///< of the shipment when it was asked for

  /// Whether the carrier told what came of it.
  bool known() const noexcept { return !error; }
  bool booked() const noexcept { return booking && booking->status != BookingStatus::cancelled; }
};

class Shipping {
 public:
  struct Options {
    Duration settle_time = std::chrono::seconds(10);  ///< as in Settings
  };

  /// All are borrowed. `database` is the one whose transactions record() is given.
  Shipping(sql::Database& database, IdGenerator& ids, Carrier& carrier, observe::Metrics& metrics);
  Shipping(sql::Database& database, IdGenerator& ids, Carrier& carrier, observe::Metrics& metrics,
           Options options);
  ~Shipping();

  /// Throws Error(unprocessable, "not_deliverable") with the faults, below `pointer` ("/shippingAddress"),
  /// where the carrier can't take what goes there. Asks nobody: for when the order is placed.
  void require_deliverable(const Destination& destination, std::string_view pointer) const;

  /// Writes the order's shipment down as `requested` (or `collected`). Once: a second time it returns what
  /// there is.
  Shipment open(const Context& ctx, sql::Transaction& tx, const NewShipment& shipment);

  // The outside calls. Each reads the shipment, asks the carrier for our reference first (unless both its
  // state and the caller say that it was never tried), does nothing where it is done already, and returns
  // what is to be recorded. They throw Error where nothing happened and it may be tried again
  // (carrier_unavailable, carrier_malformed) or our configuration is wrong (carrier_rejected); not_found
  // "unknown_shipment"; conflict "shipment_state" where it can't be done any more (cancelled, failed;
  // delivered).

  Outcome book(const Context& ctx, const OrderId& order_id, Tried tried = Tried::perhaps);
  /// Makes it as if it had not been booked, whatever state it is in; nothing where there is no shipment. One
  /// that is still `requested` is given the time of `under_way`, unless it was certainly never tried.
  Outcome cancel(const Context& ctx, const OrderId& order_id, Tried tried = Tried::perhaps);
  /// Asks how it stands, changing nothing but bookings there are too many of.
  Outcome resolve(const Context& ctx, const OrderId& order_id);

  /// For a saga's act: passes on an outcome that is known and no refusal. One that is not known is recorded
  /// at once, in a transaction of its own, so that it shows, and thrown as Error(unavailable,
  /// "carrier_outcome_unknown"): the next try of the step will ask. A refusal is recorded and thrown as
  /// Error(conflict, "shipment_refused").
  Outcome settle(const Context& ctx, Outcome outcome);

  /// Writes down what came of an outside call; returns the shipment as it is then. Recorded twice, or late,
  /// it changes nothing that it should not. Nothing (empty) where there is no shipment.
  std::optional<Shipment> record(const Context& ctx, sql::Transaction& tx, const Outcome& outcome);

  /// Reads the gauges of unknown shipments anew; call it every few seconds.
  void measure(const Context& ctx);

  Carrier& carrier() noexcept { return carrier_; }

 private:
  struct Meters;
  struct Stored;
  Stored require(const Context& ctx, const OrderId& order_id);
  std::vector<Booking> ask(const Context& ctx, const Shipment& shipment);
  std::optional<std::vector<Booking>> ask_where_tried(const Context& ctx, const Shipment& shipment,
                                                      Tried tried);
  Booking keep_one(const Context& ctx, const std::vector<Booking>& active);
  void require_settled(const Context& ctx, const Shipment& shipment) const;
  static Outcome maybe_under_way(const Shipment& shipment);
  template <class Call>
  Outcome call(const Shipment& shipment, Operation operation, Call&& call);

  sql::Database& database_;
  IdGenerator& ids_;
  Carrier& carrier_;
  Options options_;
  std::unique_ptr<Meters> meters_;
};

std::optional<Shipment> find(sql::Queries& db, const OrderId& order_id);

/// Shipments whose outcome is not known, the oldest first.
std::vector<Shipment> unknown_shipments(sql::Queries& db, std::int64_t limit = 100);

struct UnknownShipments {
  std::int64_t count = 0;
  std::optional<WallTime> oldest;
};
HOLDFAST_DESCRIBE(UnknownShipments, (count, oldest))
UnknownShipments count_unknown(sql::Queries& db);

/// How many shipments are in each state.
struct StateCount {
  ShipmentState state = ShipmentState::requested;
  std::int64_t count = 0;
};
HOLDFAST_DESCRIBE(StateCount, (state, count))
std::vector<StateCount> count_by_state(sql::Queries& db);

/// This module's steps of the schema; their numbers are given out in orders/migrations.cpp.
std::vector<sql::Migration> migrations();

}  // namespace holdfast::orders::shipping
