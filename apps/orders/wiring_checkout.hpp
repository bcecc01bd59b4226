// The checkout's parts, made as the settings say: the payment provider and the carrier behind their
// pipelines, the sagas, and their routes. For order_system.cpp.
//
//   CheckoutWiring wiring(settings, {runtime, database, ids, outbox, metrics, log, dependencies});
//   Ordering ordering(ids, outbox, wiring.checkout());
//   wiring.start_worker(ctx);                             // in processes that do the work
//
// Thread-safety: made, started, stopped and destroyed on one fiber; the rest from any.
#pragma once

#include <memory>

#include "holdfast/base/id.hpp"
#include "holdfast/http/router.hpp"
#include "holdfast/messaging/outbox.hpp"
#include "holdfast/observe/log.hpp"
#include "holdfast/observe/metrics.hpp"
#include "holdfast/resilience/dependencies.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/saga/sagas.hpp"
#include "holdfast/sql/database.hpp"
#include "orders/modules/ordering/ordering.hpp"
#include "orders/settings.hpp"

namespace holdfast::orders {

class CheckoutWiring {
 public:
  /// All are borrowed and must outlive it.
  struct Parts {
    runtime::Runtime& runtime;
    sql::Database& database;
    IdGenerator& ids;
    messaging::Outbox& outbox;
    observe::Metrics& metrics;
    observe::Log& log;
    resilience::Dependencies& dependencies;
  };

  /// Adds the dependencies "payments" and "carrier", where there are such.
  CheckoutWiring(const Settings& settings, const Parts& parts);
  ~CheckoutWiring();

  /// What orders have to pass; null where they are on account and nothing is shipped: they are then
  /// confirmed as they are placed.
  ordering::Checkout* checkout() noexcept;

  saga::Sagas& sagas() noexcept;

  /// Takes up sagas, in this process. Also where checkout() is null: older orders may have some.
  void start_worker(const Context& ctx);
  /// Lets the acts that run end; see saga::Sagas::stop.
  void stop_worker(const Context& ctx);

  /// An order's payment and shipment, the provider's webhooks, the payments' reconciliation.
  void add_routes(http::Router& router);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace holdfast::orders
