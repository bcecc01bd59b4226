#include "holdfast/resilience/sliding_log.hpp"

#include <algorithm>

#include "holdfast/base/error.hpp"

namespace holdfast::resilience {

SlidingLog::SlidingLog(const RateOptions& options) : options_(options) {
  if (options.requests == 0 || options.requests > kMostRequests || options.window <= Duration(0) ||
      options.burst) {
    throw Error(ErrorCode::invalid_argument,
                "A sliding log passes 1 to 1048576 requests in a window longer than zero, and has no burst.")
        .reason("invalid_rate");
  }
  taken_.resize(options.requests);
}

Instant SlidingLog::nth(std::size_t n) const noexcept { return taken_[(first_ + n) % taken_.size()]; }

RateDecision SlidingLog::try_acquire(Instant now, std::uint64_t count) noexcept {
  if (size_ > 0) now = std::max(now, nth(size_ - 1));
  while (size_ > 0 && now - nth(0) >= options_.window) {
    first_ = (first_ + 1) % taken_.size();
    --size_;
  }
  const bool allowed = count <= taken_.size() - size_;
  RateDecision decision{.allowed = allowed};
  if (allowed) {
    for (std::uint64_t i = 0; i < count; ++i) taken_[(first_ + size_++) % taken_.size()] = now;
  } else if (count > taken_.size()) {
    decision.retry_after = RateDecision::kNeverPasses;
  } else {
    const std::size_t must_leave = count - (taken_.size() - size_);
    decision.retry_after = nth(must_leave - 1) + options_.window - now;
  }
  decision.remaining = taken_.size() - size_;
  decision.full_after = size_ == 0 ? Duration(0) : nth(size_ - 1) + options_.window - now;
  return decision;
}

}  // namespace holdfast::resilience
