// Shipments' rows, and what an outcome makes of a shipment. (Within this module only.)
#pragma once

#include "orders/modules/shipping/shipping.hpp"

namespace holdfast::orders::shipping {

/// What the carrier is to be told, but for the reference.
BookingRequest request_of(sql::Queries& db, const OrderId& order_id);

/// Writes everything that can change.
void write(sql::Transaction& tx, const Shipment& shipment);

/// The shipment as `outcome` says it is; the version is the caller's to raise. Pure.
Shipment after_outcome(Shipment shipment, const Outcome& outcome, WallTime now);

}  // namespace holdfast::orders::shipping
