// Inventory: how many pieces of each sku there are, and why. Every change of a level writes a movement
// in the same transaction, so the movements of a sku always sum up to its level.
//
//   inventory::open(ctx, tx, "MUG-1", 100);                                  // a new product's stock
//   if (!inventory::deduct(ctx, tx, "MUG-1", 2, order_id)) throw …;          // never below zero
//   inventory::give_back(ctx, tx, "MUG-1", 2, order_id);
//
// Knows skus, not products or orders. Thread-safety: as the Transaction's.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/reflect.hpp"
#include "holdfast/runtime/context.hpp"
#include "holdfast/sql/database.hpp"
#include "holdfast/sql/migrations.hpp"

namespace holdfast::orders::inventory {

/// The most pieces a level may reach, and the most an adjustment may add or take.
inline constexpr std::int64_t kMaxLevel = 1'000'000'000;

enum class MovementReason : std::uint8_t {
  opening,     ///< the level a product began with
  sold,        ///< deducted by an order
  cancelled,   ///< given back by an order's cancellation
  received,    ///< came in from a supplier
  returned,    ///< came back from a customer
  damaged,     ///< written off
  lost,        ///< written off
  correction,  ///< a count found another number
};
HOLDFAST_DESCRIBE_ENUM(MovementReason, opening, sold, cancelled, received, returned, damaged, lost,
                       correction)

struct StockLevel {
  std::string sku;
  std::int64_t quantity = 0;
  WallTime updated_at;
};
HOLDFAST_DESCRIBE(StockLevel, (sku, quantity, updated_at))

struct Movement {
  std::int64_t id = 0;
  std::string sku;
  std::int64_t delta = 0;
  MovementReason reason = MovementReason::correction;
  std::string reference;
  WallTime at;
};
HOLDFAST_DESCRIBE(Movement, (id, sku, delta, reason, reference, at))

/// A change asked for by a person. `opening`, `sold` and `cancelled` are the system's own.
struct Adjustment {
  std::int64_t delta = 0;
  MovementReason reason = MovementReason::correction;
  std::string reference;

  void validate(Violations& faults) const;
  static constexpr auto rules() {
    return holdfast::rules(field<&Adjustment::delta>()
                               .range(-kMaxLevel, kMaxLevel)
                               .doc("Pieces to add, or to take where negative; not 0.")
                               .example("25"),
                           field<&Adjustment::reason>()
                               .doc("received, returned, damaged, lost or correction.")
                               .example("\"received\""),
                           field<&Adjustment::reference>()
                               .length(0, 200)
                               .printable()
                               .defaulted()
                               .doc("What it belongs to, e.g. a delivery note.")
                               .example("\"DN-2041\""));
  }
};
HOLDFAST_DESCRIBE(Adjustment, (delta, reason, reference))

/// A sku whose movements do not sum up to its level. There should never be one.
struct Imbalance {
  std::string sku;
  std::int64_t level = 0;
  std::int64_t movements = 0;
};
HOLDFAST_DESCRIBE(Imbalance, (sku, level, movements))

/// Starts a sku at `quantity`. False, and nothing done, where it has been opened before.
bool open(const Context& ctx, sql::Transaction& tx, std::string_view sku, std::int64_t quantity);

struct Opening {
  std::string_view sku;
  std::int64_t quantity = 0;
};
/// The same for many, each sku once: written in bulk where the database can do that.
void open_many(const Context& ctx, sql::Transaction& tx, std::span<const Opening> openings);

/// Takes `quantity` (positive) off the level if it is there: one guarded statement and one movement.
/// False, and nothing done, where there is less or the sku is unknown.
[[nodiscard]] bool deduct(const Context& ctx, sql::Transaction& tx, std::string_view sku,
                          std::int64_t quantity, std::string_view reference);

/// Puts back what deduct() took.
void give_back(const Context& ctx, sql::Transaction& tx, std::string_view sku, std::int64_t quantity,
               std::string_view reference);

/// Throws Error: not_found for an unknown sku; conflict/"insufficient_stock" where the level would go
/// below zero, conflict/"stock_limit" where above kMaxLevel.
StockLevel adjust(const Context& ctx, sql::Transaction& tx, std::string_view sku,
                  const Adjustment& adjustment);

/// Nothing for an unknown sku.
std::optional<StockLevel> level(sql::Queries& db, std::string_view sku);

/// The newest movements of a sku that came before movement `before` (0: all), at most `limit`. A scan
/// of the ledger from its end: selling, not looking back, is what its layout is made for.
std::vector<Movement> movements(sql::Queries& db, std::string_view sku, std::int64_t before,
                                std::int64_t limit);

/// What explains a level: quantity = opening + adjusted - sold + cancelled.
struct StockAccount {
  std::string sku;
  std::int64_t quantity = 0;
  std::int64_t opening = 0;
  std::int64_t adjusted = 0;   ///< by people: received, returned, damaged, lost, correction
  std::int64_t sold = 0;       ///< deducted by orders, as a positive number
  std::int64_t cancelled = 0;  ///< given back by their cancellations
};
HOLDFAST_DESCRIBE(StockAccount, (sku, quantity, opening, adjusted, sold, cancelled))

/// Those after `after_sku`, by sku, at most `limit`. Reads the whole ledger.
std::vector<StockAccount> accounts(sql::Queries& db, std::string_view after_sku, std::int64_t limit);

/// Skus whose ledger does not add up, at most `limit`. Reads the whole ledger.
std::vector<Imbalance> imbalances(sql::Queries& db, std::int64_t limit = 100);

/// This module's steps of the schema; their numbers are given out in orders/migrations.cpp.
std::vector<sql::Migration> migrations();

}  // namespace holdfast::orders::inventory
