#include "holdfast/resilience/fallback.hpp"

#include <array>

namespace holdfast::resilience {
namespace {

constexpr std::array kAgeBuckets{1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 21'600.0, 86'400.0};

}  // namespace

bool may_fall_back(ErrorCode code) noexcept {
  return code == ErrorCode::unavailable || code == ErrorCode::rate_limited || code == ErrorCode::internal ||
         code == ErrorCode::deadline_exceeded;
}

FallbackCounters fallback_counters(const std::string& name, observe::Metrics& metrics) {
  const auto counter = [&](const char* outcome) {
    return metrics.counter("holdfast_fallback_total",
                           "Answers by where they came from: fresh, stale (the last good one), or failed.",
                           {{"fallback", name}, {"outcome", outcome}});
  };
  return {.fresh = counter("fresh"),
          .stale = counter("stale"),
          .failed = counter("failed"),
          .evicted = metrics.counter("holdfast_fallback_evicted_total",
                                     "Last good values dropped for want of room.", {{"fallback", name}}),
          .age_seconds = metrics.histogram("holdfast_fallback_age_seconds", "Age of the stale answers given.",
                                           {{"fallback", name}}, kAgeBuckets)};
}

}  // namespace holdfast::resilience
