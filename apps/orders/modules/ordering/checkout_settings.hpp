// How patient a checkout is: the settings below `checkout`. (Part of checkout.hpp.)
#pragma once

#include <chrono>

#include "holdfast/base/describe.hpp"
#include "holdfast/base/rules.hpp"

namespace holdfast::orders::ordering {

struct CheckoutSettings {
  std::chrono::seconds provider_timeout = std::chrono::seconds(10);
  std::chrono::seconds patience = std::chrono::minutes(30);
  std::chrono::seconds customer_patience = std::chrono::minutes(15);
  std::chrono::seconds undo_patience = std::chrono::hours(24);

  static constexpr auto rules() {
    return holdfast::rules(
        field<&CheckoutSettings::provider_timeout>().range(1, 300).doc(
            "For one attempt of a step, with all its tries; see `dependencies` for those."),
        field<&CheckoutSettings::patience>().range(1, 86'400).doc(
            "How long an order waits for a provider or carrier that is down, about; then it is undone."),
        field<&CheckoutSettings::customer_patience>().range(1, 86'400).doc(
            "How long it waits for a customer or bank to confirm a payment."),
        field<&CheckoutSettings::undo_patience>()
            .range(1, 7 * 86'400)
            .doc("How long giving back and calling off are tried, about; then the saga is parked for a "
                 "person."));
  }
};
HOLDFAST_DESCRIBE(CheckoutSettings, (provider_timeout, patience, customer_patience, undo_patience))

}  // namespace holdfast::orders::ordering
