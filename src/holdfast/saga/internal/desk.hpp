// Desk: what the parts of one Sagas share: what it was given, its plans, its metrics, its roster.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "holdfast/base/id.hpp"
#include "holdfast/runtime/sync.hpp"
#include "holdfast/saga/internal/roster.hpp"
#include "holdfast/saga/sagas.hpp"

namespace holdfast::saga::internal {

/// Thrown where a test or a drill has the worker die; nothing catches it but the worker.
struct Died {};

/// The places where a process may die in an act, or in its compensation.
struct SiteNames {
  explicit SiteNames(const std::string& prefix)
      : before_act(prefix + "before_act"),
        after_act(prefix + "after_act"),
        after_commit(prefix + "after_commit") {}

  std::string before_act;
  std::string after_act;
  std::string after_commit;
};

struct StepMetrics {
  observe::Histogram seconds;
  observe::Counter failed;
  SiteNames act;
  SiteNames undo;
};

/// The counts of one definition, all its versions.
struct PlanMetrics {
  PlanMetrics() = default;
  PlanMetrics(observe::Metrics& metrics, const detail::Plan& plan);
  observe::Counter started;
  observe::Counter completed;
  observe::Counter compensated;
  observe::Counter parked;
  observe::Histogram seconds;
  std::vector<StepMetrics> steps;  ///< of one version
};

struct Desk {
  Desk(runtime::Runtime& the_runtime, sql::Database& the_database, observe::Metrics& the_metrics,
       observe::Logger the_logger, SagaOptions the_options);

  runtime::Runtime& runtime;
  sql::Database& database;
  observe::Metrics& metrics;
  observe::Logger logger;
  const SagaOptions options;
  IdGenerator ids;
  const std::string name;  ///< "wrk_….<process mark>"

  // Written before run(), read by all afterwards.
  struct Known {
    std::shared_ptr<const detail::Plan> plan;
    PlanMetrics metrics;
  };
  std::map<std::pair<std::string, int>, Known> plans;
  std::unordered_map<const detail::Plan*, const PlanMetrics*> metrics_by_plan;
  const Known* find(const std::string& definition, int version) const;
  FindPlan finder() const;
  const PlanMetrics& metrics_of(const detail::Plan& plan) const;

  std::atomic<bool> running{false};    ///< between run() and stop(): new sagas are begun here
  std::atomic<bool> stopping{false};   ///< finish what runs, take nothing new
  std::atomic<bool> abandoned{false};  ///< record nothing more
  std::atomic<bool> stalled{false};    ///< as if the process were suspended
  /// Until then nobody else takes our leases; moved on by each heartbeat.
  std::atomic<Instant> lease_until{Instant{}};
  /// Whether they are surely ours still: a process that stood still finds out here before it has heard of it.
  bool leased() const noexcept { return clock().now() < lease_until.load(std::memory_order_relaxed); }
  runtime::CancellationSource cancellation;
  runtime::Signal look;        ///< something may be due that nobody named
  runtime::Signal woken;       ///< Roster::wake() named sagas to look at
  runtime::Signal membership;  ///< leases may have changed hands
  Roster roster;
  runtime::Semaphore alone;  ///< for a saga during which the process died more than once

  observe::Counter fence_refused;
  observe::Counter store_failures;
  observe::Gauge live;
  observe::Gauge parked;
  observe::Gauge orphaned;
  observe::Gauge oldest_seconds;
  observe::Gauge leases;

  /// Passes a site: ends the process in a build with faults, or the worker where a test says so (by Died).
  void pass(const std::string& site);
  /// The worker ends as if killed; does not wait.
  void die() noexcept;
  void wake_all() noexcept;

  /// Roster::leave(), and a look for whoever has to be looked at because of it.
  void leave(const std::string& id, int bucket, std::int64_t fence);

  const Clock& clock() const noexcept { return runtime.clock(); }
  WallTime wall_now() const noexcept { return clock().wall_now(); }

  std::atomic<std::int64_t> next_look{0};  ///< wall microseconds at which the poll looks again, if not woken
  /// Something becomes due at `at`.
  void note_due(WallTime at);

  observe::HealthState health() const;
  void set_census(const Census& census);

 private:
  mutable std::mutex census_mutex_;
  Census census_;
};

}  // namespace holdfast::saga::internal
