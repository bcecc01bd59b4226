// The cards there are: Stripe's test numbers and pm_card_… names, and paysim's own names that misbehave.
//
//   const Card card = find_card("pm_card_visa_chargeDeclinedInsufficientFunds").value();
//   card.decline_code  → "insufficient_funds"
//
// Own names: pm_processing, pm_requires_action, pm_hang, pm_hang_after_charge, pm_drop_before_charge,
// pm_drop_after_charge, pm_delay_<n>ms, pm_error_<status>. They take effect when a payment is authorized.
// Thread-safety: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "paysim/behaviour.hpp"

namespace holdfast::paysim {

struct Card {
  std::string payment_method;  ///< "pm_card_visa"
  std::string brand;           ///< "visa"
  std::string last4;
  std::optional<Rule> fault;  ///< what it does of itself when charged; empty: it pays
};

/// By payment method or by number (spaces allowed). Empty for what is no card here.
std::optional<Card> find_card(std::string_view name_or_number);

}  // namespace holdfast::paysim
