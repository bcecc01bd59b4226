#include "holdfast/resilience/shedder.hpp"

#include <algorithm>

#include "holdfast/base/error.hpp"

namespace holdfast::resilience {

Shedder::Shedder(const SheddingOptions& options) : options_(options) {
  const bool shares = 0 < options.background_share && options.background_share <= options.normal_share &&
                      options.normal_share <= 1;
  if (!shares || options.interval <= Duration(0) ||
      options.queue_target.value_or(Duration(1)) <= Duration(0)) {
    throw Error(ErrorCode::invalid_argument,
                "Shedding needs 0 < background_share <= normal_share <= 1, and positive times.");
  }
}

std::uint32_t Shedder::places(Priority priority, std::uint32_t limit) const noexcept {
  const double share = priority == Priority::critical ? 1
                       : priority == Priority::normal ? options_.normal_share
                                                      : options_.background_share;
  return std::max<std::uint32_t>(1, static_cast<std::uint32_t>(share * limit));
}

void Shedder::observe(Instant now, const Ages& oldest) noexcept {
  if (!options_.queue_target) return;
  // Who must not wait any more, but does since before, says nothing about those who may.
  Duration age{0};
  for (std::size_t i = 0; i + level_ < kPriorities; ++i) age = std::max(age, oldest[i]);
  if (interval_ends_ == Instant::min()) interval_ends_ = now + options_.interval;
  if (now >= interval_ends_) {
    // The line has not changed since it was last told: its oldest had then the age of now, less the time
    // since.
    const auto missed = (now - interval_ends_) / options_.interval;
    const bool standing = std::min(least_age_, age) > *options_.queue_target;
    if (standing) {
      level_ = std::min<std::uint32_t>(level_ + 1, kPriorities - 1);
    } else {
      level_ -= static_cast<std::uint32_t>(std::min<std::int64_t>(level_, 1 + missed));
    }
    interval_ends_ = now + options_.interval;
    least_age_ = Duration::max();
    return;
  }
  least_age_ = std::min(least_age_, age);
}

}  // namespace holdfast::resilience
