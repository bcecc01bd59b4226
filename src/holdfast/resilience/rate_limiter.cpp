#include "holdfast/resilience/rate_limiter.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <span>
#include <type_traits>

#include "holdfast/base/error.hpp"

namespace holdfast::resilience {

namespace {

std::uint64_t whole_seconds(Duration span) noexcept {
  const auto nanoseconds = static_cast<std::uint64_t>(std::max<std::int64_t>(0, span.count()));
  return nanoseconds / 1'000'000'000 + (nanoseconds % 1'000'000'000 != 0 ? 1 : 0);
}

bool fit_for_a_header(std::string_view name) noexcept {
  return !name.empty() && name.size() <= 64 && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  });
}

constexpr unsigned kHashBits = 58;  // the bits above name the policy, by which a state is read
static_assert(RateLimiter::kMostPolicies == std::size_t{1} << (64 - kHashBits));

using State = std::atomic<std::int64_t>;
static_assert(std::is_same_v<State, TokenRate::State> && std::is_same_v<State, FixedWindowRate::State> &&
              std::is_same_v<State, SlidingCounterRate::State>);

}  // namespace

/// One cache line of hashes, one of states. Hash 0 is an empty place.
struct alignas(64) RateLimiter::Set {
  std::array<std::uint64_t, kWays> keys{};
  std::array<State, kWays> states{};
};

RateLimiter::RateLimiter(std::vector<RatePolicy> policies, RateLimiterOptions options, Random& random)
    : policies_(std::move(policies)) {
  if (policies_.empty() || policies_.size() > kMostPolicies)
    throw Error(ErrorCode::invalid_argument, "A rate limiter needs 1 to 64 policies.");
  for (const RatePolicy& policy : policies_) {
    if (!fit_for_a_header(policy.name)) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("The rate limit policy \"{}\" must be named by 1 to 64 of [A-Za-z0-9._-].",
                              policy.name));
    }
    if (std::ranges::count(policies_, policy.name, &RatePolicy::name) > 1) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("Two rate limit policies are called \"{}\".", policy.name));
    }
    switch (policy.algorithm) {
      case RateAlgorithm::token_bucket: rates_.emplace_back(TokenRate(policy.rate)); break;
      case RateAlgorithm::fixed_window: rates_.emplace_back(FixedWindowRate(policy.rate)); break;
      case RateAlgorithm::sliding_counter: rates_.emplace_back(SlidingCounterRate(policy.rate)); break;
    }
  }
  sets_count_ = std::bit_ceil(std::max<std::size_t>(1, (options.max_keys + kWays - 1) / kWays));
  sets_ = std::make_unique<Set[]>(sets_count_);
  random.fill_secret(std::as_writable_bytes(std::span(&secret_, 1)));
}

RateLimiter::~RateLimiter() = default;

std::uint64_t RateLimiter::hash(std::size_t policy, std::string_view key) const noexcept {
  // A secret a policy, so that one client has a bucket in each.
  const std::uint64_t value = siphash({.low = secret_.low ^ policy, .high = secret_.high}, key);
  const std::uint64_t kept = value & ((std::uint64_t{1} << kHashBits) - 1);
  return std::uint64_t{policy} << kHashBits | (kept == 0 ? 1 : kept);
}

std::int64_t RateLimiter::full_at(std::uint64_t hashed, std::int64_t state, Instant now) const noexcept {
  return std::visit(
      [&](const auto& rate) {
        if constexpr (std::is_same_v<std::decay_t<decltype(rate)>, TokenRate>)
          return state;
        else
          return rate.full_at(state, now);
      },
      rates_[hashed >> kHashBits]);
}

RateDecision RateLimiter::try_acquire(std::size_t index, std::string_view key, Instant now,
                                      std::uint64_t count) noexcept {
  const std::uint64_t hashed = hash(index, key);
  const std::size_t place = hashed & (sets_count_ - 1);
  Set& set = sets_[place];
  const std::lock_guard lock(locks_[place % kLocks]);
  std::size_t way = 0;
  while (way < kWays && set.keys[way] != hashed) ++way;
  if (way == kWays) {
    way = 0;
    std::int64_t earliest = kNever.time_since_epoch().count();  // at which a client's limit is full again
    for (std::size_t other = 0; other < kWays; ++other) {
      if (set.keys[other] == 0) {
        way = other;
        earliest = 0;
        break;
      }
      const std::int64_t full =
          full_at(set.keys[other], set.states[other].load(std::memory_order_relaxed), now);
      if (full < earliest) {
        way = other;
        earliest = full;
      }
    }
    const bool busy = earliest > now.time_since_epoch().count();
    if (busy) forgotten_.fetch_add(1, std::memory_order_relaxed);
    set.keys[way] = hashed;
    set.states[way].store(std::visit([](const auto& rate) { return rate.kFull; }, rates_[index]),
                          std::memory_order_relaxed);
  }
  return std::visit([&](const auto& rate) { return rate.try_acquire(set.states[way], now, count); },
                    rates_[index]);
}

std::optional<std::size_t> RateLimiter::find_policy(std::string_view name) const noexcept {
  const auto found = std::ranges::find(policies_, name, &RatePolicy::name);
  if (found == policies_.end()) return std::nullopt;
  return static_cast<std::size_t>(found - policies_.begin());
}

std::uint64_t retry_after_seconds(Duration wait) noexcept {
  return std::max<std::uint64_t>(1, whole_seconds(wait));
}

std::vector<std::pair<std::string_view, std::string>> rate_limit_headers(const RatePolicy& policy,
                                                                         const RateDecision& decision) {
  const std::uint64_t full_in = whole_seconds(decision.full_after);
  std::vector<std::pair<std::string_view, std::string>> headers;
  headers.reserve(6);
  headers.emplace_back("RateLimit",
                       fmt::format("\"{}\";r={};t={}", policy.name, decision.remaining, full_in));
  headers.emplace_back("RateLimit-Policy", fmt::format("\"{}\";q={};w={}", policy.name, policy.rate.requests,
                                                       whole_seconds(policy.rate.window)));
  headers.emplace_back("X-RateLimit-Limit", std::to_string(policy.rate.burst.value_or(policy.rate.requests)));
  headers.emplace_back("X-RateLimit-Remaining", std::to_string(decision.remaining));
  headers.emplace_back("X-RateLimit-Reset", std::to_string(full_in));
  if (!decision.allowed && decision.retry_after != RateDecision::kNeverPasses) {
    headers.emplace_back("Retry-After", std::to_string(retry_after_seconds(decision.retry_after)));
  }
  return headers;
}

}  // namespace holdfast::resilience
