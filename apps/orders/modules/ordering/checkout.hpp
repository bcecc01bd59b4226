// The checkout: what must agree to an order after its stock, as a saga that the order's own transaction
// starts. Authorize the payment → confirm the order → capture → book the shipment → ship; and all of it
// undone, in reverse, where one of them can't be done, or the customer cancels.
//
//   CheckoutSaga checkout({database, sagas, &payments, &shipping}, ids, outbox, {});
//   Ordering ordering(ids, outbox, &checkout);          // orders are pending until it has confirmed them
//   webhooks.on_event(checkout.on_payment_event());     // wakes a checkout that waits for its bank
//
// docs/checkout.md has the steps, how each is undone, and what customers see meanwhile. Its version is
// raised with any change to the steps; running sagas keep theirs. Thread-safety: any fiber, once made.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "holdfast/saga/sagas.hpp"
#include "orders/modules/ordering/checkout_settings.hpp"
#include "orders/modules/ordering/ordering.hpp"
#include "orders/modules/payments/payments.hpp"
#include "orders/modules/shipping/shipping.hpp"

namespace holdfast::orders::ordering {

/// Names of the definitions, as in `holdfast sagas list`; their sagas' keys are orders' ids.
inline constexpr std::string_view kCheckout = "checkout";
inline constexpr std::string_view kGiveBack = "give-back";

class CheckoutSaga final : public Checkout {
 public:
  struct Parts {
    sql::Database& database;
    saga::Sagas& sagas;
    payments::Payments* payments;  ///< none: orders are on account
    shipping::Shipping* shipping;  ///< none: the shop ships by itself; orders end confirmed
  };
  struct Options {
    CheckoutSettings settings = {};
    std::string default_method = {};  ///< of orders that name no means of payment; empty: they are refused
  };

  /// All are borrowed. Adds its definitions to `parts.sagas`, which must not run yet.
  CheckoutSaga(const Parts& parts, IdGenerator& ids, messaging::Publisher& publisher, Options options);
  ~CheckoutSaga() override;

  void begin(const Context& ctx, sql::Transaction& tx, const Order& order,
             const std::optional<std::string>& payment_method) override;
  void cancelled(const Context& ctx, sql::Transaction& tx, const OrderId& id,
                 std::string_view reason) override;

  /// For payments::Payments::receive: tells the order's checkout. Where that has ended, and the order is
  /// over, what there is of its payment is given back.
  payments::OnPaymentEvent on_payment_event();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace holdfast::orders::ordering
