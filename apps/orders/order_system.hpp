// The Order System, wired: database, modules, broker and API behind one object, started and stopped in
// order. What `holdfast serve` and `holdfast worker` run.
//
//   OrderSystem system(settings, runtime, log, metrics);          // Role::worker: events only, no API
//   system.start(ctx);                                            // ready when it returns
//   print("http://127.0.0.1:" + std::to_string(system.http_port()));
//   …                                                             // until a signal
//   system.stop(ctx);                                             // answers what it has, then closes
//
// Thread-safety: start(), stop() and the destructor from one fiber of the runtime; the rest from any.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "holdfast/http/router.hpp"
#include "holdfast/observe/log.hpp"
#include "holdfast/observe/metrics.hpp"
#include "holdfast/resilience/dependencies.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/sql/database.hpp"
#include "orders/settings.hpp"

namespace holdfast::orders {

enum class Role : std::uint8_t {
  serve,   ///< the API, and the events too unless worker.enabled is off
  worker,  ///< the events only
};

/// `settings.data` joined with `path`, unless that is absolute.
std::string data_path(const Settings& settings, const std::string& path);

/// The log's options as the settings say.
observe::LogOptions log_options(const LogSettings& settings);

class OrderSystem {
 public:
  /// All but `settings`, which is copied, are borrowed and must outlive it.
  OrderSystem(const Settings& settings, runtime::Runtime& runtime, observe::Log& log,
              observe::Metrics& metrics, Role role = Role::serve);
  /// Stops at once what still runs.
  ~OrderSystem();
  OrderSystem(const OrderSystem&) = delete;
  OrderSystem& operator=(const OrderSystem&) = delete;

  /// Opens the data folder, migrates, subscribes, listens. Throws Error where a part can't start; those
  /// before it are then stopped again.
  void start(const Context& ctx);

  /// Lets go of the part started last first, within settings.shutdown.timeout; true when everything in
  /// flight was finished. Idempotent.
  bool stop(const Context& ctx);

  /// 0 before start(), and for a worker that shows itself nowhere (worker.address).
  std::uint16_t http_port() const noexcept;

  // From start() to stop():
  sql::Database& database() noexcept;
  const http::Router& router() const noexcept;  ///< Role::serve only
  /// What it asks of other services; lives as long as it.
  resilience::Dependencies& dependencies() noexcept;
  /// As GET /v1/ops/reconciliation shows it.
  bool balanced(const Context& ctx);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace holdfast::orders
