#include "holdfast/saga/internal/desk.hpp"

#include "holdfast/base/fault.hpp"
#include "holdfast/runtime/process_mark.hpp"

namespace holdfast::saga::internal {

PlanMetrics::PlanMetrics(observe::Metrics& metrics, const detail::Plan& plan)
    : started(metrics.counter("holdfast_sagas_started_total", "Sagas started by this process.",
                              {{"definition", plan.name}})),
      completed(metrics.counter("holdfast_sagas_completed_total", "Sagas that did all their steps.",
                                {{"definition", plan.name}})),
      compensated(metrics.counter("holdfast_sagas_compensated_total", "Sagas that undid what they had done.",
                                  {{"definition", plan.name}})),
      parked(metrics.counter("holdfast_sagas_parked_total", "Times a saga was parked for a person.",
                             {{"definition", plan.name}})),
      seconds(metrics.histogram("holdfast_saga_seconds", "From a saga's start to its end.",
                                {{"definition", plan.name}})) {
  for (const detail::PlannedStep& step : plan.steps) {
    const std::string site = "saga." + plan.name + "." + step.name + ".";
    steps.push_back({.seconds = metrics.histogram("holdfast_saga_step_seconds",
                                                  "One attempt of a step or its compensation.",
                                                  {{"definition", plan.name}, {"step", step.name}}),
                     .failed = metrics.counter("holdfast_saga_attempts_failed_total",
                                               "Attempts of a step or its compensation that failed.",
                                               {{"definition", plan.name}, {"step", step.name}}),
                     .act = SiteNames(site),
                     .undo = SiteNames(site + "undo.")});
  }
}

Desk::Desk(runtime::Runtime& the_runtime, sql::Database& the_database, observe::Metrics& the_metrics,
           observe::Logger the_logger, SagaOptions the_options)
    : runtime(the_runtime),
      database(the_database),
      metrics(the_metrics),
      logger(std::move(the_logger)),
      options(std::move(the_options)),
      ids(the_runtime.clock(), the_runtime.random()),
      name(ids.make<Id<"wrk">>().text() + "." + runtime::process_mark()),
      roster(options.concurrency, cancellation.token()),
      alone(1, options.concurrency),
      fence_refused(metrics.counter("holdfast_saga_fence_refused_total",
                                    "Results refused because the saga had another worker by then.")),
      store_failures(metrics.counter("holdfast_saga_store_failures_total",
                                     "Results that could not be recorded at once; they are tried again.")),
      live(metrics.gauge("holdfast_saga_live", "Sagas that have not ended and are not parked.")),
      parked(metrics.gauge("holdfast_saga_parked", "Sagas that wait for a person.")),
      orphaned(metrics.gauge("holdfast_saga_orphaned",
                             "Sagas of a definition or version that this process does not know.")),
      oldest_seconds(metrics.gauge("holdfast_saga_oldest_seconds",
                                   "Age of the oldest saga that has not ended and is not parked.")),
      leases(metrics.gauge("holdfast_saga_leases", "Buckets of sagas that this process works on.")) {}

const Desk::Known* Desk::find(const std::string& definition, int version) const {
  const auto found = plans.find({definition, version});
  return found == plans.end() ? nullptr : &found->second;
}

FindPlan Desk::finder() const {
  return [this](const std::string& definition, int version) -> std::shared_ptr<const detail::Plan> {
    const Known* known = find(definition, version);
    return known == nullptr ? nullptr : known->plan;
  };
}

const PlanMetrics& Desk::metrics_of(const detail::Plan& plan) const { return *metrics_by_plan.at(&plan); }

void Desk::pass(const std::string& site) {
  HOLDFAST_FAULT(site.c_str());
  if (!options.at_site) return;
  if (abandoned) throw Died();
  try {
    options.at_site(site);
  } catch (...) {
    die();
    throw Died();
  }
}

void Desk::die() noexcept {
  abandoned = true;
  stopping = true;
  running = false;
  cancellation.cancel();
  wake_all();
}

void Desk::wake_all() noexcept {
  look.notify();
  woken.notify();
  membership.notify();
}

void Desk::leave(const std::string& id, int bucket, std::int64_t fence) {
  const auto left = roster.leave(id, bucket, fence);
  if (left.woken) woken.notify();
  if (left.room) look.notify();
}

void Desk::note_due(WallTime at) {
  if (at.time_since_epoch().count() < next_look) look.notify();
}

void Desk::set_census(const Census& census) {
  live.set(census.running);
  parked.set(census.parked);
  orphaned.set(census.orphaned);
  oldest_seconds.set(
      census.oldest ? std::chrono::duration_cast<std::chrono::seconds>(wall_now() - *census.oldest).count()
                    : 0);
  leases.set(roster.held_count());
  const std::lock_guard lock(census_mutex_);
  census_ = census;
}

observe::HealthState Desk::health() const {
  const std::lock_guard lock(census_mutex_);
  if (census_.orphaned > 0)
    return {observe::Readiness::degraded,
            std::to_string(census_.orphaned) + " sagas wait for a release that knows " + census_.orphan};
  if (census_.parked > 0)
    return {observe::Readiness::degraded,
            std::to_string(census_.parked) + " sagas are parked: see `holdfast sagas list --status parked`"};
  return {};
}

}  // namespace holdfast::saga::internal
