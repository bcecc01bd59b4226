#include "holdfast/messaging/embedded/internal/retention.hpp"

#include <limits>
#include <string>
#include <vector>

#include "holdfast/base/fault.hpp"
#include "holdfast/messaging/inbox.hpp"

namespace holdfast::messaging::embedded {
namespace {

WallTime before(WallTime now, Duration age) {
  return now - std::chrono::ceil<std::chrono::microseconds>(age);
}

std::int64_t trim_log(sql::Transaction& tx, WallTime cutoff, std::size_t most) {
  // Without any group nothing stands in the way but the age.
  const std::int64_t passed =
      tx.query_value<std::optional<std::int64_t>>("select min(position) from outbox_leases")
          .value_or(std::numeric_limits<std::int64_t>::max());
  // The oldest are looked at, at most `most`: the cost does not depend on what is kept.
  return tx.execute(
      "delete from outbox where position in (select position from (select position, occurred_at from outbox "
      "where position <= $1 order by position limit $2) where occurred_at < $3)",
      passed, most, cutoff);
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

}  // namespace holdfast::messaging::embedded
