#include "holdfast/resilience/outcome.hpp"

#include <string>

namespace holdfast::resilience {

namespace {

const char* sentence(RefusedBy by) noexcept {
  switch (by) {
    case RefusedBy::breaker_open: return " has failed too often and is left in peace for a while.";
    case RefusedBy::breaker_half_open:
      return " is being tried out after failing; it is not known to be back.";
    case RefusedBy::breaker_forced_open: return " was switched off by an operator.";
    case RefusedBy::bulkhead_full: return " is busy: as many calls as it may have are on their way.";
    case RefusedBy::bulkhead_wait_over: return " is busy: the call's time in line is over.";
    case RefusedBy::recovering: return " is back from an outage and gets its calls back little by little.";
    case RefusedBy::rate_limit_reached: return " has been asked as often as it may be for now.";
  }
  return " can't be asked now.";
}

}  // namespace

Error to_error(const Refusal& refusal, std::string_view dependency) {
  return Error(ErrorCode::unavailable, std::string(dependency) + sentence(refusal.by))
      .reason(std::string(enum_name(refusal.by)))
      .retry_after(refusal.retry_after);
}

}  // namespace holdfast::resilience
