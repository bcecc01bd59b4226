#include "holdfast/messaging/outbox_status.hpp"

#include <tuple>

#include "holdfast/base/error.hpp"
#include "holdfast/base/reflect.hpp"
#include "holdfast/messaging/message.hpp"
#include "holdfast/messaging/subscription.hpp"

namespace holdfast::messaging {
namespace {

// Topics are checked names, so quoting them is enough.
std::string of_topics(const std::vector<std::string>& topics) {
  if (topics.size() == 1 && topics.front() == kEveryTopic) return {};
  std::string list;
  for (const std::string& topic : topics) list += (list.empty() ? "'" : ", '") + topic + "'";
  return "and o.topic in (" + list + ")";
}

GroupStatus status_of(sql::Snapshot& snapshot, std::string group, const std::string& topics, WallTime now) {
  GroupStatus status{.group = std::move(group), .topics = from_json<std::vector<std::string>>(topics)};
  using Lag = std::tuple<std::int64_t, std::optional<WallTime>>;
  const auto lag = snapshot.query_one<Lag>(
      "select count(*), min(o.occurred_at) from outbox o join outbox_leases l on l.group_name = $1 and "
      "l.bucket = o.bucket where o.position > l.position and o.position > (select min(position) from "
      "outbox_leases "
      "where group_name = $1) " +
          of_topics(status.topics),
      status.group);
  if (lag) std::tie(status.lag, status.oldest_unhandled) = *lag;
  status.parked = snapshot.query_value<std::int64_t>(
      "select count(*) from parked_messages where group_name = $1", status.group);
  status.dead = snapshot.query_value<std::int64_t>(
      "select count(*) from dead_letters where group_name = $1 and redriven_at is null", status.group);
  status.leases = snapshot.query<WorkerLeases>(
      "select coalesce(l.owner, '') as worker, count(*) as buckets, max(case when w.expires_at > $2 then 1 "
      "else 0 end) "
      "as alive "
      "from outbox_leases l left join outbox_workers w on w.worker = l.owner where l.group_name = $1 "
      "group by l.owner order by 1",
      status.group, now);
  return status;
}

}  // namespace

OutboxStatus outbox_status(const Context& ctx, sql::Database& database) {
  const WallTime now = ctx.clock().wall_now();
  return database.read(ctx, {.offload = true}, [&](sql::Snapshot& snapshot) {
    OutboxStatus status;
    status.messages = snapshot.query_value<std::int64_t>("select count(*) from outbox");
    status.last_position =
        snapshot.query_value<std::int64_t>("select coalesce(max(position), 0) from outbox");
    using Group = std::tuple<std::string, std::string>;
    for (auto& [group, topics] :
         snapshot.query<Group>("select group_name, topics from outbox_groups order by group_name"))
      status.groups.push_back(status_of(snapshot, std::move(group), topics, now));
    return status;
  });
}

void forget_group(const Context& ctx, sql::Database& database, std::string_view group) {
  const WallTime now = ctx.clock().wall_now();
  database.transact(ctx, "forget a group", [&](sql::Transaction& tx) {
    const auto alive = tx.query_value<std::int64_t>(
        "select count(*) from outbox_members m join outbox_workers w on w.worker = m.worker "
        "where m.group_name = $1 and w.expires_at > $2",
        group, now);
    if (alive > 0) {
      throw Error(ErrorCode::conflict, "Group " + std::string(group) + " is served by " +
                                           std::to_string(alive) +
                                           " running workers; stop them before it is forgotten.")
          .reason("group_in_use");
    }
    if (tx.execute("delete from outbox_groups where group_name = $1", group) == 0)
      throw Error(ErrorCode::not_found, "There is no group " + std::string(group) + ".")
          .reason("group_not_found");
    tx.execute("delete from outbox_leases where group_name = $1", group);
    tx.execute("delete from outbox_members where group_name = $1", group);
    tx.execute("delete from parked_messages where group_name = $1", group);
    tx.execute("delete from inbox where group_name = $1", group);
  });
}

}  // namespace holdfast::messaging
