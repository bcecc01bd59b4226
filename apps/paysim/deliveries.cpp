#include "paysim/deliveries.hpp"

#include <algorithm>
#include <utility>

#include "holdfast/base/reflect.hpp"
#include "holdfast/resilience/backoff.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "holdfast/webhooks/signature.hpp"

namespace holdfast::paysim {
namespace {

using namespace std::chrono_literals;

constexpr Duration kAttemptTimeout = 5s;
constexpr Duration kLongestPause = 1s;  // between looks at the table, should a wake-up be missed
// What comes due goes out together with what does so soon after: a look at the table and a commit of the
// outcomes serve them all, and no webhook runs ahead of the answer to the call that caused it as a rule.
constexpr Duration kGather = 25ms;
constexpr resilience::BackoffOptions kBackoff{.base = 500ms, .cap = 60s, .jitter = resilience::Jitter::equal};

std::chrono::microseconds micros(Duration duration) {
  return std::chrono::duration_cast<std::chrono::microseconds>(duration);
}

struct StoredEndpoint {
  std::string url;
  std::string secret;
  std::string enabled_events;  // JSON
};
HOLDFAST_DESCRIBE(StoredEndpoint, (url, secret, enabled_events))

}  // namespace

Deliveries::Deliveries(runtime::Runtime& runtime, sql::Database& database, http::Client& client,
                       Events& events, runtime::Signal& due, observe::Logger logger)
    : runtime_(runtime),
      database_(database),
      client_(client),
      events_(events),
      due_(due),
      logger_(std::move(logger)) {}

void Deliveries::restore(const Context& ctx) {
  auto stored = database_.query_one<StoredEndpoint>(
      ctx, "select url, secret, enabled_events from webhook_endpoint where id = 1");
  if (!stored) return;
  use({.url = std::move(stored->url),
       .secret = std::move(stored->secret),
       .enabled_events = from_json<std::vector<std::string>>(stored->enabled_events)});
}

void Deliveries::point_to(const Context& ctx, const WebhookEndpoint& endpoint) {
  const bool web = endpoint.url.starts_with("http://") || endpoint.url.starts_with("https://");
  if (!web && !endpoint.url.empty())
    throw Error(ErrorCode::invalid_argument, "The webhook URL " + endpoint.url +
                                                 " is none; give one that begins with http:// or https://.");
  const std::vector<std::string> any{"*"};
  database_.transact(ctx, "set webhook endpoint", [&](sql::Transaction& tx) {
    tx.execute("delete from webhook_endpoint");
    tx.execute("insert into webhook_endpoint (id, url, secret, enabled_events) values (1, $1, $2, $3)",
               endpoint.url, endpoint.secret, to_json(endpoint.enabled_events.value_or(any)));
  });
  use(endpoint);
  due_.notify();
}

void Deliveries::use(WebhookEndpoint endpoint) {
  std::vector<std::string> types;
  if (!endpoint.url.empty()) types = endpoint.enabled_events.value_or(std::vector<std::string>{"*"});
  events_.send(std::move(types));
  const std::lock_guard lock(mutex_);
  endpoint_ = std::move(endpoint);
}

WebhookEndpoint Deliveries::endpoint() const {
  const std::lock_guard lock(mutex_);
  return endpoint_;
}

bool Deliveries::redeliver(const Context& ctx, IdGenerator& ids, const std::string& event_id) {
  return database_.transact(ctx, "redeliver", [&](sql::Transaction& tx) {
    const auto intent = tx.query_one<std::string>("select object_id from events where id = $1", event_id);
    if (!intent) return false;
    tx.execute(
        "insert into deliveries (id, event_id, intent_id, state, due_at, attempts, outcome) values ($1, $2, "
        "$3, "
        "'pending', $4, 0, '')",
        ids.make<Id<"dlv">>().text(), event_id, *intent, runtime_.clock().wall_now());
    tx.after_commit(due_);
    return true;
  });
}

void Deliveries::run(const Context& ctx) {
  runtime::FiberGroup senders(ctx);
  for (std::size_t i = 0; i < kSenders; ++i) {
    senders.spawn("webhook sender", [this](const Context& own) { send_queued(own); });
  }
  while (!ctx.cancelled()) {
    const std::uint64_t seen = due_.version();
    try {
      feed(ctx);
      due_.wait_past(ctx.with_timeout(pause(ctx)), seen, "webhook due");
      runtime::sleep_for(ctx, kGather);
    } catch (const Error& error) {
      if (ctx.cancelled()) break;
      logger_.warn("webhooks could not be read", {{"error", error.what()}});
      runtime::sleep_for(ctx, kLongestPause);
    }
  }
}

void Deliveries::feed(const Context& ctx) {
  // With enough to do, those that are new wait for their look: each look reads what is taken once more.
  if (endpoint().url.empty() || queue_.size() >= kSenders || taken_.size() >= kMaxQueued) return;
  bool grown = false;
  // Those taken come first in this order, so as many more are asked for.
  const auto limit = static_cast<std::int64_t>(kMaxQueued);
  database_.for_each<Due>(
      ctx,
      "select id, event_id, intent_id, attempts, due_at from deliveries where state = 'pending' and "
      "due_at <= $1 order by due_at, id limit $2",
      [&](Due&& due) {
        if (!taken_.insert(due.id).second) return;
        queue_.push_back(std::move(due));
        grown = true;
      },
      runtime_.clock().wall_now(), limit);
  if (grown) queued_.notify();
}

Duration Deliveries::pause(const Context& ctx) {
  if (endpoint().url.empty()) return kLongestPause;
  const WallTime now = runtime_.clock().wall_now();
  const auto next = database_.query_one<WallTime>(
      ctx, "select due_at from deliveries where state = 'pending' and due_at > $1 order by due_at limit 1",
      now);
  if (!next) return kLongestPause;
  return std::clamp<Duration>(*next - now, 1ms, kLongestPause);
}

/// The first whose intent has none under way.
bool Deliveries::take_next(Due& next) {
  const auto found = std::find_if(queue_.begin(), queue_.end(),
                                  [&](const Due& due) { return !busy_intents_.contains(due.intent_id); });
  if (found == queue_.end()) return false;
  next = std::move(*found);
  queue_.erase(found);
  if (queue_.size() == kSenders - 1) due_.notify();  // feed() had enough until now
  busy_intents_.insert(next.intent_id);
  return true;
}

void Deliveries::send_queued(const Context& ctx) {
  while (!ctx.cancelled()) {
    const std::uint64_t seen = queued_.version();
    Due due;
    if (!take_next(due)) {
      queued_.wait_past(ctx, seen, "webhook queue");
      continue;
    }
    try {
      send(ctx, due);
    } catch (const Error& error) {  // it stays due, and is found again
      if (!ctx.cancelled()) logger_.warn("a webhook's outcome could not be kept", {{"error", error.what()}});
    }
    busy_intents_.erase(due.intent_id);
    taken_.erase(due.id);
    queued_.notify();                                    // another of this intent may go
    if (taken_.size() == kMaxQueued - 1) due_.notify();  // there is room again
  }
}

void Deliveries::send(const Context& ctx, const Due& due) {
  const WebhookEndpoint to = endpoint();
  const auto body =
      database_.query_value<std::string>(ctx, "select body from events where id = $1", due.event_id);
  std::string outcome;
  bool delivered = false;
  try {
    const WallTime now = runtime_.clock().wall_now();
    const http::ClientResponse answer =
        client_.send(ctx, {.method = http::Method::post,
                           .url = to.url,
                           .headers = {{"Content-Type", "application/json; charset=utf-8"},
                                       {"Stripe-Signature", webhooks::sign_stripe(to.secret, body, now)}},
                           .body = body,
                           .timeout = kAttemptTimeout,
                           .max_response_bytes = 64 * 1024});
    outcome = std::to_string(answer.status);
    delivered = answer.status >= 200 && answer.status < 300;
  } catch (const Error& error) {
    if (ctx.cancelled()) throw;
    outcome = error.reason();
  }
  const std::int64_t attempts = due.attempts + 1;
  const char* const state = delivered ? "delivered" : attempts >= kMaxAttempts ? "failed" : "pending";
  const WallTime again = runtime_.clock().wall_now() +
                         micros(resilience::backoff_delay(kBackoff, static_cast<std::uint32_t>(due.attempts),
                                                          runtime_.random()));
  database_.transact(ctx, "webhook sent", [&](sql::Transaction& tx) {
    tx.execute("update deliveries set state = $2, attempts = $3, due_at = $4, outcome = $5 where id = $1",
               due.id, state, attempts, delivered ? due.due_at : again, outcome);
  });
}

}  // namespace holdfast::paysim
