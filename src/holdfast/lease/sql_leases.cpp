#include "holdfast/lease/sql_leases.hpp"

namespace holdfast::lease {
namespace {

WallTime after(const Context& ctx, Duration time) {
  return ctx.clock().wall_now() + std::chrono::duration_cast<WallTime::duration>(time);
}

}  // namespace

std::optional<Fence> SqlLeases::try_take(const Context& ctx, std::string_view name, std::string_view holder,
                                         Duration time) {
  require_sound(name, holder, time);
  return database_.transact(ctx, "take lease", [&](sql::Transaction& tx) -> std::optional<Fence> {
    const WallTime now = ctx.clock().wall_now();
    tx.execute(
        "insert into leases(name, holder, fence, expires_at) values($1, null, 0, 0) on conflict(name) do "
        "nothing",
        name);
    const std::int64_t taken = tx.execute(
        "update leases set holder = $2, fence = fence + 1, expires_at = $3 "
        "where name = $1 and (holder is null or expires_at <= $4)",
        name, holder, after(ctx, time), now);
    if (taken == 0) return std::nullopt;
    return tx.query_value<Fence>("select fence from leases where name = $1", name);
  });
}

bool SqlLeases::renew(const Context& ctx, std::string_view name, std::string_view holder, Fence fence,
                      Duration time) {
  require_sound(name, holder, time);
  return database_.transact(ctx, "renew lease", [&](sql::Transaction& tx) {
    // Not once it has ended: another may have seen it free and be about to take it.
    return tx.execute(
               "update leases set expires_at = $4 "
               "where name = $1 and holder = $2 and fence = $3 and expires_at > $5",
               name, holder, fence, after(ctx, time), ctx.clock().wall_now()) == 1;
  });
}

void SqlLeases::release(const Context& ctx, std::string_view name, std::string_view holder, Fence fence) {
  database_.transact(ctx, "release lease", [&](sql::Transaction& tx) {
    tx.execute("update leases set holder = null where name = $1 and holder = $2 and fence = $3", name, holder,
               fence);
  });
}

}  // namespace holdfast::lease
