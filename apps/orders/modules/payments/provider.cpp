#include "orders/modules/payments/provider.hpp"

namespace holdfast::orders::payments {

Error provider_error(ProviderFault fault, std::string cause, std::optional<Duration> retry_after) {
  const auto made = [&](ErrorCode code, const char* detail, const char* reason) {
    Error error = Error(code, detail).reason(reason).cause(std::move(cause));
    return retry_after ? std::move(error).retry_after(*retry_after) : std::move(error);
  };
  switch (fault) {
    case ProviderFault::rejected:
      return made(ErrorCode::internal, "The payment provider did not take our request.", "payment_rejected");
    case ProviderFault::unavailable:
      return made(ErrorCode::unavailable, "The payment provider can't be reached; try again later.",
                  "payment_unavailable");
    case ProviderFault::rate_limited:
      return made(ErrorCode::unavailable, "The payment provider has too much to do; try again later.",
                  "payment_rate_limited");
    case ProviderFault::outcome_unknown: break;
  }
  return made(ErrorCode::unavailable,
              "Whether the payment provider did it is not known yet; it will be asked.",
              "payment_outcome_unknown");
}

ProviderFault fault_of(const Error& error) {
  const std::string_view reason = error.reason();
  if (reason == "payment_rejected") return ProviderFault::rejected;
  if (reason == "payment_unavailable") return ProviderFault::unavailable;
  if (reason == "payment_rate_limited") return ProviderFault::rate_limited;
  return ProviderFault::outcome_unknown;
}

}  // namespace holdfast::orders::payments
