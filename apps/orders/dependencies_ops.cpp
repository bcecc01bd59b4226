#include "orders/dependencies_ops.hpp"

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "orders/shared/http.hpp"

namespace holdfast::orders {
namespace {

using resilience::BreakerState;

struct RecentCalls {
  std::uint64_t calls = 0;
  std::uint64_t failures = 0;
  std::uint64_t slow = 0;
  double failure_rate = 0;
  double slow_call_rate = 0;
};
HOLDFAST_DESCRIBE(RecentCalls, (calls, failures, slow, failure_rate, slow_call_rate))

struct CallsSoFar {
  std::uint64_t calls = 0;
  std::uint64_t succeeded = 0;
  std::uint64_t answered = 0;
  std::uint64_t failed = 0;
  std::uint64_t cancelled = 0;
  std::uint64_t refused = 0;
  std::uint64_t attempts = 0;
  std::uint64_t retries = 0;
  std::uint64_t retry_budget_exhausted = 0;
  std::uint64_t opened = 0;
  std::uint64_t probes = 0;
};
HOLDFAST_DESCRIBE(CallsSoFar, (calls, succeeded, answered, failed, cancelled, refused, attempts, retries,
                               retry_budget_exhausted, opened, probes))

struct DependencyStatus {
  std::string name;
  BreakerState state = BreakerState::closed;
  resilience::BreakerReason reason = resilience::BreakerReason::started;
  WallTime since;
  std::optional<WallTime> probes_at;  ///< if open
  std::uint32_t probes_out = 0;
  std::uint32_t in_flight = 0;
  std::uint32_t queued = 0;
  double retry_budget = 0;
  double usual_rate = 0;                ///< good calls a second
  std::optional<double> recovery_rate;  ///< tries a second, after an outage
  RecentCalls recent;
  CallsSoFar total;
  std::map<std::string, std::uint64_t> refusals;  ///< by reason
};
HOLDFAST_DESCRIBE(DependencyStatus, (name, state, reason, since, probes_at, probes_out, in_flight, queued,
                                     retry_budget, usual_rate, recovery_rate, recent, total, refusals))

struct DependencyList {
  std::vector<DependencyStatus> items;
};
HOLDFAST_DESCRIBE(DependencyList, (items))

struct DependencyPath {
  std::string name;
};
HOLDFAST_DESCRIBE(DependencyPath, (name))

struct Switch {
  std::string why;
  static constexpr auto rules() {
    return holdfast::rules(
        field<&Switch::why>().length(1, 500).printable().doc("For the log and whoever comes next."));
  }
};
HOLDFAST_DESCRIBE(Switch, (why))

DependencyStatus status_of(const std::string& name, const resilience::PipelineView& view,
                           const Clock& clock) {
  const auto at_wall = [now = clock.now(), wall = clock.wall_now()](Instant at) {
    return wall + std::chrono::duration_cast<std::chrono::microseconds>(at - now);
  };
  const resilience::BreakerView& breaker = view.breaker;
  const resilience::PipelineCounters& counters = view.counters;
  DependencyStatus status;
  status.name = name;
  status.state = breaker.state;
  status.reason = breaker.reason;
  status.since = at_wall(breaker.since);
  if (breaker.state == BreakerState::open) status.probes_at = at_wall(breaker.probes_at);
  status.probes_out = breaker.probes_out;
  status.in_flight = view.in_flight;
  status.queued = view.queued;
  status.retry_budget = view.retry_budget;
  status.usual_rate = view.usual_rate;
  status.recovery_rate = view.recovery_rate;
  status.recent = {breaker.calls, breaker.failures, breaker.slow, breaker.failure_rate(),
                   breaker.slow_call_rate()};
  status.total = {counters.calls,       counters.succeeded,  counters.answered,
                  counters.failed,      counters.cancelled,  counters.refused,
                  counters.attempts,    counters.retries,    counters.budget_exhausted,
                  breaker.opened_total, breaker.probes_total};
  for (std::size_t by = 0; by < view.refusals.size(); ++by) {
    if (view.refusals[by] == 0) continue;
    status.refusals[std::string(enum_name(static_cast<resilience::RefusedBy>(by)))] = view.refusals[by];
  }
  return status;
}

}  // namespace

observe::HealthState dependencies_health(const resilience::Dependencies& dependencies) {
  std::string away;
  for (const auto& [name, view] : dependencies.view()) {
    const BreakerState state = view.breaker.state;
    if (state != BreakerState::open && state != BreakerState::forced_open) continue;
    away += (away.empty() ? "" : ", ") + name + " is asked nothing (" + std::string(enum_name(state)) + ")";
  }
  if (away.empty()) return {};
  return {observe::Readiness::degraded, away + ": see GET /v1/ops/dependencies"};
}

void add_dependency_routes(http::Router& router, resilience::Dependencies& dependencies, const Clock& clock) {
  http::route(router, http::Method::get, "/v1/ops/dependencies",
              {.name = "listDependencies",
               .summary = "The services that this one asks: which are left in peace, and their numbers",
               .tags = {"operations"},
               .scope = "read"},
              [&dependencies, &clock](const Context&) {
                DependencyList list;
                for (const auto& [name, view] : dependencies.view()) {
                  list.items.push_back(status_of(name, view, clock));
                }
                return list;
              });
  using Action = void (resilience::Pipeline::*)(std::string_view);
  const auto add = [&](const std::string& verb, std::string summary, Action action) {
    http::route(router, http::Method::post, "/v1/ops/dependencies/{name}/" + verb,
                {.name = verb + "Dependency",
                 .summary = std::move(summary),
                 .tags = {"operations"},
                 .scope = "admin"},
                [&dependencies, &clock, action](const Context& ctx, http::Path<DependencyPath> path,
                                                http::Body<Switch> body) {
                  resilience::Pipeline& pipeline = dependencies.at(path->name);
                  const std::string& who = ctx.principal().subject;
                  (pipeline.*action)(body->why + (who.empty() ? "" : " (by " + who + ")"));
                  return status_of(pipeline.name(), pipeline.view(), clock);
                });
  };
  add("open", "Asks it nothing until it is reset", &resilience::Pipeline::open);
  add("close", "Asks it whatever happens, until it is reset", &resilience::Pipeline::close);
  add("reset", "Leaves it to the breaker again, which begins anew", &resilience::Pipeline::reset);
}

}  // namespace holdfast::orders
