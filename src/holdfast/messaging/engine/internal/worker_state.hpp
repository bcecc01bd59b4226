// What the parts of one Broker share.
#pragma once

#include <atomic>
#include <string>

#include "holdfast/base/id.hpp"
#include "holdfast/messaging/broker.hpp"
#include "holdfast/observe/log.hpp"
#include "holdfast/observe/metrics.hpp"
#include "holdfast/runtime/cancellation.hpp"
#include "holdfast/runtime/sync.hpp"
#include "holdfast/sql/database.hpp"

namespace holdfast::messaging::engine {

struct WorkerState {
  WorkerState(runtime::Runtime& the_runtime, sql::Database& the_database, Source& the_source,
              observe::Metrics& the_metrics, observe::Logger the_logger, BrokerOptions the_options);

  runtime::Runtime& runtime;
  sql::Database& database;
  Source& source;
  observe::Metrics& metrics;
  observe::Logger logger;
  const BrokerOptions options;
  IdGenerator ids;
  const std::string name;  ///< "wrk_…"

  std::atomic<bool> stopping{false};         ///< finish what runs, take nothing new
  std::atomic<bool> abandoned{false};        ///< record nothing more
  std::atomic<bool> stalled{false};          ///< as if the process were suspended; see Broker::stall()
  runtime::CancellationSource cancellation;  ///< of everything it runs
  runtime::Semaphore suspects{1, 65'536};    ///< one at a time handles a message that may end the process
  runtime::Signal membership;                ///< leases may have changed hands
  Instant lease_until{};  ///< by our own clock, after which our leases may be somebody else's

  const Clock& clock() const noexcept { return runtime.clock(); }
  WallTime wall_now() const noexcept { return clock().wall_now(); }
  bool lapsed() const noexcept { return clock().now() >= lease_until; }
};

/// The counts of one group.
struct GroupMetrics {
  GroupMetrics(observe::Metrics& metrics, const std::string& group);

  observe::Counter handled;
  observe::Counter duplicates;
  observe::Counter failed;
  observe::Counter retries;
  observe::Counter dead;
  observe::Counter fence_refused;
  observe::Counter store_failures;
  observe::Gauge leases;
  observe::Gauge lag;
  observe::Gauge oldest_seconds;
  observe::Gauge parked;
  observe::Histogram delivery;
};

}  // namespace holdfast::messaging::engine
