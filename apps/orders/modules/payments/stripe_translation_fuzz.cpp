// Any bytes from a provider: a payment that makes sense, or a reason why not; never anything else.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "holdfast/base/error.hpp"
#include "orders/modules/payments/stripe_translation_adapter.hpp"

namespace {

using namespace holdfast::orders::payments;

void require(bool holds) {
  if (!holds) std::abort();
}

void check(const ProviderPayment& payment) {
  require(!payment.ref.empty() && payment.ref.size() <= 255);
  require(payment.ref.find_first_of("/?#% \r\n") == std::string::npos);
  require(payment.amount.minor >= 0 && payment.captured.minor >= 0 && payment.refunded.minor >= 0);
  require(payment.captured.minor <= payment.amount.minor);
  require(payment.refunded.minor <= payment.captured.minor);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto intent = stripe::read_intent(text);
  require(intent.value.has_value() != !intent.why.empty());
  if (intent.value) check(intent.value->payment);
  const auto list = stripe::read_intents(text);
  if (list.value) {
    for (const auto& each : list.value->intents) check(each.payment);
  }
  const auto refunds = stripe::read_refunds(text);
  if (refunds.value) require(refunds.value->done >= 0 && refunds.value->pending >= 0);
  stripe::read_refund_status(text);
  stripe::read_error(text);
  try {
    const auto event = stripe::read_event(text);
    if (event) require(!event->id.empty() && !event->ref.empty());
    if (event && event->seen) check(*event->seen);
  } catch (const holdfast::Error& error) {
    require(error.reason() == "malformed_event");
  }
  return 0;
}
