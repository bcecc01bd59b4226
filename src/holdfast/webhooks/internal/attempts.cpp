#include "holdfast/webhooks/internal/attempts.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

#include "holdfast/base/error.hpp"
#include "holdfast/base/utf8.hpp"

namespace holdfast::webhooks {
namespace {

constexpr std::size_t kMaxErrorBytes = 500;

WallTime earlier(WallTime now, Duration by) { return now - std::chrono::ceil<std::chrono::microseconds>(by); }

void disable(sql::Transaction& tx, const std::string& subscriber_id, std::string_view reason, WallTime now) {
  tx.execute(
      "update webhook_subscribers set status = 'disabled', disabled_reason = $2, disabled_at = $3 "
      "where id = $1 and status = 'enabled'",
      subscriber_id, reason, now);
}

/// Writes the failure down with its subscriber; whether it has failed for so long that it is disabled.
bool count_failure(sql::Transaction& tx, const SenderOptions& options, const std::string& subscriber_id,
                   bool gone, WallTime now) {
  tx.execute(
      "update webhook_subscribers set consecutive_failures = consecutive_failures + 1, "
      "failing_since = coalesce(failing_since, $2) where id = $1",
      subscriber_id, now);
  if (gone) {
    disable(tx, subscriber_id, "gone", now);
    return true;
  }
  const bool failing_for_long =
      tx.query_value<std::int64_t>(
          "select count(*) from webhook_subscribers where id = $1 and status = 'enabled' and "
          "consecutive_failures >= $2 and failing_since <= $3",
          subscriber_id, options.disable_failures, earlier(now, options.disable_after)) > 0;
  if (failing_for_long) disable(tx, subscriber_id, "failing", now);
  return failing_for_long;
}

}  // namespace

std::vector<StandardSecret> DueSubscriber::secrets(const SecretBox& box, WallTime now) const {
  std::vector<StandardSecret> all;
  const auto add = [&](const std::string& stored) {
    const auto text = box.open(id, stored);
    if (!text) return;
    if (auto parsed = StandardSecret::parse(*text)) all.push_back(std::move(*parsed));
  };
  add(secret);
  if (previous_secret && previous_secret_until && now < *previous_secret_until) add(*previous_secret);
  if (all.empty()) {
    throw Error(ErrorCode::internal,
                "The webhook subscriber's secret can't be read: is the key that sealed it "
                "still among webhooks.secret_keys?")
        .cause(id);
  }
  return all;
}

std::vector<DueSubscriber> due_subscribers(sql::Queries& db) {
  return db.query<DueSubscriber>(
      "select * from (select s.id as id, s.url as url, s.secret as secret, "
      "s.previous_secret as previous_secret, s.previous_secret_until as previous_secret_until, "
      "s.consecutive_failures as consecutive_failures, "
      "(select min(d.next_attempt_at) from webhook_deliveries d "
      "where d.subscriber_id = s.id and d.status = 'pending') as due "
      "from webhook_subscribers s where s.status = 'enabled') as known where due is not null order by due");
}

std::vector<Attempt> take(sql::Transaction& tx, const std::string& subscriber_id, WallTime now,
                          WallTime lease_until, std::size_t most) {
  std::vector<Attempt> taken;
  tx.for_each<std::tuple<std::string, std::string, std::int64_t, std::int64_t>>(
      "update webhook_deliveries set attempts = attempts + 1, fence = fence + 1, next_attempt_at = $3 "
      "where id in (select id from webhook_deliveries where subscriber_id = $1 and status = 'pending' and "
      "next_attempt_at <= $2 and exists (select 1 from webhook_subscribers where id = $1 and status = "
      "'enabled') order by next_attempt_at limit $4) returning id, event_id, attempts, fence",
      [&](auto&& row) {
        auto& [id, event_id, attempts, fence] = row;
        taken.push_back({std::move(id), std::move(event_id), attempts, fence, {}});
      },
      subscriber_id, now, lease_until, most);
  for (Attempt& attempt : taken) {
    attempt.body =
        tx.query_value<std::string>("select body from webhook_events where id = $1", attempt.event_id);
  }
  std::ranges::sort(taken, {}, &Attempt::id);  // in the order they were made; `returning` has none
  return taken;
}

Recorded record(sql::Transaction& tx, const SenderOptions& options, const std::string& subscriber_id,
                const Attempt& attempt, const AttemptOutcome& outcome, WallTime now, WallTime retry_at) {
  const bool last = outcome.gone() || attempt.attempts >= options.max_attempts;
  const bool finished = outcome.delivered() || last;
  const std::string_view status = outcome.delivered() ? "delivered" : last ? "failed" : "pending";
  const std::optional<WallTime> next = finished ? std::nullopt : std::optional(retry_at);
  const std::optional<WallTime> finished_at = finished ? std::optional(now) : std::nullopt;
  const std::optional<std::string> error =
      outcome.delivered() ? std::nullopt
                          : std::optional(std::string(utf8_prefix(outcome.error, kMaxErrorBytes)));
  if (tx.execute("update webhook_deliveries set status = $3, next_attempt_at = $4, last_status = $5, "
                 "last_error = $6, finished_at = $7 where id = $1 and fence = $2 and status = 'pending'",
                 attempt.id, attempt.fence, status, next, outcome.status, error, finished_at) == 0) {
    return Recorded::refused;
  }
  if (outcome.delivered()) {
    tx.execute(
        "update webhook_subscribers set consecutive_failures = 0, failing_since = null where id = $1 and "
        "consecutive_failures > 0",
        subscriber_id);
    return Recorded::delivered;
  }
  if (count_failure(tx, options, subscriber_id, outcome.gone(), now)) return Recorded::disabled;
  return last ? Recorded::failed : Recorded::retried;
}

void release(sql::Transaction& tx, const Attempt& attempt, WallTime now) {
  tx.execute(
      "update webhook_deliveries set attempts = attempts - 1, next_attempt_at = $3 where id = $1 and "
      "fence = $2 and status = 'pending'",
      attempt.id, attempt.fence, now);
}

}  // namespace holdfast::webhooks
