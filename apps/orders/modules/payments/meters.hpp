// What Payments counts. (The module's own.)
#pragma once

#include <map>

#include "orders/modules/payments/payments.hpp"

namespace holdfast::orders::payments {

struct Payments::Meters {
  explicit Meters(observe::Metrics& metrics);

  /// `result` is a ProviderStatus, a ProviderFault or "withdrawn".
  void count(Operation operation, std::string_view result, Duration took);
  void count(EventOutcome outcome) { events_.at(outcome).add(); }

  observe::Counter contradictions;
  observe::Gauge unknown;
  observe::Gauge oldest_unknown_seconds;

 private:
  observe::Metrics& metrics_;
  std::map<Operation, observe::Histogram> seconds_;
  std::map<EventOutcome, observe::Counter> events_;
};

}  // namespace holdfast::orders::payments
