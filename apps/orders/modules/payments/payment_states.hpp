// The states of a payment as a pure state machine: what a provider's answer means for one. (The module's
// own.)
#pragma once

#include "orders/modules/payments/payments.hpp"

namespace holdfast::orders::payments {

/// Where going from one state to another leads.
enum class Step : std::uint8_t {
  forward,
  same,
  stale,     ///< `to` lies behind: an old message
  conflict,  ///< no way leads there: one of the two is wrong, or something happened without us
};

/// Both are known states.
Step step_between(PaymentState from, PaymentState to) noexcept;

/// The state that a provider's payment is in.
PaymentState state_of(const ProviderPayment& seen) noexcept;

/// Whether an answer of the provider's, given to us and newer than all we know where `newest`, moves a
/// payment that was last known to be in `from`.
bool moves(PaymentState from, PaymentState to, bool newest) noexcept;

/// What we know of a payment, in the provider's form: the answer where there is nothing to ask for.
ProviderPayment as_known(const Payment& payment);

}  // namespace holdfast::orders::payments
