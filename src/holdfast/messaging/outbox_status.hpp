// What is in the outbox and how far each group is: for `holdfast outbox status`, the operations API and
// alarms.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/describe.hpp"
#include "holdfast/sql/database.hpp"

namespace holdfast::messaging {

struct WorkerLeases {
  std::string worker;  ///< "wrk_…"; empty for buckets that nobody holds
  std::int64_t buckets = 0;
  bool alive = false;  ///< has a heartbeat younger than the lease
};
HOLDFAST_DESCRIBE(WorkerLeases, (worker, buckets, alive))

struct GroupStatus {
  std::string group;
  std::vector<std::string> topics;
  std::int64_t lag = 0;                      ///< messages of its topics not handled, parked or dead yet
  std::optional<WallTime> oldest_unhandled;  ///< when the oldest of them occurred
  std::int64_t parked = 0;  ///< failed and to be tried again, and those of their keys behind them
  std::int64_t dead = 0;    ///< dead letters not redriven
  std::vector<WorkerLeases> leases;
};
HOLDFAST_DESCRIBE(GroupStatus, (group, topics, lag, oldest_unhandled, parked, dead, leases))

struct OutboxStatus {
  std::int64_t messages = 0;  ///< in the log
  std::int64_t last_position = 0;
  std::vector<GroupStatus> groups;
};
HOLDFAST_DESCRIBE(OutboxStatus, (messages, last_position, groups))

/// Counts the log: for people and slow scrapes, not for every request.
OutboxStatus outbox_status(const Context& ctx, sql::Database& database);

/// Forgets a group that is not used any more: its progress, parked messages and inbox; its dead letters
/// stay. Until then it keeps the log from being trimmed. Error(not_found), or Error(conflict) while a
/// worker of it is alive.
void forget_group(const Context& ctx, sql::Database& database, std::string_view group);

}  // namespace holdfast::messaging
