// A rate limit for each client (an API key, an address, any string), of one of several named policies.
// Holds a bounded number of clients and allocates nothing after it is made.
//
//   RateLimiter limiter({{.name = "default", .rate = {.requests = 100, .window = 1min}}}, {}, random);
//   const RateDecision decision = limiter.try_acquire(0, principal.subject, ctx.now());
//   for (const auto& [name, value] : rate_limit_headers(limiter.policy(0), decision)) response.set(name,
//   value);
//
// A limit that has become full again says nothing, so dropping it loses nothing: those go first. Only
// when all of a client's eight places hold busy clients is the least busy one forgotten, and counted.
// Clients are told apart by a keyed 64-bit hash (SipHash-2-4): nobody can aim at another's place.
// Thread-safety: any thread.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "holdfast/base/random.hpp"
#include "holdfast/resilience/fixed_window.hpp"
#include "holdfast/resilience/rate_limits.hpp"
#include "holdfast/resilience/siphash.hpp"
#include "holdfast/resilience/sliding_counter.hpp"
#include "holdfast/resilience/token_bucket.hpp"

namespace holdfast::resilience {

struct RateLimiterOptions {
  std::size_t max_keys = 65'536;  ///< clients remembered, 16 bytes each; rounded up to a power of two
};

class RateLimiter final : public RateLimits {
 public:
  static constexpr std::size_t kMostPolicies = 64;

  /// Throws Error(invalid_argument) without policies or with too many, for a name taken twice, or as
  /// TokenRate, FixedWindowRate and SlidingCounterRate do.
  RateLimiter(std::vector<RatePolicy> policies, RateLimiterOptions options, Random& random);
  ~RateLimiter() override;
  RateLimiter(const RateLimiter&) = delete;
  RateLimiter& operator=(const RateLimiter&) = delete;

  /// Takes `count` of what `key` may have under the policy at `index` (as given; must exist).
  RateDecision try_acquire(std::size_t index, std::string_view key, Instant now,
                           std::uint64_t count = 1) noexcept;
  /// The same, at ctx.now(). Never waits.
  RateDecision try_acquire(const Context& ctx, std::size_t index, std::string_view key,
                           std::uint64_t count = 1) noexcept override {
    return try_acquire(index, key, ctx.now(), count);
  }

  std::size_t policy_count() const noexcept override { return policies_.size(); }
  const RatePolicy& policy(std::size_t index) const noexcept override { return policies_[index]; }
  std::optional<std::size_t> find_policy(std::string_view name) const noexcept;

  /// Busy clients that were forgotten for want of a place; if this grows, raise max_keys.
  std::uint64_t forgotten() const noexcept override { return forgotten_.load(std::memory_order_relaxed); }
  std::size_t max_keys() const noexcept { return sets_count_ * kWays; }

 private:
  static constexpr std::size_t kWays = 8;
  static constexpr std::size_t kLocks = 64;
  struct Set;

  using Rate = std::variant<TokenRate, FixedWindowRate, SlidingCounterRate>;

  std::uint64_t hash(std::size_t policy, std::string_view key) const noexcept;
  std::int64_t full_at(std::uint64_t hashed, std::int64_t state, Instant now) const noexcept;

  std::vector<RatePolicy> policies_;
  std::vector<Rate> rates_;
  std::size_t sets_count_;
  std::unique_ptr<Set[]> sets_;
  std::array<std::mutex, kLocks> locks_;
  SipKey secret_;
  std::atomic<std::uint64_t> forgotten_{0};
};

/// What a client is told with each answer, ready to be set: RateLimit and RateLimit-Policy
/// (draft-ietf-httpapi-ratelimit-headers-10), X-RateLimit-Limit/-Remaining/-Reset (seconds from now),
/// and Retry-After where it was refused.
std::vector<std::pair<std::string_view, std::string>> rate_limit_headers(const RatePolicy& policy,
                                                                         const RateDecision& decision);

/// Whole seconds for Retry-After: rounded up, at least 1.
std::uint64_t retry_after_seconds(Duration wait) noexcept;

}  // namespace holdfast::resilience
