// Deliveries: one event on its way to one subscriber. A subscription of the event log fans each event out
// to a row a subscriber that wants it; sender.hpp makes the attempts; what is finished is kept a while, to
// be looked at and sent again.
//
//   Deliveries deliveries(ids);
//   broker.subscribe(deliveries.subscription({"orders"}), deliveries.handler(db));
//   db.transact(ctx, "redeliver", [&](sql::Transaction& tx) { deliveries.redeliver(ctx, tx, id); });
//
// The body is {"id", "type", "createdAt", "data"}; the id is the message's, the same at every attempt and
// redelivery: receivers know by it what they had. Thread-safety: everything from any fiber.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/id.hpp"
#include "holdfast/base/reflect.hpp"
#include "holdfast/messaging/subscription.hpp"
#include "holdfast/runtime/context.hpp"
#include "holdfast/runtime/sync.hpp"
#include "holdfast/sql/database.hpp"

namespace holdfast::webhooks {

using DeliveryId = Id<"whd">;

/// The group of the event log's subscription.
inline constexpr std::string_view kGroup = "webhooks";
inline constexpr std::string_view kTestType = "webhook.test";

/// For so long at most another process's change of who wants what is not known to the one that fans out.
inline constexpr Duration kInterestAge = std::chrono::milliseconds(500);

enum class DeliveryStatus : std::uint8_t {
  pending,    ///< to be attempted at next_attempt_at
  delivered,  ///< answered by 2xx
  failed,     ///< given up: attempts used up, or the receiver is gone
};
HOLDFAST_DESCRIBE_ENUM(DeliveryStatus, pending, delivered, failed)

struct Delivery {
  std::string id;  ///< "whd_…", ascending with created_at
  std::string subscriber_id;
  std::string event_id;  ///< "msg_…": the body's id and the header webhook-id
  std::string type;
  DeliveryStatus status = DeliveryStatus::pending;
  std::int64_t attempts = 0;
  std::optional<WallTime> next_attempt_at;  ///< while one is under way: when it counts as lost
  std::optional<std::int64_t> last_status;  ///< of HTTP; absent where there was no answer
  std::optional<std::string> last_error;
  WallTime created_at{};
  std::optional<WallTime> finished_at;
};
HOLDFAST_DESCRIBE(Delivery, (id, subscriber_id, event_id, type, status, attempts, next_attempt_at,
                             last_status, last_error, created_at, finished_at))

struct DeliveryOptions {
  std::size_t max_body_bytes = 256 * 1024;          ///< of an event; more: "data" is null, "dataOmitted" true
  Duration retention = std::chrono::hours(24 * 7);  ///< of what is finished
  std::size_t sweep_batch = 500;                    ///< rows a transaction
};

class Deliveries {
 public:
  static constexpr std::size_t kMaxPage = 1000;
  static constexpr std::size_t kMaxRedelivered = 10'000;  ///< a call; call again for more

  /// `ids` is borrowed.
  explicit Deliveries(IdGenerator& ids, DeliveryOptions options = {}) : ids_(ids), options_(options) {}

  /// Options of the event log's subscription: from when it first ran on. While follow_interest() runs, events
  /// that nobody wants are passed over before anything is spent on them.
  messaging::SubscriptionOptions subscription(std::vector<std::string> topics);
  /// Keeps in memory which types of events anybody wants, read anew every half kInterestAge, until `ctx` is
  /// cancelled. What is older, or can't be read, does not count: then every event is looked at. So a
  /// subscriber added by another process is told of events from kInterestAge after its making on, by the
  /// longest. For a fiber of its own.
  void follow_interest(const Context& ctx, sql::Database& database);
  /// Who wants what was changed by this process: known here from `tx`'s commit on.
  void interest_changes(sql::Transaction& tx);
  /// False where nobody wants events of this type. Any thread; does not wait.
  bool may_be_wanted(std::string_view type) const;
  /// Fans out, in a transaction of its own: none at all for an event that nobody wants. A message that comes
  /// again adds nothing (unique by event and subscriber), so each has its rows once. `database` is borrowed.
  messaging::Handler handler(sql::Database& database);

  /// A row for each enabled subscriber that wants it and was there when it happened; returns how many.
  std::size_t fan_out(const Context& ctx, sql::Transaction& tx, const messaging::Message& message);

  /// An event of type "webhook.test" for one subscriber, whatever it subscribed to. Throws Error(not_found);
  /// Error(conflict, "subscriber_disabled").
  Delivery send_test(const Context& ctx, sql::Transaction& tx, std::string_view subscriber_id);

  /// Sends it again, with fresh attempts, whatever became of it. Throws Error(not_found,
  /// "unknown_delivery"); Error(conflict, "subscriber_disabled").
  Delivery redeliver(const Context& ctx, sql::Transaction& tx, std::string_view id);

  /// What failed for good since `since`, oldest first, at most kMaxRedelivered; returns how many. Throws as
  /// redeliver().
  std::size_t redeliver_failed(const Context& ctx, sql::Transaction& tx, std::string_view subscriber_id,
                               WallTime since);

  static Delivery get(sql::Queries& db, std::string_view id);
  /// Newest first, those before the id `before` (empty: from the newest); at most min(limit, kMaxPage).
  static std::vector<Delivery> list(sql::Queries& db, std::string_view subscriber_id,
                                    std::optional<DeliveryStatus> status = {}, std::string_view before = {},
                                    std::size_t limit = 100);

  /// Deletes what finished longer ago than the retention, what belongs to subscribers that are gone, and
  /// the bodies that nothing refers to. In batches. Returns the deliveries deleted.
  std::int64_t sweep(const Context& ctx, sql::Database& database) const;

  /// Notified after each commit of this process that made something due.
  runtime::Signal& due() noexcept { return due_; }

 private:
  void add_event(sql::Transaction& tx, const std::string& id, const std::string& body, WallTime now);
  bool add_delivery(sql::Transaction& tx, const std::string& subscriber_id, const std::string& event_id,
                    const std::string& type, WallTime now);
  std::int64_t sweep_removed(const Context& ctx, sql::Database& database) const;
  std::string body_of(const messaging::Message& message) const;

  /// What is wanted, as it was read; not there: everything may be.
  struct Interest {
    const Clock* clock = nullptr;
    Instant until{};
    bool everything = false;
    std::vector<std::string> types;
  };
  void read_interest(const Context& ctx, sql::Database& database);

  IdGenerator& ids_;
  const DeliveryOptions options_;
  runtime::Signal due_;
  mutable std::mutex mutex_;  // guards the two below
  std::optional<Interest> interest_;
  std::uint64_t interest_version_ = 0;  // raised by changes here: a read that began before one is not kept
  runtime::Signal interest_changed_;
};

}  // namespace holdfast::webhooks
