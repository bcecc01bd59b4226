#include "orders/modules/payments/meters.hpp"

namespace holdfast::orders::payments {

Payments::Meters::Meters(observe::Metrics& metrics)
    : contradictions(metrics.counter("holdfast_payments_contradictions_total",
                                     "Answers of the provider's that contradict what was known.")),
      unknown(metrics.gauge("holdfast_payments_unknown", "Payments whose outcome is not known.")),
      oldest_unknown_seconds(
          metrics.gauge("holdfast_payments_oldest_unknown_seconds", "For how long the oldest has been so.")),
      metrics_(metrics) {
  for (const Operation operation :
       {Operation::authorize, Operation::capture, Operation::release, Operation::refund, Operation::ask}) {
    seconds_.emplace(operation, metrics.histogram("holdfast_payments_provider_seconds",
                                                  "Time a call to the provider took, repetitions included.",
                                                  {{"operation", std::string(enum_name(operation))}}));
  }
  for (const EventOutcome outcome :
       {EventOutcome::applied, EventOutcome::stale, EventOutcome::asked, EventOutcome::released,
        EventOutcome::duplicate, EventOutcome::unknown_payment}) {
    events_.emplace(outcome, metrics.counter("holdfast_payments_events_total",
                                             "Messages of the provider's about payments.",
                                             {{"outcome", std::string(enum_name(outcome))}}));
  }
}

void Payments::Meters::count(Operation operation, std::string_view result, Duration took) {
  seconds_.at(operation).observe(took);
  // Labels of two small enumerations: a lock and a look-up, for what has just waited for a network.
  metrics_
      .counter("holdfast_payments_operations_total", "Calls to the provider, by what came of them.",
               {{"operation", std::string(enum_name(operation))}, {"outcome", std::string(result)}})
      .add();
}

}  // namespace holdfast::orders::payments
