// What operators ask of a running system: health, metrics, what is in flight, whether the books balance.
// For order_system.cpp.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "holdfast/http/router.hpp"
#include "holdfast/http/server.hpp"
#include "holdfast/observe/health.hpp"
#include "holdfast/observe/log.hpp"
#include "holdfast/observe/metrics.hpp"
#include "holdfast/resilience/dependencies.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/sql/database.hpp"
#include "orders/modules/inventory/inventory.hpp"
#include "orders/modules/notifications/notifications.hpp"
#include "orders/modules/ordering/ordering.hpp"
#include "orders/modules/payments/payments.hpp"

namespace holdfast::orders {

/// An order that was undone and whose money is still here: on its way back, or in want of a person.
struct ChargedButUndone {
  std::string order_id;
  Money charged;
  Money refunded;
};
HOLDFAST_DESCRIBE(ChargedButUndone, (order_id, charged, refunded))

/// Whether everything adds up. `complete` may lag behind `balanced` while mails are on their way.
struct Reconciliation {
  bool balanced = false;  ///< every ledger explains its level, and the orders explain their sales
  bool complete = false;  ///< no order is pending, each has the mails that its way so far calls for
  ordering::OrderCounts orders;
  notifications::MailCounts mails;
  std::int64_t mails_waiting = 0;  ///< messages that the notifications have not handled
  std::int64_t dead_letters = 0;
  std::vector<inventory::Imbalance> imbalances;           ///< at most 100
  std::vector<ordering::SalesMismatch> sales_mismatches;  ///< at most 100
  std::vector<ChargedButUndone> charged_but_undone;       ///< at most 100; `complete` only without any
};
HOLDFAST_DESCRIBE(Reconciliation, (balanced, complete, orders, mails, mails_waiting, dead_letters, imbalances,
                                   sales_mismatches, charged_but_undone))

/// Reads all orders and the whole ledger, on the reports pool.
Reconciliation reconcile(const Context& ctx, sql::Database& database);

struct OpsParts {
  runtime::Runtime& runtime;
  sql::Database& database;
  observe::Log& log;
  observe::Metrics& metrics;
  observe::Health& health;
  resilience::Dependencies& dependencies;
  /// Where a report may be read from, be that a little late; without it from `database`.
  std::function<sql::Database&(const http::Request&)> reads_for{};
};

/// /health/live, /health/ready and /metrics, for whoever comes. The parts are borrowed by the routes.
void add_health_routes(http::Router& router, observe::Health& health, observe::Metrics& metrics);

/// Those, and what takes a key. The parts are borrowed by the routes.
void add_ops_routes(http::Router& router, const OpsParts& parts);

/// The database's numbers as metrics, for as long as what is returned lives.
[[nodiscard]] std::vector<observe::Observation> observe_database(observe::Metrics& metrics,
                                                                 sql::Database& database);

/// The server's, likewise.
[[nodiscard]] std::vector<observe::Observation> observe_server(observe::Metrics& metrics,
                                                               const http::Server& server);

}  // namespace holdfast::orders
