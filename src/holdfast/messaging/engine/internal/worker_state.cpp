#include "holdfast/messaging/engine/internal/worker_state.hpp"

#include <utility>

#include "holdfast/runtime/process_mark.hpp"

namespace holdfast::messaging::engine {

WorkerState::WorkerState(runtime::Runtime& the_runtime, sql::Database& the_database, Source& the_source,
                         observe::Metrics& the_metrics, observe::Logger the_logger, BrokerOptions the_options)
    : runtime(the_runtime),
      database(the_database),
      source(the_source),
      metrics(the_metrics),
      logger(std::move(the_logger)),
      options(the_options),
      ids(the_runtime.clock(), the_runtime.random()),
      name(ids.make<Id<"wrk">>().text() + "." + runtime::process_mark()) {}

GroupMetrics::GroupMetrics(observe::Metrics& metrics, const std::string& group)
    : handled(metrics.counter("holdfast_messaging_handled_total", "Messages handled, effects recorded.",
                              {{"group", group}})),
      duplicates(metrics.counter("holdfast_messaging_duplicates_total",
                                 "Messages that the inbox knew already; they had no second effect.",
                                 {{"group", group}})),
      failed(metrics.counter("holdfast_messaging_failed_total", "Attempts whose handler threw.",
                             {{"group", group}})),
      retries(metrics.counter("holdfast_messaging_retries_total", "Failed messages given another attempt.",
                              {{"group", group}})),
      dead(metrics.counter("holdfast_messaging_dead_total", "Messages that became dead letters.",
                           {{"group", group}})),
      fence_refused(metrics.counter("holdfast_messaging_fence_refused_total",
                                    "Completions refused because the bucket had another owner by then.",
                                    {{"group", group}})),
      store_failures(metrics.counter("holdfast_messaging_store_failures_total",
                                     "Progress that could not be recorded at once; it is tried again.",
                                     {{"group", group}})),
      leases(metrics.gauge("holdfast_messaging_leases", "Buckets this process holds.", {{"group", group}})),
      lag(metrics.gauge("holdfast_messaging_lag_positions",
                        "Positions between the end of the log and the slowest bucket of this process.",
                        {{"group", group}})),
      oldest_seconds(metrics.gauge("holdfast_messaging_oldest_seconds",
                                   "Age of the oldest message waiting in this process.", {{"group", group}})),
      parked(metrics.gauge("holdfast_messaging_parked",
                           "Messages waiting for another attempt, in this process.", {{"group", group}})),
      delivery(metrics.histogram("holdfast_messaging_delivery_seconds",
                                 "From publication to the start of the first attempt.", {{"group", group}},
                                 observe::fast_latency_buckets())) {}

}  // namespace holdfast::messaging::engine
