#include "holdfast/resilience/sliding_counter.hpp"

#include <algorithm>
#include <chrono>

#include "holdfast/base/error.hpp"

namespace holdfast::resilience {
namespace {

__extension__ using Wide = __int128;  // a count × nanoseconds of a year: 75 bits

constexpr unsigned kCountBits = 20;
constexpr unsigned kWindowBits = 24;
constexpr std::uint64_t kCountMask = (std::uint64_t{1} << kCountBits) - 1;

/// ceil(left − room × width / weight): after how long so much of `weight` has slid out.
std::int64_t until_room(std::int64_t left, std::uint64_t room, std::int64_t width,
                        std::uint64_t weight) noexcept {
  return static_cast<std::int64_t>(left - Wide(room) * width / weight);
}

}  // namespace

SlidingCounterRate::SlidingCounterRate(const RateOptions& options) : options_(options) {
  if (options.requests == 0 || options.requests > kMostRequests || options.window < std::chrono::seconds(1) ||
      options.window > std::chrono::hours(24 * 366) || options.burst) {
    throw Error(ErrorCode::invalid_argument,
                "A sliding counter passes 1 to 1048575 requests in a second to a year, and has no burst.")
        .reason("invalid_rate");
  }
}

SlidingCounterRate::Counted SlidingCounterRate::read(std::int64_t state,
                                                     std::int64_t present) const noexcept {
  const auto bits = static_cast<std::uint64_t>(state);
  const std::uint64_t last = bits >> kCountBits & kCountMask;
  const std::uint64_t taken = bits & kCountMask;
  // The signed distance of the kept bits tells past from future; 2^23 windows of idleness (97 days, of the
  // shortest) could be mistaken, once and harmlessly, for the present one.
  constexpr std::uint64_t kSpan = std::uint64_t{1} << kWindowBits;
  const std::uint64_t distance =
      ((bits >> (2 * kCountBits)) - static_cast<std::uint64_t>(present)) & (kSpan - 1);
  if (distance < kSpan / 2) {
    return {.window = present + static_cast<std::int64_t>(distance), .last = last, .taken = taken};
  }
  return {.window = present, .last = distance == kSpan - 1 ? taken : 0, .taken = 0};
}

Duration SlidingCounterRate::retry_after(const Counted& counted, std::int64_t left,
                                         std::uint64_t count) const noexcept {
  if (count > options_.requests) return RateDecision::kNeverPasses;
  const std::int64_t width = options_.window.count();
  if (counted.taken + count < options_.requests && counted.last > 0) {
    const std::int64_t wait =
        until_room(left, options_.requests - counted.taken - count, width, counted.last);
    if (wait < left) return Duration(wait);
  }
  const std::uint64_t room = options_.requests - count;  // of the next window, whose last is this one
  if (room >= counted.taken) return Duration(left);
  return Duration(left + until_room(width, room, width, counted.taken));
}

RateDecision SlidingCounterRate::try_acquire(State& state, Instant now, std::uint64_t count) const noexcept {
  const std::int64_t at = now.time_since_epoch().count();
  const std::int64_t width = options_.window.count();
  const std::int64_t present = at / width;
  std::int64_t seen = state.load(std::memory_order_relaxed);
  while (true) {
    const Counted counted = read(seen, present);
    const std::int64_t to_end = (counted.window + 1) * width - at;
    const std::int64_t left = std::min(to_end, width);  // of the last window, how much still overlaps
    const Wide room =
        Wide(options_.requests) * width - Wide(counted.last) * left - Wide(counted.taken) * width;
    const bool allowed = count <= options_.requests && Wide(count) * width <= room;
    const Wide room_then = std::max<Wide>(0, allowed ? room - Wide(count) * width : room);
    const std::uint64_t taken_then = counted.taken + (allowed ? count : 0);
    const RateDecision decision{
        .allowed = allowed,
        .remaining = static_cast<std::uint64_t>(room_then / width),
        .retry_after = allowed ? Duration(0) : retry_after(counted, to_end, count),
        .full_after = taken_then > 0 ? Duration(to_end + width) : Duration(counted.last > 0 ? to_end : 0)};
    if (!allowed || count == 0) return decision;
    const std::uint64_t then = static_cast<std::uint64_t>(counted.window) << (2 * kCountBits) |
                               counted.last << kCountBits | taken_then;
    // Only this number is shared, nothing is published by it: relaxed suffices.
    if (state.compare_exchange_weak(seen, static_cast<std::int64_t>(then), std::memory_order_relaxed))
      return decision;
  }
}

std::int64_t SlidingCounterRate::full_at(std::int64_t state, Instant now) const noexcept {
  const std::int64_t width = options_.window.count();
  const Counted counted = read(state, now.time_since_epoch().count() / width);
  if (counted.taken > 0) return (counted.window + 2) * width;
  return counted.last > 0 ? (counted.window + 1) * width : kFull;
}

}  // namespace holdfast::resilience
