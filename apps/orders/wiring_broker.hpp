// The broker that the settings name, and what belongs to it: the relay from the outbox, the connection. For
// order_system.cpp.
//
//   BrokerWiring broker(settings, {runtime, database, outbox, metrics, log, claims});
//   broker.subscriber().subscribe(…);
//   broker.start(ctx);  …  broker.stop(ctx);
//
// Thread-safety: all from one fiber on loop 0; health() from any.
#pragma once

#include <memory>

#include "holdfast/blob/claim_check.hpp"
#include "holdfast/messaging/outbox.hpp"
#include "holdfast/messaging/subscription.hpp"
#include "holdfast/observe/health.hpp"
#include "holdfast/observe/log.hpp"
#include "holdfast/observe/metrics.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/sql/database.hpp"
#include "orders/settings.hpp"

namespace holdfast::orders {

class BrokerWiring {
 public:
  /// All are borrowed and must outlive it.
  struct Parts {
    runtime::Runtime& runtime;
    sql::Database& database;
    messaging::Outbox& outbox;
    observe::Metrics& metrics;
    observe::Log& log;
    blob::ClaimCheck& claims;  ///< of large payloads, on their way out and in
  };

  /// Throws Error(invalid_argument) for settings that mean nothing.
  BrokerWiring(const Settings& settings, const Parts& parts);
  ~BrokerWiring();

  /// Subscribe before start().
  messaging::Subscriber& subscriber() noexcept;

  /// A server that is away is no failure: it is waited for. Throws Error(failed_precondition), saying which
  /// setting to change, where waiting is no use.
  void start(const Context& ctx);
  /// Finishes the handlers that run, then what is being sent, until ctx's deadline. Idempotent.
  void stop(const Context& ctx);

  observe::HealthState health() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace holdfast::orders
