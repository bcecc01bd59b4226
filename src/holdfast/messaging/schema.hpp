// The tables of this room, as steps for sql/migrations.hpp:
//
//   outbox            the log: every published message, in commit order
//   outbox_groups     the groups there are       outbox_workers   processes and their heartbeats
//   outbox_members    which worker serves which group
//   outbox_leases     a row a group and bucket: owner, fence, position up to which it is handled
//   parked_messages   failed and to be tried again, with those of their keys behind them
//   dead_letters      given up                   inbox            handled, by group and message id
#pragma once

#include <vector>

#include "holdfast/sql/migrations.hpp"

namespace holdfast::messaging {

/// This room's versions are kFirstMigration … kFirstMigration + 99.
inline constexpr std::int64_t kFirstMigration = 100;

/// On PostgreSQL, what gives outbox.position its numbers.
inline constexpr const char* kPositionSequence = "outbox_positions";

std::vector<sql::Migration> migrations();

}  // namespace holdfast::messaging
