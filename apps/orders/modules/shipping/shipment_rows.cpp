#include "orders/modules/shipping/shipment_rows.hpp"

namespace holdfast::orders::shipping {
namespace {

#define HOLDFAST_SHIPMENT_COLUMNS                                                              \
  "id, order_id, state, reference, carrier, carrier_ref, tracking_number, expected_delivery, " \
  "open_operation, unknown_since, failure_reason, version, created_at, updated_at"

struct RequestRow {
  std::string destination;
  std::string parcels;
  std::int64_t declared_minor = 0;
  Currency declared_currency;
};
HOLDFAST_DESCRIBE(RequestRow, (destination, parcels, declared_minor, declared_currency))

void take(Shipment& shipment, const Booking& booking) {
  shipment.carrier_ref = booking.carrier_ref;
  shipment.tracking_number = booking.tracking_number;
  shipment.expected_delivery = booking.expected_delivery;
}

/// There is no booking under its reference, for sure.
ShipmentState without_booking(const Shipment& shipment, const Outcome& outcome) {
  if (outcome.operation == Operation::cancel) return ShipmentState::cancelled;
  // What was booked and can't be found any more is for a person to look at.
  if (shipment.state == ShipmentState::booked) return ShipmentState::booked;
  return ShipmentState::requested;
}

}  // namespace

std::optional<Shipment> find(sql::Queries& db, const OrderId& order_id) {
  return db.query_one<Shipment>("select " HOLDFAST_SHIPMENT_COLUMNS " from shipments where order_id = $1",
                                order_id);
}

std::vector<Shipment> unknown_shipments(sql::Queries& db, std::int64_t limit) {
  return db.query<Shipment>("select " HOLDFAST_SHIPMENT_COLUMNS
                            " from shipments where state = 'unknown' order by unknown_since limit $1",
                            limit);
}

UnknownShipments count_unknown(sql::Queries& db) {
  return db
      .query_one<UnknownShipments>(
          "select count(*) as count, min(unknown_since) as oldest from shipments where state = 'unknown'")
      .value();
}

std::vector<StateCount> count_by_state(sql::Queries& db) {
  return db.query<StateCount>("select state, count(*) as count from shipments group by state order by state");
}

BookingRequest request_of(sql::Queries& db, const OrderId& order_id) {
  const auto row = db.query_one<RequestRow>(
      "select destination, parcels, declared_minor, declared_currency from shipments where order_id = $1",
      order_id);
  BookingRequest request;
  if (!row) return request;
  request.destination = from_json<Destination>(row->destination);
  request.parcels = from_json<std::vector<Parcel>>(row->parcels);
  request.declared_value = {row->declared_minor, row->declared_currency};
  return request;
}

void write(sql::Transaction& tx, const Shipment& shipment) {
  tx.execute(
      "update shipments set state = $2, carrier_ref = $3, tracking_number = $4, expected_delivery = $5, "
      "open_operation = $6, unknown_since = $7, failure_reason = $8, version = $9, updated_at = $10 "
      "where order_id = $1",
      shipment.order_id, shipment.state, shipment.carrier_ref, shipment.tracking_number,
      shipment.expected_delivery, shipment.open_operation, shipment.unknown_since, shipment.failure_reason,
      shipment.version, shipment.updated_at);
}

Shipment after_outcome(Shipment shipment, const Outcome& outcome, WallTime now) {
  if (outcome.error) {
    shipment.state = ShipmentState::unknown;
    shipment.open_operation = outcome.operation;
    shipment.unknown_since = now;
    return shipment;
  }
  shipment.open_operation.reset();
  shipment.unknown_since.reset();
  if (outcome.refused) {
    shipment.state = ShipmentState::failed;
    shipment.failure_reason = outcome.refused;
  } else if (outcome.booking) {
    take(shipment, *outcome.booking);
    shipment.state = outcome.booked() ? ShipmentState::booked : ShipmentState::cancelled;
    if (shipment.state == ShipmentState::cancelled && outcome.operation != Operation::cancel) {
      shipment.failure_reason = "cancelled by the carrier";
    }
  } else {
    shipment.state = without_booking(shipment, outcome);
  }
  return shipment;
}

}  // namespace holdfast::orders::shipping
