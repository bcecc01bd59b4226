#include "holdfast/resilience/fixed_window.hpp"

#include <algorithm>
#include <chrono>

#include "holdfast/base/error.hpp"

namespace holdfast::resilience {

FixedWindowRate::FixedWindowRate(const RateOptions& options) : options_(options) {
  if (options.requests == 0 || options.requests > kMostRequests ||
      options.window < std::chrono::milliseconds(1) || options.burst) {
    throw Error(ErrorCode::invalid_argument,
                "A fixed window passes 1 to 4294967295 requests in a millisecond or more, and has no burst.")
        .reason("invalid_rate");
  }
}

FixedWindowRate::Counted FixedWindowRate::read(std::int64_t state, std::int64_t present) const noexcept {
  const auto bits = static_cast<std::uint64_t>(state);
  // 32 bits of the number are kept. Their signed distance tells past from future; 2^31 windows of idleness
  // (24 days, of the shortest) could be mistaken, once and harmlessly, for the present one.
  const auto ahead = static_cast<std::int32_t>(static_cast<std::uint32_t>(bits >> 32U) -
                                               static_cast<std::uint32_t>(present));
  if (ahead < 0) return {.window = present, .taken = 0};
  return {.window = present + ahead, .taken = bits & 0xFFFF'FFFFU};
}

RateDecision FixedWindowRate::try_acquire(State& state, Instant now, std::uint64_t count) const noexcept {
  const std::int64_t at = now.time_since_epoch().count();
  const std::int64_t width = options_.window.count();
  const std::int64_t present = at / width;
  std::int64_t seen = state.load(std::memory_order_relaxed);
  while (true) {
    const Counted counted = read(seen, present);
    const Duration over_in((counted.window + 1) * width - at);
    const std::uint64_t left = options_.requests - std::min(options_.requests, counted.taken);
    const bool allowed = count <= left;
    RateDecision decision{.allowed = allowed,
                          .remaining = allowed ? left - count : left,
                          .retry_after = Duration(0),
                          .full_after = counted.taken + (allowed ? count : 0) == 0 ? Duration(0) : over_in};
    if (!allowed) decision.retry_after = count > options_.requests ? RateDecision::kNeverPasses : over_in;
    if (!allowed || count == 0) return decision;
    const auto then = static_cast<std::int64_t>(static_cast<std::uint64_t>(counted.window) << 32U |
                                                (counted.taken + count));
    // Only this number is shared, nothing is published by it: relaxed suffices.
    if (state.compare_exchange_weak(seen, then, std::memory_order_relaxed)) return decision;
  }
}

std::int64_t FixedWindowRate::full_at(std::int64_t state, Instant now) const noexcept {
  const std::int64_t width = options_.window.count();
  const Counted counted = read(state, now.time_since_epoch().count() / width);
  return counted.taken == 0 ? kFull : (counted.window + 1) * width;
}

}  // namespace holdfast::resilience
