#include "orders/modules/shipping/carrier.hpp"

namespace holdfast::orders::shipping {

Place place_of(const Destination& destination) {
  return {destination.line1, destination.city, destination.region, destination.postal_code};
}

Error carrier_error(CarrierFault fault, std::string cause, std::optional<Duration> retry_after) {
  const auto made = [&](ErrorCode code, const char* detail, const char* reason) {
    Error error = Error(code, detail).reason(reason).cause(std::move(cause));
    return retry_after ? std::move(error).retry_after(*retry_after) : std::move(error);
  };
  switch (fault) {
    case CarrierFault::refused:
      return made(ErrorCode::conflict, "The carrier does not do that for this shipment.", "carrier_refused");
    case CarrierFault::rejected:
      return made(ErrorCode::internal, "The carrier did not take our request.", "carrier_rejected");
    case CarrierFault::unavailable:
      return made(ErrorCode::unavailable, "The carrier can't be reached; try again later.",
                  "carrier_unavailable");
    case CarrierFault::malformed:
      return made(ErrorCode::unavailable, "The carrier's answer can't be understood; try again later.",
                  "carrier_malformed");
    case CarrierFault::outcome_unknown: break;
  }
  return made(ErrorCode::unavailable, "Whether the carrier did it is not known yet; it will be asked.",
              "carrier_outcome_unknown");
}

CarrierFault fault_of(const Error& error) {
  const std::string_view reason = error.reason();
  if (reason == "carrier_refused") return CarrierFault::refused;
  if (reason == "carrier_rejected") return CarrierFault::rejected;
  if (reason == "carrier_unavailable") return CarrierFault::unavailable;
  if (reason == "carrier_malformed") return CarrierFault::malformed;
  return CarrierFault::outcome_unknown;
}

}  // namespace holdfast::orders::shipping
