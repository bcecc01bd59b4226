// The tables of this room, as steps for sql/migrations.hpp:
//
//   webhook_received      events of others that had their effect, by source and event id (incoming.hpp)
//   webhook_subscribers   who is told of our events, and how it goes (subscribers.hpp)
//   webhook_events        bodies, one for all subscribers of an event (deliveries.hpp)
//   webhook_deliveries    a row a subscriber and event
#pragma once

#include <vector>

#include "holdfast/sql/migrations.hpp"

namespace holdfast::webhooks {

/// This room's versions are kFirstMigration … kFirstMigration + 99.
inline constexpr std::int64_t kFirstMigration = 400;

std::vector<sql::Migration> migrations();

}  // namespace holdfast::webhooks
