// Sends the webhooks that events.hpp has queued, each signed as Stripe signs, from the database: what was
// due when the process was killed goes out when it is back. Retried with backoff until the endpoint
// answers 2xx; given up after kMaxAttempts. Those of one intent go one at a time, in the order they are
// due, unless the behaviour says otherwise.
//
//   Deliveries deliveries(runtime, db, client, events, due, logger);
//   deliveries.point_to(ctx, {.url = "http://127.0.0.1:8080/v1/webhooks/payments", .secret = "whsec_…"});
//   deliveries.run(ctx);                       // a fiber of its own, until ctx is cancelled
//
// Thread-safety: run() on one fiber; the rest from any.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "holdfast/http/client.hpp"
#include "holdfast/observe/log.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/runtime/sync.hpp"
#include "holdfast/sql/database.hpp"
#include "paysim/events.hpp"

namespace holdfast::paysim {

struct WebhookEndpoint {
  std::string url;     ///< empty: none, events are not sent
  std::string secret;  ///< "whsec_…"
  /// Types of events that are sent, as in Stripe's endpoints; "*", or none given, is any.
  std::optional<std::vector<std::string>> enabled_events;
};
HOLDFAST_DESCRIBE(WebhookEndpoint, (url, secret, enabled_events))

struct DeliveryCounts {
  std::int64_t pending = 0;
  std::int64_t delivered = 0;
  std::int64_t failed = 0;
};
HOLDFAST_DESCRIBE(DeliveryCounts, (pending, delivered, failed))

class Deliveries {
 public:
  static constexpr std::int64_t kMaxAttempts = 15;
  static constexpr std::size_t kSenders = 32;
  static constexpr std::size_t kMaxQueued = 1024;

  /// All are borrowed.
  Deliveries(runtime::Runtime& runtime, sql::Database& database, http::Client& client, Events& events,
             runtime::Signal& due, observe::Logger logger);

  /// Reads the endpoint that was set when the process ended.
  void restore(const Context& ctx);
  /// Sets it, durably; events that are queued go to it, too. Throws Error(invalid_argument) for what is no
  /// http(s) URL.
  void point_to(const Context& ctx, const WebhookEndpoint& endpoint);
  WebhookEndpoint endpoint() const;

  /// Queues an event once more. False where there is no such event.
  bool redeliver(const Context& ctx, IdGenerator& ids, const std::string& event_id);

  void run(const Context& ctx);

 private:
  void use(WebhookEndpoint endpoint);

  struct Due {
    std::string id;
    std::string event_id;
    std::string intent_id;
    std::int64_t attempts = 0;
    WallTime due_at{};
    HOLDFAST_DESCRIBE_WITHIN(Due, (id, event_id, intent_id, attempts, due_at))
  };
  void feed(const Context& ctx);
  void send_queued(const Context& ctx);
  void send(const Context& ctx, const Due& due);
  bool take_next(Due& next);
  /// Until the next one is due, as far as is known.
  Duration pause(const Context& ctx);

  runtime::Runtime& runtime_;
  sql::Database& database_;
  http::Client& client_;
  Events& events_;
  runtime::Signal& due_;
  const observe::Logger logger_;
  mutable std::mutex mutex_;  // of the endpoint
  WebhookEndpoint endpoint_;

  // Of run()'s fibers, which share a loop.
  std::deque<Due> queue_;
  std::unordered_set<std::string> taken_;         // ids queued or being sent
  std::unordered_set<std::string> busy_intents_;  // with a webhook being sent
  runtime::Signal queued_;
};

}  // namespace holdfast::paysim
