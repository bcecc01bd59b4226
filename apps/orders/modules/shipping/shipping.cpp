#include "orders/modules/shipping/shipping.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "holdfast/base/fault.hpp"
#include "orders/modules/shipping/shipment_rows.hpp"

namespace holdfast::orders::shipping {
namespace {

bool is_active(const Booking& booking) { return booking.status != BookingStatus::cancelled; }

std::vector<Booking> active_of(const std::vector<Booking>& found) {
  std::vector<Booking> active;
  for (const Booking& booking : found) {
    if (is_active(booking)) active.push_back(booking);
  }
  return active;
}

bool is_final(ShipmentState state) {
  return state == ShipmentState::collected || state == ShipmentState::cancelled ||
         state == ShipmentState::failed;
}

[[noreturn]] void refuse_state(const Shipment& shipment, std::string_view wanted) {
  throw Error(ErrorCode::conflict, "The shipment of " + shipment.order_id.text() + " is " +
                                       std::string(enum_name(shipment.state)) + " and can't be " +
                                       std::string(wanted) + ".")
      .reason("shipment_state");
}

}  // namespace

struct Shipping::Meters {
  explicit Meters(observe::Metrics& metrics) : metrics(metrics) {}

  void count(Operation operation, std::string_view outcome) {
    metrics
        .counter("holdfast_shipping_calls_total", "What came of the calls to the carrier.",
                 {{"operation", std::string(enum_name(operation))}, {"outcome", std::string(outcome)}})
        .add();
  }

  observe::Metrics& metrics;
  observe::Counter duplicates = metrics.counter("holdfast_shipping_duplicates_cancelled_total",
                                                "Bookings beyond an order's one that were cancelled.");
  observe::Gauge unknown =
      metrics.gauge("holdfast_shipping_unknown", "Shipments whose outcome is not known.");
  observe::Gauge oldest_unknown_seconds =
      metrics.gauge("holdfast_shipping_oldest_unknown_seconds", "For how long the oldest has been so.");
};

/// A shipment with what the carrier is to be told of it.
struct Shipping::Stored {
  Shipment shipment;
  BookingRequest request;
};

Shipping::Shipping(sql::Database& database, IdGenerator& ids, Carrier& carrier, observe::Metrics& metrics)
    : Shipping(database, ids, carrier, metrics, Options{}) {}

Shipping::Shipping(sql::Database& database, IdGenerator& ids, Carrier& carrier, observe::Metrics& metrics,
                   Options options)
    : database_(database),
      ids_(ids),
      carrier_(carrier),
      options_(options),
      meters_(std::make_unique<Meters>(metrics)) {}

Shipping::~Shipping() = default;

void Shipping::require_deliverable(const Destination& destination, std::string_view pointer) const {
  std::vector<FieldViolation> faults = carrier_.faults_of(destination);
  if (faults.empty()) return;
  for (FieldViolation& fault : faults) fault.pointer.insert(0, pointer);
  throw Error(ErrorCode::unprocessable, "The carrier can't deliver to this address as it is written.")
      .reason("not_deliverable")
      .violations(std::move(faults));
}

Shipment Shipping::open(const Context& ctx, sql::Transaction& tx, const NewShipment& shipment) {
  if (auto there = find(tx, shipment.order_id)) return *std::move(there);
  if (shipment.reference.empty() || shipment.reference.size() > kMaxReference) {
    throw Error(ErrorCode::invalid_argument, "A shipment's reference has 1 to 64 characters.")
        .reason("bad_reference");
  }
  Shipment made;
  made.id = ids_.make<ShipmentId>();
  made.order_id = shipment.order_id;
  made.state = shipment.destination ? ShipmentState::requested : ShipmentState::collected;
  made.reference = shipment.reference;
  if (shipment.destination) made.carrier = std::string(carrier_.name());
  made.created_at = made.updated_at = ctx.clock().wall_now();
  tx.execute(
      "insert into shipments(id, order_id, state, reference, carrier, destination, parcels, declared_minor, "
      "declared_currency, version, created_at, updated_at) "
      "values($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)",
      made.id, made.order_id, made.state, made.reference, made.carrier,
      to_json(shipment.destination.value_or(Destination{})), to_json(shipment.parcels),
      shipment.declared_value.minor, shipment.declared_value.currency, made.version, made.created_at);
  return made;
}

Shipping::Stored Shipping::require(const Context& ctx, const OrderId& order_id) {
  return database_.read(ctx, [&](sql::Snapshot& db) {
    auto shipment = find(db, order_id);
    if (!shipment) {
      throw Error(ErrorCode::not_found, "There is no shipment of " + order_id.text() + ".")
          .reason("unknown_shipment");
    }
    Stored stored{.shipment = *std::move(shipment), .request = request_of(db, order_id)};
    stored.request.reference = stored.shipment.reference;
    return stored;
  });
}

std::vector<Booking> Shipping::ask(const Context& ctx, const Shipment& shipment) {
  try {
    std::vector<Booking> found = carrier_.find(ctx, shipment.reference);
    meters_->count(Operation::ask, found.empty() ? "none" : "found");
    return found;
  } catch (const Error& error) {
    meters_->count(Operation::ask, error.reason());
    throw;
  }
}

/// Nothing where there may be one that is not in the carrier's book yet: it shows none, or can't be asked.
std::optional<std::vector<Booking>> Shipping::ask_where_tried(const Context& ctx, const Shipment& shipment,
                                                              Tried tried) {
  try {
    std::vector<Booking> found = ask(ctx, shipment);
    if (found.empty() && tried == Tried::under_way) return std::nullopt;
    return found;
  } catch (const Error&) {
    if (tried != Tried::under_way) throw;
    return std::nullopt;  // for whoever tries next, what has to be known is written down at once
  }
}

/// The first stays: it is the one whose tracking number may have been told already.
Booking Shipping::keep_one(const Context& ctx, const std::vector<Booking>& active) {
  for (std::size_t i = 1; i < active.size(); ++i) {
    carrier_.cancel(ctx, active[i].carrier_ref);
    meters_->duplicates.add();
  }
  return active.front();
}

void Shipping::require_settled(const Context& ctx, const Shipment& shipment) const {
  if (shipment.state != ShipmentState::unknown || shipment.open_operation != Operation::book) return;
  const Duration left = *shipment.unknown_since +
                        std::chrono::duration_cast<std::chrono::microseconds>(options_.settle_time) -
                        ctx.clock().wall_now();
  if (left <= Duration(0)) return;
  throw carrier_error(CarrierFault::outcome_unknown,
                      shipment.reference + " may be under way; it is not in the carrier's book yet", left);
}

/// As if the booking had been sent just now: the state `unknown`, and the time to settle, begin with it.
Outcome Shipping::maybe_under_way(const Shipment& shipment) {
  return {.order_id = shipment.order_id,
          .operation = Operation::book,
          .error = carrier_error(CarrierFault::outcome_unknown,
                                 shipment.reference + " may be under way, from before a restart"),
          .version = shipment.version};
}

/// Runs a call that changes something there; what can't be known becomes an outcome.
template <class Call>
Outcome Shipping::call(const Shipment& shipment, Operation operation, Call&& call) {
  Outcome outcome{.order_id = shipment.order_id, .operation = operation, .version = shipment.version};
  try {
    outcome.booking = call();
    meters_->count(operation, "done");
    HOLDFAST_FAULT("shipping.after_call");
  } catch (const Error& error) {
    meters_->count(operation, enum_name(fault_of(error)));
    switch (fault_of(error)) {
      case CarrierFault::refused: outcome.refused = error.cause(); break;
      case CarrierFault::outcome_unknown: outcome.error = error; break;
      default: throw;
    }
  }
  return outcome;
}

Outcome Shipping::book(const Context& ctx, const OrderId& order_id, Tried tried) {
  const Stored stored = require(ctx, order_id);
  const Shipment& shipment = stored.shipment;
  Outcome outcome{.order_id = order_id, .operation = Operation::book};
  if (shipment.state == ShipmentState::collected || shipment.state == ShipmentState::booked) {
    outcome.nothing_to_do = true;
    return outcome;
  }
  if (is_final(shipment.state)) refuse_state(shipment, "booked");
  const auto send = [&] { return carrier_.book(ctx, stored.request); };
  if (tried == Tried::never && shipment.state == ShipmentState::requested)
    return call(shipment, Operation::book, send);
  const auto answer = ask_where_tried(ctx, shipment, tried);
  if (!answer) return maybe_under_way(shipment);
  const std::vector<Booking>& found = *answer;
  const std::vector<Booking> active = active_of(found);
  if (!active.empty()) {
    outcome.booking = keep_one(ctx, active);
    return outcome;
  }
  if (!found.empty()) {
    outcome.refused = "the carrier has cancelled " + found.back().carrier_ref;
    return outcome;
  }
  require_settled(ctx, shipment);
  return call(shipment, Operation::book, send);
}

Outcome Shipping::cancel(const Context& ctx, const OrderId& order_id, Tried tried) {
  Outcome outcome{.order_id = order_id, .operation = Operation::cancel};
  const auto shipment = database_.read(ctx, [&](sql::Snapshot& db) { return find(db, order_id); });
  if (!shipment || is_final(shipment->state)) {
    outcome.nothing_to_do = true;
    return outcome;
  }
  const auto answer = ask_where_tried(ctx, *shipment, tried);
  const bool noted = tried == Tried::never || shipment->state != ShipmentState::requested;
  if (!answer || (answer->empty() && !noted)) return maybe_under_way(*shipment);
  const std::vector<Booking>& found = *answer;
  if (found.empty()) require_settled(ctx, *shipment);
  if (!found.empty()) outcome.booking = found.back();
  for (const Booking& booking : active_of(found)) {
    outcome = call(*shipment, Operation::cancel, [&] { return carrier_.cancel(ctx, booking.carrier_ref); });
    if (outcome.refused) refuse_state(*shipment, "cancelled any more");
    if (outcome.error) return outcome;
  }
  return outcome;
}

Outcome Shipping::resolve(const Context& ctx, const OrderId& order_id) {
  const Stored stored = require(ctx, order_id);
  Outcome outcome{.order_id = order_id, .operation = Operation::ask};
  if (is_final(stored.shipment.state)) {
    outcome.nothing_to_do = true;
    return outcome;
  }
  const std::vector<Booking> found = ask(ctx, stored.shipment);
  const std::vector<Booking> active = active_of(found);
  if (!active.empty()) {
    outcome.booking = keep_one(ctx, active);
  } else if (!found.empty()) {
    outcome.booking = found.back();
  } else {
    require_settled(ctx, stored.shipment);
  }
  return outcome;
}

Outcome Shipping::settle(const Context& ctx, Outcome outcome) {
  if (outcome.known() && !outcome.refused) return outcome;
  database_.transact(ctx.detached().with_timeout(std::chrono::seconds(5)), "record shipment",
                     [&](sql::Transaction& tx) { record(ctx, tx, outcome); });
  if (outcome.error) throw carrier_error(CarrierFault::outcome_unknown, outcome.error->what());
  throw Error(ErrorCode::conflict, "The carrier does not take the shipment of " + outcome.order_id.text() +
                                       ": " + *outcome.refused + ".")
      .reason("shipment_refused");
}

void Shipping::measure(const Context& ctx) {
  const UnknownShipments open = database_.read(ctx, [](sql::Snapshot& db) { return count_unknown(db); });
  meters_->unknown.set(open.count);
  const auto age = open.oldest ? ctx.clock().wall_now() - *open.oldest : std::chrono::microseconds(0);
  meters_->oldest_unknown_seconds.set(std::chrono::duration_cast<std::chrono::seconds>(age).count());
}

std::optional<Shipment> Shipping::record(const Context& ctx, sql::Transaction& tx, const Outcome& outcome) {
  auto shipment = find(tx, outcome.order_id);
  if (!shipment || outcome.nothing_to_do || is_final(shipment->state)) return shipment;
  // Who does not know what came of it says nothing against what was heard meanwhile.
  if (outcome.error && outcome.version != shipment->version) return shipment;
  Shipment after = after_outcome(*shipment, outcome, ctx.clock().wall_now());
  if (to_json(after) != to_json(*shipment)) {
    ++after.version;
    after.updated_at = ctx.clock().wall_now();
    write(tx, after);
  }
  return after;
}

}  // namespace holdfast::orders::shipping
