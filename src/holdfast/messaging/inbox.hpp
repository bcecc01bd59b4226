// Inbox: which messages a group has handled, recorded in the transaction of their effects, so that one
// that comes again (redriven, published twice, redelivered by a broker) has no second effect.
//
//   if (!inbox::enter(tx, "read-model", message.id, now)) return;   // had it
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "holdfast/sql/database.hpp"

namespace holdfast::messaging::inbox {

/// True the first time in this group; records it in `tx`.
bool enter(sql::Transaction& tx, std::string_view group, std::string_view message_id, WallTime now);

/// The same for several, which of them it was the first time for: one round trip.
std::vector<bool> enter_all(sql::Transaction& tx, std::string_view group,
                            std::span<const std::string_view> message_ids, WallTime now);
/// Undoes that of one.
void leave(sql::Transaction& tx, std::string_view group, std::string_view message_id);

/// Forgets up to `most` of the oldest messages of `group` that were handled before `before`; returns how
/// many. Message ids sort by time, so no index of times is kept.
std::int64_t trim(sql::Transaction& tx, std::string_view group, WallTime before, std::size_t most);

}  // namespace holdfast::messaging::inbox
