// Rate limits that all processes keep together in Redis: one token bucket a client (GCRA), moved by one
// script on the server's clock. Local first: a process takes tokens for about `lease` at a time and spends
// them without asking, and a client that was refused is refused here until its time has come.
//
//   SharedRateLimits limits(client, {{.name = "default", .rate = {.requests = 600, .window = 1min}}},
//                           {.processes = 3}, clock, random, metrics);
//
// Bound: in any span t, no more than burst + t·requests/window + P·L pass, with P processes and
// L = leased(index) tokens, which a process may hold from before the span. Tokens that are not spent within
// 2·lease are lost, so a client may get that much less. With Redis away, each process applies 1/processes of
// each limit by itself (counted), beginning with its share of a burst: at most one more burst in all.
// Thread-safety: any fiber.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <vector>

#include "holdfast/observe/metrics.hpp"
#include "holdfast/redis/client.hpp"
#include "holdfast/resilience/coalesce.hpp"
#include "holdfast/resilience/rate_limiter.hpp"

namespace holdfast::redis {

struct SharedRateOptions {
  std::string prefix = "holdfast:";  ///< before every key: several users of a database
  Duration lease = std::chrono::milliseconds(100);
  std::uint32_t burst_share = 10;  ///< of a burst, at most one in so many tokens is leased at once
  std::uint32_t processes = 2;     ///< that serve the same clients: for the share of each when Redis is away
  Duration patience = std::chrono::milliseconds(100);  ///< for Redis; then it is as if it were away
  std::size_t max_keys = 65'536;  ///< clients with tokens or refusals here; forgetting one loses its tokens
};

class SharedRateLimits final : public resilience::RateLimits {
 public:
  /// All are borrowed. Token buckets only: Error(invalid_argument) for policies of other algorithms, and as
  /// RateLimiter. Counts holdfast_rate_limit_shared_total{outcome="local"|"asked"|"fallback"}.
  SharedRateLimits(Client& client, const std::vector<resilience::RatePolicy>& policies,
                   SharedRateOptions options, const Clock& clock, Random& random, observe::Metrics& metrics);
  ~SharedRateLimits() override;

  resilience::RateDecision try_acquire(const Context& ctx, std::size_t index, std::string_view key,
                                       std::uint64_t count = 1) noexcept override;

  std::size_t policy_count() const noexcept override { return policies_.size(); }
  const resilience::RatePolicy& policy(std::size_t index) const noexcept override { return policies_[index]; }
  std::uint64_t forgotten() const noexcept override { return forgotten_.load(std::memory_order_relaxed); }

  /// How many tokens of the policy at `index` a process takes at a time.
  std::uint64_t leased(std::size_t index) const noexcept { return leased_[index]; }

 private:
  struct Purse;
  struct Part;
  struct Answer;

  Part& part_of(const std::string& name) noexcept;
  Purse& purse_of(Part& part, const std::string& name, Instant now);
  std::optional<resilience::RateDecision> from_purse(std::size_t index, const std::string& name, Instant now,
                                                     std::uint64_t count);
  Answer ask(const Context& ctx, std::size_t index, const std::string& name, std::uint64_t count,
             std::uint64_t want);
  bool ask_for_all(const Context& ctx, std::size_t index, const std::string& name, std::uint64_t count);
  void put_in_purse(const std::string& name, const Answer& answer);
  resilience::RateDecision decide(const Context& ctx, std::size_t index, const std::string& name,
                                  std::uint64_t count);
  resilience::RateDecision by_own_share(std::size_t index, const std::string& name,
                                        std::uint64_t count) noexcept;

  Client& client_;
  const std::vector<resilience::RatePolicy> policies_;
  const SharedRateOptions options_;
  const Clock& clock_;
  resilience::RateLimiter fallback_;
  std::vector<double> interval_;  // microseconds in which one token comes
  std::vector<std::uint64_t> burst_;
  std::vector<std::uint64_t> leased_;
  static constexpr std::size_t kParts = 64;
  std::unique_ptr<std::array<Part, kParts>> parts_;
  resilience::Coalescer<bool> asking_;
  std::atomic<std::uint64_t> forgotten_{0};
  observe::Counter local_;
  observe::Counter asked_;
  observe::Counter fell_back_;
};

}  // namespace holdfast::redis
