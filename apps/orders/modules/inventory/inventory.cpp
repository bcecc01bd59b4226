#include "orders/modules/inventory/inventory.hpp"

#include <unordered_set>
#include <vector>

#include "holdfast/sql/copy.hpp"
#include "orders/shared/rows_of.hpp"

namespace holdfast::orders::inventory {
namespace {

void record(const Context& ctx, sql::Transaction& tx, std::string_view sku, std::int64_t delta,
            MovementReason reason, std::string_view reference) {
  tx.execute("insert into stock_movements(sku, delta, reason, reference, at) values($1, $2, $3, $4, $5)", sku,
             delta, reason, reference, ctx.clock().wall_now());
}

[[noreturn]] void refuse_adjustment(const StockLevel& level, std::int64_t delta) {
  std::string detail =
      level.sku + " has " + std::to_string(level.quantity) + " pieces; a change by " + std::to_string(delta);
  if (delta < 0) {
    throw Error(ErrorCode::conflict, detail + " would leave less than none.").reason("insufficient_stock");
  }
  throw Error(ErrorCode::conflict, detail + " would exceed " + std::to_string(kMaxLevel) + ".")
      .reason("stock_limit");
}

}  // namespace

void Adjustment::validate(Violations& faults) const {
  if (delta == 0) faults.add_at("/delta", "zero_delta", "must not be 0");
  switch (reason) {
    case MovementReason::opening:
    case MovementReason::sold:
    case MovementReason::cancelled:
      faults.add_at("/reason", "reserved_reason",
                    "must be one of received, returned, damaged, lost, correction");
      break;
    default: break;
  }
}

bool open(const Context& ctx, sql::Transaction& tx, std::string_view sku, std::int64_t quantity) {
  const std::int64_t opened = tx.execute(
      "insert into stock_levels(sku, quantity, updated_at) values($1, $2, $3) on conflict(sku) do nothing",
      sku, quantity, ctx.clock().wall_now());
  if (opened == 0) return false;
  if (quantity != 0) record(ctx, tx, sku, quantity, MovementReason::opening, "");
  return true;
}

void open_many(const Context& ctx, sql::Transaction& tx, std::span<const Opening> openings) {
  std::vector<std::string_view> skus;
  for (const Opening& opening : openings) skus.push_back(opening.sku);
  std::unordered_set<std::string> present;
  for_each_of<std::string>(tx, "select sku from stock_levels where sku", skus,
                           [&](std::string&& sku) { present.insert(std::move(sku)); });
  const auto is_new = [&](const Opening& opening) { return !present.contains(std::string(opening.sku)); };
  const WallTime now = ctx.clock().wall_now();
  sql::copy_in(tx, "stock_levels", {"sku", "quantity", "updated_at"}, [&](sql::CopyRows& rows) {
    for (const Opening& opening : openings) {
      if (is_new(opening)) rows.add(opening.sku, opening.quantity, now);
    }
  });
  sql::copy_in(tx, "stock_movements", {"sku", "delta", "reason", "reference", "at"},
               [&](sql::CopyRows& rows) {
                 for (const Opening& opening : openings) {
                   if (is_new(opening) && opening.quantity != 0)
                     rows.add(opening.sku, opening.quantity, MovementReason::opening, "", now);
                 }
               });
}

bool deduct(const Context& ctx, sql::Transaction& tx, std::string_view sku, std::int64_t quantity,
            std::string_view reference) {
  const std::int64_t deducted = tx.execute(
      "update stock_levels set quantity = quantity - $2, updated_at = $3 where sku = $1 and quantity >= $2",
      sku, quantity, ctx.clock().wall_now());
  if (deducted == 0) return false;
  record(ctx, tx, sku, -quantity, MovementReason::sold, reference);
  return true;
}

void give_back(const Context& ctx, sql::Transaction& tx, std::string_view sku, std::int64_t quantity,
               std::string_view reference) {
  const std::int64_t changed =
      tx.execute("update stock_levels set quantity = quantity + $2, updated_at = $3 where sku = $1", sku,
                 quantity, ctx.clock().wall_now());
  if (changed == 0) {
    throw Error(ErrorCode::internal, "The stock could not be given back.")
        .cause("no stock level of " + std::string(sku) + ", which " + std::string(reference) +
               " was sold from");
  }
  record(ctx, tx, sku, quantity, MovementReason::cancelled, reference);
}

StockLevel adjust(const Context& ctx, sql::Transaction& tx, std::string_view sku,
                  const Adjustment& adjustment) {
  const auto before = level(tx, sku);
  if (!before)
    throw Error(ErrorCode::not_found, "There is no stock of " + std::string(sku) + ".").reason("unknown_sku");
  const std::int64_t changed = tx.execute(
      "update stock_levels set quantity = quantity + $2, updated_at = $3 "
      "where sku = $1 and quantity + $2 between 0 and $4",
      sku, adjustment.delta, ctx.clock().wall_now(), kMaxLevel);
  if (changed == 0) refuse_adjustment(*before, adjustment.delta);
  record(ctx, tx, sku, adjustment.delta, adjustment.reason, adjustment.reference);
  return level(tx, sku).value();
}

std::optional<StockLevel> level(sql::Queries& db, std::string_view sku) {
  return db.query_one<StockLevel>("select sku, quantity, updated_at from stock_levels where sku = $1", sku);
}

std::vector<Movement> movements(sql::Queries& db, std::string_view sku, std::int64_t before,
                                std::int64_t limit) {
  return db.query<Movement>(
      "select id, sku, delta, reason, reference, at from stock_movements "
      "where sku = $1 and ($2 = 0 or id < $2) order by id desc limit $3",
      sku, before, limit);
}

std::vector<StockAccount> accounts(sql::Queries& db, std::string_view after_sku, std::int64_t limit) {
  return db.query<StockAccount>(
      "with page as (select sku, quantity from stock_levels where sku > $1 order by sku limit $2) "
      "select page.sku as sku, page.quantity as quantity,"
      "  coalesce(sum(case when m.reason = 'opening' then m.delta end), 0) as opening,"
      "  coalesce(sum(case when m.reason not in ('opening', 'sold', 'cancelled') then m.delta end), 0) as "
      "adjusted,"
      "  coalesce(-sum(case when m.reason = 'sold' then m.delta end), 0) as sold,"
      "  coalesce(sum(case when m.reason = 'cancelled' then m.delta end), 0) as cancelled "
      "from page left join stock_movements m on m.sku = page.sku "
      "group by page.sku, page.quantity order by page.sku",
      after_sku, limit);
}

std::vector<Imbalance> imbalances(sql::Queries& db, std::int64_t limit) {
  // From both sides: a level without movements, and movements without a level.
  return db.query<Imbalance>(
      "select sku, sum(level) as level, sum(movements) as movements from ("
      "  select sku, quantity as level, 0 as movements from stock_levels"
      "  union all"
      "  select sku, 0, sum(delta) from stock_movements group by sku) as both_sides "
      "group by sku having sum(level) <> sum(movements) order by sku limit $1",
      limit);
}

}  // namespace holdfast::orders::inventory
