// The rows behind the attempts: which subscribers have something due, taking deliveries for an attempt,
// and writing down how it went. A delivery is taken by raising its fence and putting off its next attempt
// by the lease: whoever dies with it leaves it to be taken again, and is refused if it wasn't dead.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "holdfast/webhooks/sender.hpp"
#include "holdfast/webhooks/signature.hpp"

namespace holdfast::webhooks {

/// An enabled subscriber that has something pending.
struct DueSubscriber {
  std::string id;
  std::string url;
  std::string secret;
  std::optional<std::string> previous_secret;
  std::optional<WallTime> previous_secret_until;
  std::int64_t consecutive_failures = 0;
  WallTime due{};  ///< of its first pending delivery

  bool failing() const noexcept { return consecutive_failures > 0; }
  /// What bodies are signed with: the secret, and the one before while they overlap.
  std::vector<StandardSecret> secrets(const SecretBox& box, WallTime now) const;
};
HOLDFAST_DESCRIBE(DueSubscriber,
                  (id, url, secret, previous_secret, previous_secret_until, consecutive_failures, due))

std::vector<DueSubscriber> due_subscribers(sql::Queries& db);

/// A delivery taken for one attempt.
struct Attempt {
  std::string id;
  std::string event_id;
  std::int64_t attempts = 0;  ///< counting this one
  std::int64_t fence = 0;
  std::string body;
};

/// Takes up to `most` of what is due, oldest first. Nothing where it was disabled meanwhile.
std::vector<Attempt> take(sql::Transaction& tx, const std::string& subscriber_id, WallTime now,
                          WallTime lease_until, std::size_t most);

/// How an attempt ended.
struct AttemptOutcome {
  std::optional<std::int64_t> status;  ///< of HTTP; none where there was no answer
  std::string error;                   ///< empty: it was delivered
  std::optional<Duration> retry_after;
  bool delivered() const noexcept { return error.empty(); }
  bool gone() const noexcept { return status == 410; }
};

/// What an attempt's record changed.
enum class Recorded : std::uint8_t {
  delivered,
  retried,   ///< will be attempted again
  failed,    ///< given up
  disabled,  ///< given up or put off, and its subscriber disabled
  refused,   ///< somebody else has taken it since
};

/// `retry_at` is when to try again, where it is tried again.
Recorded record(sql::Transaction& tx, const SenderOptions& options, const std::string& subscriber_id,
                const Attempt& attempt, const AttemptOutcome& outcome, WallTime now, WallTime retry_at);

/// Gives it back unattempted, or not known to have been.
void release(sql::Transaction& tx, const Attempt& attempt, WallTime now);

}  // namespace holdfast::webhooks
