// The Order System's database with what surrounds it: opened and migrated, observed, asked how it is, and,
// where it is a PostgreSQL, left in peace while it can't answer (dependencies `database` for what is read,
// `database_writes` for transactions).
//
//   DatabaseWiring wiring(ctx, settings, parts, "serve");
//   background.spawn("database probe", [&](const Context& own) { wiring.run_probes(own); });
//   router.use(wiring.positions());                          // where there are replicas
//   wiring.reads_for(request).read(ctx, …);                  // what may be a little late
//
// Thread-safety: made and destroyed on one fiber; the rest from any.
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "holdfast/http/router.hpp"
#include "holdfast/observe/health.hpp"
#include "holdfast/observe/log.hpp"
#include "holdfast/observe/metrics.hpp"
#include "holdfast/resilience/dependencies.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/sql/database.hpp"
#include "holdfast/sql/postgres/replicas.hpp"
#include "orders/settings.hpp"

namespace holdfast::orders {

class DatabaseWiring {
 public:
  struct Parts {
    runtime::Runtime& runtime;
    observe::Metrics& metrics;
    observe::Log& log;
    resilience::Dependencies& dependencies;
    observe::Health& health;
  };

  /// Throws as open_database(). `parts` are borrowed.
  DatabaseWiring(const Context& ctx, const Settings& settings, const Parts& parts, std::string_view role);
  ~DatabaseWiring();
  DatabaseWiring(const DatabaseWiring&) = delete;
  DatabaseWiring& operator=(const DatabaseWiring&) = delete;

  sql::Database& database() noexcept { return *database_; }

  /// Where `request` may be answered from though that may be a little late: a replica where there is one that
  /// will do, else the database. What the request's X-Read-After names is there.
  sql::Database& reads_for(const http::Request& request);

  /// Answers to what changes something carry X-Read-After: sent with a later request, that sees the change.
  /// None where there are no replicas.
  std::optional<http::Middleware> positions();

  /// GET /v1/ops/replicas.
  void add_routes(http::Router& router);

  /// For a fiber of its own: measures the replicas. Returns when `ctx` is cancelled.
  void run_replicas(const Context& ctx);

  /// For a fiber of its own: finds out when the database is back. Returns when `ctx` is cancelled.
  void run_probes(const Context& ctx);

 private:
  observe::HealthState health(Duration timeout);

  runtime::Runtime& runtime_;
  const bool ready_when_read_only_;
  resilience::Pipeline* reads_ = nullptr;  // none: nothing stands before the database
  resilience::Pipeline* writes_ = nullptr;
  std::unique_ptr<sql::Database> database_;
  std::unique_ptr<sql::postgres::Replicas> replicas_;
  std::vector<observe::Observation> observations_;
  observe::Health::Check check_;
};

}  // namespace holdfast::orders
