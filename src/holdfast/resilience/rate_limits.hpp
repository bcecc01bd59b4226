// RateLimits: the port to limits on how often each client may ask, whoever keeps them: this process
// (RateLimiter) or all of them together (redis::SharedRateLimits).
//
//   const RateDecision decision = limits.try_acquire(ctx, 0, principal.subject);
//   if (!decision.allowed) return refuse(decision.retry_after);
//
// Thread-safety: any fiber.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "holdfast/base/describe.hpp"
#include "holdfast/resilience/token_bucket.hpp"
#include "holdfast/runtime/context.hpp"

namespace holdfast::resilience {

/// How a policy counts; docs/resilience.md compares them. What keeps more than one number a client
/// (sliding_log.hpp) is not among them.
enum class RateAlgorithm : std::uint8_t { token_bucket, fixed_window, sliding_counter };
HOLDFAST_DESCRIBE_ENUM(RateAlgorithm, token_bucket, fixed_window, sliding_counter)

struct RatePolicy {
  std::string name = "default";  ///< in headers and metrics: letters, digits, '-', '_', '.'
  RateOptions rate;              ///< `burst` is the token bucket's alone
  RateAlgorithm algorithm = RateAlgorithm::token_bucket;
};

class RateLimits {
 public:
  virtual ~RateLimits() = default;

  /// Takes `count` of what `key` may have under the policy at `index` (which must exist), all or none; 0 only
  /// looks. May wait, for no longer than a round trip is worth; decides in any case, and throws nothing.
  virtual RateDecision try_acquire(const Context& ctx, std::size_t index, std::string_view key,
                                   std::uint64_t count = 1) noexcept = 0;

  virtual std::size_t policy_count() const noexcept = 0;
  virtual const RatePolicy& policy(std::size_t index) const noexcept = 0;
  /// Busy clients that were forgotten for want of a place.
  virtual std::uint64_t forgotten() const noexcept = 0;
};

}  // namespace holdfast::resilience
