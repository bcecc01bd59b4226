#include "holdfast/messaging/engine/internal/retention.hpp"

#include <string>
#include <vector>

#include "holdfast/base/fault.hpp"
#include "holdfast/messaging/inbox.hpp"

namespace holdfast::messaging::engine {
namespace {

WallTime before(WallTime now, Duration age) {
  return now - std::chrono::ceil<std::chrono::microseconds>(age);
}

std::int64_t trim_log(sql::Transaction& tx, WallTime cutoff, std::size_t most) {
  // The oldest are looked at, at most `most`: the cost does not depend on what is kept. A message is needed
  // while a group of its topic has not passed it; a bucket's position may lag behind where nothing of it
  // comes.
  return tx.execute(
      "delete from outbox where position in (select o.position from (select position, bucket, topic, "
      "occurred_at from outbox order by position limit $1) o where o.occurred_at < $2 and not exists (select "
      "1 "
      "from outbox_groups g join outbox_leases l on l.group_name = g.group_name where l.bucket = o.bucket "
      "and "
      "l.position < o.position and (g.topics like '%\"' || o.topic || '\"%' or g.topics like '%\"*\"%')))",
      most, cutoff);
}

}  // namespace

std::int64_t trim(const Context& ctx, sql::Database& database, const BrokerOptions& options) {
  const WallTime now = ctx.clock().wall_now();
  std::int64_t deleted = 0;
  for (std::int64_t last = 1; last > 0; deleted += last) {
    last = database.transact(ctx, "trim the outbox", [&](sql::Transaction& tx) {
      return trim_log(tx, before(now, options.log_retention), options.trim_batch);
    });
    HOLDFAST_FAULT("messaging.after_trim");
  }
  for (const std::string& group : database.query<std::string>(ctx, "select group_name from outbox_groups")) {
    std::int64_t last = 1;
    while (last > 0) {
      last = database.transact(ctx, "trim the inbox", [&](sql::Transaction& tx) {
        return inbox::trim(tx, group, before(now, options.inbox_retention), options.trim_batch);
      });
    }
  }
  return deleted;
}

}  // namespace holdfast::messaging::engine
