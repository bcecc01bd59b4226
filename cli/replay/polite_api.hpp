// An Api that tries again politely: what the server asked to wait, or a backoff with jitter if that is
// longer, and not for ever. Only for requests that may be repeated: reads, and writes with a key.
//
//   PoliteApi api(http, random, {.patience = 2min});
//   const ApiAnswer answer = api.call(ctx, {.target = "/v1/orders"});   // 200, or a refusal for good
//
// Thread-safety: one loop.
#pragma once

#include <cstdint>
#include <functional>

#include "cli/replay/api.hpp"
#include "holdfast/base/random.hpp"
#include "holdfast/resilience/backoff.hpp"

namespace holdfast::cli {

struct RetryPolicy {
  Duration patience = std::chrono::minutes(2);  ///< from a request's first attempt to its last
  Duration attempt_timeout = std::chrono::seconds(30);
  Duration longest_retry_after = std::chrono::seconds(60);  ///< a longer wish counts as this
  resilience::BackoffOptions backoff = {.base = std::chrono::milliseconds(100),
                                        .cap = std::chrono::seconds(5)};
};

/// Whether the same request may get another answer later: 408, 425, 429, 5xx, and 409 with Retry-After
/// (the same key is being worked on).
bool worth_retrying(const ApiAnswer& answer) noexcept;

/// The waits of one request: a pure state machine that is told the time.
class RetrySchedule {
 public:
  RetrySchedule(const RetryPolicy& policy, Instant first_attempt) noexcept
      : policy_(policy), give_up_at_(first_attempt + policy.patience), backoff_(policy.backoff) {}

  /// How long to wait before the next attempt; nothing when patience would end before it.
  std::optional<Duration> next(Instant now, std::optional<Duration> retry_after, Random& random) noexcept;

 private:
  RetryPolicy policy_;
  Instant give_up_at_;
  resilience::Backoff backoff_;
};

class PoliteApi final : public Api {
 public:
  /// `inner` and `random` are borrowed. Once `stopping` says so no attempt is begun any more, and a wait
  /// for one ends, with Error(cancelled); the attempt that runs is finished.
  PoliteApi(Api& inner, Random& random, RetryPolicy policy, std::function<bool()> stopping = nullptr);

  /// The last answer where patience ended with one; throws the last failure where there was none.
  ApiAnswer call(const Context& ctx, const ApiRequest& request) override;

  std::uint64_t retries() const noexcept { return retries_; }

 private:
  void throw_if_stopping() const;
  void wait(const Context& ctx, Duration duration);

  Api& inner_;
  Random& random_;
  RetryPolicy policy_;
  std::function<bool()> stopping_;
  std::uint64_t retries_ = 0;
};

}  // namespace holdfast::cli
