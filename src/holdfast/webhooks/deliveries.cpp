#include "holdfast/webhooks/deliveries.hpp"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include "holdfast/base/error.hpp"
#include "holdfast/base/fault.hpp"
#include "holdfast/webhooks/subscribers.hpp"

namespace holdfast::webhooks {
namespace {

#define HOLDFAST_DELIVERY_COLUMNS                                                                          \
  "select id, subscriber_id, event_id, type, status, attempts, next_attempt_at, last_status, last_error, " \
  "created_at, finished_at from webhook_deliveries "

/// The ids of enabled subscribers that are told of an event of this type and time.
std::vector<std::string> receivers(sql::Queries& db, const messaging::Message& message) {
  std::vector<std::string> found;
  db.for_each<std::tuple<std::string, JsonText>>(
      "select id, event_types from webhook_subscribers where status = 'enabled' and created_at <= $1 "
      "order by id",
      [&](std::tuple<std::string, JsonText>&& row) {
        const auto wanted = from_json<std::vector<std::string>>(std::get<1>(row).text());
        if (wants(wanted, message.type)) found.push_back(std::move(std::get<0>(row)));
      },
      message.occurred_at);
  return found;
}

std::string envelope(std::string_view id, std::string_view type, WallTime created_at, std::string_view data,
                     bool omitted) {
  std::string body;
  body.reserve(data.size() + 160);
  JsonWriter writer(body);
  writer.begin_object().member("id", id).member("type", type).member("createdAt", format_rfc3339(created_at));
  writer.key("data").raw(data);
  if (omitted) writer.member("dataOmitted", true);
  writer.end_object();
  return body;
}

void require_enabled(const Subscriber& subscriber) {
  if (subscriber.status == SubscriberStatus::enabled) return;
  throw Error(ErrorCode::conflict,
              "Subscriber " + subscriber.id + " is disabled. Enable it, then send to it.")
      .reason("subscriber_disabled");
}

constexpr const char* kSendAgain =
    "update webhook_deliveries set status = 'pending', attempts = 0, fence = fence + 1, next_attempt_at = "
    "$2, "
    "finished_at = null ";

}  // namespace

messaging::SubscriptionOptions Deliveries::subscription(std::vector<std::string> topics) {
  return {.group = std::string(kGroup),
          .topics = std::move(topics),
          .start_from = messaging::StartFrom::now,
          .wanted = [this](const messaging::Message& message) { return may_be_wanted(message.type); }};
}

bool Deliveries::may_be_wanted(std::string_view type) const {
  const std::lock_guard lock(mutex_);
  if (!interest_ || interest_->clock->now() >= interest_->until || interest_->everything) return true;
  return !interest_->types.empty() && wants(interest_->types, type);
}

void Deliveries::interest_changes(sql::Transaction& tx) {
  tx.on_commit([this] {
    const std::lock_guard lock(mutex_);
    interest_.reset();
    ++interest_version_;
  });
  tx.after_commit(interest_changed_);
}

void Deliveries::read_interest(const Context& ctx, sql::Database& database) {
  Interest found{.clock = &ctx.clock(), .until = ctx.now() + kInterestAge};
  const auto version = [this] {
    const std::lock_guard lock(mutex_);
    return interest_version_;
  };
  const std::uint64_t before = version();
  std::set<std::string> types;
  database.read(ctx, [&](sql::Snapshot& db) {
    db.for_each<JsonText>("select event_types from webhook_subscribers where status = 'enabled'",
                          [&](JsonText&& row) {
                            auto wanted = from_json<std::vector<std::string>>(row.text());
                            found.everything = found.everything || wanted.empty();
                            types.insert(wanted.begin(), wanted.end());
                          });
  });
  found.types.assign(types.begin(), types.end());
  const std::lock_guard lock(mutex_);
  if (interest_version_ == before) interest_ = std::move(found);
}

void Deliveries::follow_interest(const Context& ctx, sql::Database& database) {
  while (!ctx.cancelled()) {
    const std::uint64_t seen = interest_changed_.version();
    try {
      read_interest(ctx.with_timeout(kInterestAge), database);
    } catch (const Error&) {
      // It grows too old, and every event is looked at; the database's own metrics show why.
    }
    interest_changed_.wait_past(ctx.with_timeout(kInterestAge / 2), seen, "following who wants webhooks");
  }
}

messaging::Handler Deliveries::handler(sql::Database& database) {
  return messaging::external([this, &database](const Context& ctx, const messaging::Message& message) {
    const bool wanted =
        database.read(ctx, [&](sql::Snapshot& db) { return !receivers(db, message).empty(); });
    if (!wanted) return;
    database.transact(ctx, "fan out a webhook",
                      [&](sql::Transaction& tx) { return fan_out(ctx, tx, message); });
  });
}

std::string Deliveries::body_of(const messaging::Message& message) const {
  std::string body = envelope(message.id, message.type, message.occurred_at, message.payload, false);
  if (body.size() <= options_.max_body_bytes) return body;
  return envelope(message.id, message.type, message.occurred_at, "null", true);
}

void Deliveries::add_event(sql::Transaction& tx, const std::string& id, const std::string& body,
                           WallTime now) {
  tx.execute("insert into webhook_events(id, body, created_at) values($1, $2, $3) on conflict(id) do nothing",
             id, body, now);
}

bool Deliveries::add_delivery(sql::Transaction& tx, const std::string& subscriber_id,
                              const std::string& event_id, const std::string& type, WallTime now) {
  return tx.execute(
             "insert into webhook_deliveries(id, subscriber_id, event_id, type, status, attempts, fence, "
             "next_attempt_at, created_at) values($1, $2, $3, $4, 'pending', 0, 0, $5, $5) "
             "on conflict(event_id, subscriber_id) do nothing",
             ids_.make<DeliveryId>().text(), subscriber_id, event_id, type, now) > 0;
}

std::size_t Deliveries::fan_out(const Context& ctx, sql::Transaction& tx, const messaging::Message& message) {
  const std::vector<std::string> subscribers = receivers(tx, message);
  if (subscribers.empty()) return 0;
  const WallTime now = ctx.clock().wall_now();
  add_event(tx, message.id, body_of(message), now);
  std::size_t added = 0;
  for (const std::string& subscriber : subscribers) {
    added += add_delivery(tx, subscriber, message.id, message.type, now) ? 1 : 0;
  }
  HOLDFAST_FAULT("webhooks.before_fan_out_commit");
  tx.after_commit(due_);
  return added;
}

Delivery Deliveries::send_test(const Context& ctx, sql::Transaction& tx, std::string_view subscriber_id) {
  const Subscriber subscriber = Subscribers::get(tx, subscriber_id);
  require_enabled(subscriber);
  const WallTime now = ctx.clock().wall_now();
  const std::string event_id = ids_.make<messaging::MessageId>().text();
  add_event(tx, event_id, envelope(event_id, kTestType, now, R"({"message":"It works."})", false), now);
  add_delivery(tx, subscriber.id, event_id, std::string(kTestType), now);
  tx.after_commit(due_);
  return tx
      .query_one<Delivery>(HOLDFAST_DELIVERY_COLUMNS "where event_id = $1 and subscriber_id = $2", event_id,
                           subscriber.id)
      .value();
}

Delivery Deliveries::redeliver(const Context& ctx, sql::Transaction& tx, std::string_view id) {
  const Delivery present = get(tx, id);
  require_enabled(Subscribers::get(tx, present.subscriber_id));
  tx.execute(std::string(kSendAgain) + "where id = $1", id, ctx.clock().wall_now());
  tx.after_commit(due_);
  return get(tx, id);
}

std::size_t Deliveries::redeliver_failed(const Context& ctx, sql::Transaction& tx,
                                         std::string_view subscriber_id, WallTime since) {
  require_enabled(Subscribers::get(tx, subscriber_id));
  const std::int64_t again = tx.execute(
      std::string(kSendAgain) +
          "where id in (select id from webhook_deliveries where subscriber_id = $1 and status = 'failed' and "
          "finished_at >= $3 order by id limit $4)",
      subscriber_id, ctx.clock().wall_now(), since, kMaxRedelivered);
  tx.after_commit(due_);
  return static_cast<std::size_t>(again);
}

Delivery Deliveries::get(sql::Queries& db, std::string_view id) {
  auto found = db.query_one<Delivery>(HOLDFAST_DELIVERY_COLUMNS "where id = $1", id);
  if (found) return std::move(*found);
  throw Error(ErrorCode::not_found, "There is no webhook delivery " + std::string(id) +
                                        "; finished ones are kept for some days only.")
      .reason("unknown_delivery");
}

std::vector<Delivery> Deliveries::list(sql::Queries& db, std::string_view subscriber_id,
                                       std::optional<DeliveryStatus> status, std::string_view before,
                                       std::size_t limit) {
  return db.query<Delivery>(
      HOLDFAST_DELIVERY_COLUMNS
      "where subscriber_id = $1 and ($2 is null or status = $2) and ($3 = '' or id < $3) "
      "order by id desc limit $4",
      subscriber_id, status, before, std::min(limit, kMaxPage));
}

std::int64_t Deliveries::sweep_removed(const Context& ctx, sql::Database& database) const {
  std::int64_t deleted = 0;
  for (const auto& id :
       database.query<std::string>(ctx, "select id from webhook_subscribers where status = 'removed'")) {
    for (std::int64_t last = 1; last > 0; deleted += last) {
      last = database.transact(ctx, "sweep a removed subscriber", [&](sql::Transaction& tx) {
        const std::int64_t of_it = tx.execute(
            "delete from webhook_deliveries where id in (select id from webhook_deliveries where "
            "subscriber_id = $1 limit $2)",
            id, options_.sweep_batch);
        if (of_it == 0) tx.execute("delete from webhook_subscribers where id = $1", id);
        return of_it;
      });
    }
  }
  return deleted;
}

std::int64_t Deliveries::sweep(const Context& ctx, sql::Database& database) const {
  const WallTime cutoff =
      ctx.clock().wall_now() - std::chrono::ceil<std::chrono::microseconds>(options_.retention);
  const auto in_batches = [&](const char* name, const char* statement) {
    std::int64_t deleted = 0;
    for (std::int64_t last = 1; last > 0; deleted += last) {
      last = database.transact(ctx, name, [&](sql::Transaction& tx) {
        return tx.execute(statement, cutoff, options_.sweep_batch);
      });
    }
    return deleted;
  };
  std::int64_t deleted =
      in_batches("sweep webhook deliveries",
                 "delete from webhook_deliveries where id in (select id from webhook_deliveries where "
                 "finished_at < $1 order by finished_at limit $2)");
  deleted += sweep_removed(ctx, database);
  in_batches("sweep webhook bodies",
             "delete from webhook_events where id in (select e.id from webhook_events e where e.created_at < "
             "$1 and not exists (select 1 from webhook_deliveries d where d.event_id = e.id) "
             "order by e.created_at limit $2)");
  return deleted;
}

}  // namespace holdfast::webhooks
