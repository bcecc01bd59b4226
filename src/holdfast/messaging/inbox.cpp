#include "holdfast/messaging/inbox.hpp"

namespace holdfast::messaging::inbox {

bool enter(sql::Transaction& tx, std::string_view group, std::string_view message_id, WallTime now) {
  return tx.execute(
             "insert into inbox(group_name, message_id, processed_at) values($1, $2, $3) "
             "on conflict(group_name, message_id) do nothing",
             group, message_id, now) == 1;
}

std::int64_t trim(sql::Transaction& tx, std::string_view group, WallTime before, std::size_t most) {
  return tx.execute(
      "delete from inbox where group_name = $1 and message_id in ("
      "select message_id from (select message_id, processed_at from inbox where group_name = $1 "
      "order by message_id limit $2) as oldest where processed_at < $3)",
      group, most, before);
}

}  // namespace holdfast::messaging::inbox
