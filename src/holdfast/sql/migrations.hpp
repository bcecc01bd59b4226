// The schema's history: numbered steps compiled into the binary, each applied once, in order, in one
// transaction with its own record, so that a crash leaves a step either done and recorded or not begun.
//
//   const Migrator migrator(db, {{1, "products", "create table products(…)", "drop table products"}, …});
//   migrator.up(ctx);                       // what is missing; or .plan_up(ctx) to print it only
//   for (const auto& step : migrator.status(ctx)) …
//
// History is not rewritten: a step edited after it was applied, one missing in the middle, and a
// database newer than the binary are refused, naming the step; but newer steps that only add
// (kExpands) are worked with, so that a release runs on while the next one is rolled out. Any number of
// processes may run up() at once: one of them does it while the others wait.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/sql/database.hpp"

namespace holdfast::sql {

struct Migration {
  std::int64_t version = 0;  ///< above 0; unique; applied in ascending order
  std::string name;          ///< snake_case, for people: "add_orders_by_customer"
  std::string up_sql;        ///< statements separated by semicolons; no begin or commit
  std::string down_sql;      ///< what undoes it; empty: it can't be undone
  /// Instead of the two above on PostgreSQL, where its words can't be had by the translation of
  /// postgres/statement_text.hpp (triggers, functions); empty: the same.
  std::string postgres_up_sql = {};
  std::string postgres_down_sql = {};
};

/// What the name of a step begins with that only adds what an older release does not notice: tables, indices,
/// columns with a default or without `not null`. An older binary goes on, and starts, on such a database.
/// more_than_adds() checks it.
inline constexpr std::string_view kExpands = "expand: ";

/// Why the script does more than add, as a sentence; empty: it only adds.
std::string more_than_adds(std::string_view up_sql);

/// A step of this version in a database's history is no step: data is being moved there (transfer.hpp), and
/// it must not be used before all of it is.
inline constexpr std::int64_t kUnfinishedTransfer = INT64_MAX;

/// SHA-256 of its up_sql, 64 hex digits: what tells an edited step. A Migrator's steps have the up_sql of
/// its database.
std::string checksum_of(const Migration& migration);

struct MigrationStatus {
  std::int64_t version;
  std::string name;
  std::optional<WallTime> applied_at;  ///< empty: not yet
};

class Migrator {
 public:
  /// Throws Error(internal) where two migrations have one version, or one is not above 0.
  Migrator(Database& database, std::vector<Migration> migrations);

  /// What is known, applied or not, then what only the database knows. Throws as up() does for a history that
  /// can't be trusted.
  std::vector<MigrationStatus> status(const Context& ctx) const;

  /// What up() would apply, in order; changes nothing (a dry run).
  std::vector<Migration> plan_up(const Context& ctx) const;
  /// What down(steps) would undo, in order.
  std::vector<Migration> plan_down(const Context& ctx, std::size_t steps) const;

  /// Applies all that is missing; returns what this call applied. Stops at the first failure, which it
  /// throws with the step's name; the steps before it stay. Throws Error(failed_precondition) with
  /// reason "migration_edited", "migration_gap" or "database_newer" without changing anything.
  std::vector<Migration> up(const Context& ctx) const;

  /// Undoes the `steps` latest; returns them. Throws Error(failed_precondition) "migration_irreversible"
  /// where one has no down_sql, before undoing any.
  std::vector<Migration> down(const Context& ctx, std::size_t steps) const;

 private:
  struct Applied;
  static std::vector<Applied> history(Queries& queries);
  std::vector<Applied> history(const Context& ctx) const;
  /// Throws unless `applied` is a beginning of what is known, or all of it and steps that only add.
  void require_trusted(const std::vector<Applied>& applied) const;
  /// Applies the first that is missing; nothing when none is.
  std::optional<Migration> apply_next(const Context& ctx) const;
  void undo(const Context& ctx, const Migration& migration) const;

  Database& database_;
  std::vector<Migration> migrations_;  // ascending
};

}  // namespace holdfast::sql
