#include "holdfast/messaging/inbox.hpp"

namespace holdfast::messaging::inbox {

namespace {
constexpr std::string_view kEnter =
    "insert into inbox(group_name, message_id, processed_at) values($1, $2, $3) "
    "on conflict(group_name, message_id) do nothing";
}  // namespace

bool enter(sql::Transaction& tx, std::string_view group, std::string_view message_id, WallTime now) {
  return tx.execute(kEnter, group, message_id, now) == 1;
}

std::vector<bool> enter_all(sql::Transaction& tx, std::string_view group,
                            std::span<const std::string_view> message_ids, WallTime now) {
  std::vector<std::vector<sql::Value>> rows;
  rows.reserve(message_ids.size());
  for (const std::string_view id : message_ids)
    rows.push_back({sql::Value::text(group), sql::Value::text(id), sql::Codec<WallTime>::to_value(now)});
  std::vector<bool> entered;
  for (const std::int64_t changed : tx.execute_each(kEnter, rows)) entered.push_back(changed == 1);
  return entered;
}

void leave(sql::Transaction& tx, std::string_view group, std::string_view message_id) {
  tx.execute("delete from inbox where group_name = $1 and message_id = $2", group, message_id);
}

std::int64_t trim(sql::Transaction& tx, std::string_view group, WallTime before, std::size_t most) {
  return tx.execute(
      "delete from inbox where group_name = $1 and message_id in ("
      "select message_id from (select message_id, processed_at from inbox where group_name = $1 "
      "order by message_id limit $2) as oldest where processed_at < $3)",
      group, most, before);
}

}  // namespace holdfast::messaging::inbox
