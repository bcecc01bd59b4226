#include "holdfast/sql/migrations.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <tuple>
#include <utility>

#include "holdfast/base/encoding.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "holdfast/sql/postgres/classify.hpp"

namespace holdfast::sql {
namespace {

constexpr std::string_view kCreateHistory =
    "create table if not exists holdfast_migrations("
    "  version bigint primary key,"
    "  name text not null,"
    "  checksum text not null,"
    "  applied_at bigint not null)";

constexpr const char* kApplying = "apply a migration";

// Of a step whose table somebody reads or writes for long. It gives up each time before long: who comes after
// it waits for it, and so do all writers.
constexpr std::size_t kMostTries = 30;
constexpr auto kUntilUnlocked = std::chrono::seconds(1);

std::string label(std::int64_t version, std::string_view name) {
  return std::to_string(version) + " (" + std::string(name) + ")";
}
std::string label(const Migration& migration) { return label(migration.version, migration.name); }

[[noreturn]] void refuse(std::string reason, std::string detail) {
  throw Error(ErrorCode::failed_precondition, std::move(detail)).reason(std::move(reason));
}

/// While it lives, no other process migrates this PostgreSQL. On SQLite a step's transaction is enough.
/// Without it, writers that are side by side would make the same table twice. Asked for again and again, so
/// that nobody holds the writers' turn while waiting for somebody who needs it.
class MigratingAlone {
 public:
  MigratingAlone(const Context& ctx, Database& database) : ctx_(ctx.detached()), database_(database) {
    if (database_.dialect() != Dialect::postgres) return;
    while (ask(ctx, "select case when pg_try_advisory_lock(3470228961250497911) then 1 else 0 end") == 0)
      runtime::sleep_for(ctx, kLookAgain);
    held_ = true;
  }
  ~MigratingAlone() {
    try {
      if (held_) ask(ctx_, "select 1 from pg_advisory_unlock_all()");
    } catch (const Error&) {  // the connection is lost, and the lock with it
    }
  }
  MigratingAlone(const MigratingAlone&) = delete;
  MigratingAlone& operator=(const MigratingAlone&) = delete;

 private:
  static constexpr auto kLookAgain = std::chrono::milliseconds(50);

  // Under the name that the steps have: one name's transactions have one connection, whose lock it is.
  std::int64_t ask(const Context& ctx, const char* sql) {
    return database_.transact(ctx, kApplying,
                              [&](Transaction& tx) { return tx.query_value<std::int64_t>(sql); });
  }

  const Context ctx_;
  Database& database_;
  bool held_ = false;
};

// The failure of a step, with the step's name: what is read at 3 a.m.
[[noreturn]] void rethrow_for(const Migration& migration, const char* doing) {
  try {
    throw;
  } catch (const Error& error) {
    throw Error(error.code(),
                std::string(doing) + " migration " + label(migration) + " failed; nothing of it was kept.")
        .reason("migration_failed")
        .cause(error.what());
  }
}

}  // namespace

struct Migrator::Applied {
  std::int64_t version = 0;
  std::string name;
  std::string checksum;
  WallTime applied_at{};
};

std::string checksum_of(const Migration& migration) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int size = 0;
  if (EVP_Digest(migration.up_sql.data(), migration.up_sql.size(), digest.data(), &size, EVP_sha256(),
                 nullptr) != 1) {
    throw Error(ErrorCode::internal, "SHA-256 is not available.");
  }
  return encode_hex({digest.data(), size});
}

Migrator::Migrator(Database& database, std::vector<Migration> migrations)
    : database_(database), migrations_(std::move(migrations)) {
  if (database.dialect() == Dialect::postgres) {
    for (Migration& migration : migrations_) {
      if (!migration.postgres_up_sql.empty()) migration.up_sql = migration.postgres_up_sql;
      if (!migration.postgres_down_sql.empty()) migration.down_sql = migration.postgres_down_sql;
    }
  }
  std::sort(migrations_.begin(), migrations_.end(),
            [](const Migration& a, const Migration& b) { return a.version < b.version; });
  std::int64_t previous = 0;
  for (const Migration& migration : migrations_) {
    if (migration.version <= previous) {
      throw Error(ErrorCode::internal, "Two migrations have one version, or one that is not above 0.")
          .cause(label(migration));
    }
    previous = migration.version;
  }
}

std::vector<Migrator::Applied> Migrator::history(Queries& queries) {
  std::vector<Applied> applied;
  using Columns = std::tuple<std::int64_t, std::string, std::string, WallTime>;
  queries.for_each<Columns>(
      "select version, name, checksum, applied_at from holdfast_migrations order by version",
      [&](Columns&& row) {
        auto& [version, name, checksum, applied_at] = row;
        applied.push_back({version, std::move(name), std::move(checksum), applied_at});
      });
  return applied;
}

// A database that was never migrated has no table, and a dry run must not make one.
std::vector<Migrator::Applied> Migrator::history(const Context& ctx) const {
  const char* there_is = database_.dialect() == Dialect::postgres
                             ? "select count(to_regclass('holdfast_migrations'))"
                             : "select count(*) from sqlite_master where name = 'holdfast_migrations'";
  return database_.read(ctx, [&](Snapshot& snapshot) {
    return snapshot.query_value<std::int64_t>(there_is) > 0 ? history(snapshot) : std::vector<Applied>{};
  });
}

void Migrator::require_trusted(const std::vector<Applied>& applied) const {
  auto known = migrations_.begin();
  for (const Applied& step : applied) {
    if (step.version == kUnfinishedTransfer) {
      refuse(
          "transfer_unfinished",
          "Data is being moved into this database, and not all of it is there: run `holdfast migrate data` "
          "again until it is done.");
    }
    if (known == migrations_.end() && step.name.starts_with(kExpands)) continue;
    if (known == migrations_.end() || step.version < known->version) {
      refuse("database_newer", "The database has migration " + label(step.version, step.name) +
                                   ", which this binary does not know. Run a newer one.");
    }
    if (known->version != step.version) {
      refuse("migration_gap", "Migration " + label(*known) + " was not applied, but the later " +
                                  label(step.version, step.name) + " was. Give it a version after that.");
    }
    if (checksum_of(*known) != step.checksum) {
      refuse("migration_edited", "Migration " + label(*known) +
                                     " was changed after it was applied. Restore it, and write a new one.");
    }
    ++known;
  }
}

std::vector<MigrationStatus> Migrator::status(const Context& ctx) const {
  const std::vector<Applied> applied = history(ctx);
  require_trusted(applied);
  std::vector<MigrationStatus> steps;
  for (std::size_t i = 0; i < migrations_.size(); ++i) {
    const std::optional<WallTime> at =
        i < applied.size() ? std::optional(applied[i].applied_at) : std::nullopt;
    steps.push_back({migrations_[i].version, migrations_[i].name, at});
  }
  for (std::size_t i = migrations_.size(); i < applied.size(); ++i) {
    steps.push_back({applied[i].version, applied[i].name, applied[i].applied_at});
  }
  return steps;
}

std::vector<Migration> Migrator::plan_up(const Context& ctx) const {
  const std::vector<Applied> applied = history(ctx);
  require_trusted(applied);
  const std::size_t there = std::min(applied.size(), migrations_.size());
  return {migrations_.begin() + static_cast<std::ptrdiff_t>(there), migrations_.end()};
}

std::vector<Migration> Migrator::plan_down(const Context& ctx, std::size_t steps) const {
  const std::vector<Applied> applied = history(ctx);
  require_trusted(applied);
  if (applied.size() > migrations_.size()) {
    const Applied& latest = applied.back();
    refuse("database_newer", "The latest step is " + label(latest.version, latest.name) +
                                 ", which this binary does not know. Undo it with the newer one.");
  }
  std::vector<Migration> plan;
  for (std::size_t i = applied.size(); i > 0 && plan.size() < steps; --i) {
    const Migration& migration = migrations_[i - 1];
    if (migration.down_sql.empty()) {
      refuse("migration_irreversible",
             "Migration " + label(migration) + " can't be undone: it has no down_sql.");
    }
    plan.push_back(migration);
  }
  return plan;
}

std::vector<Migration> Migrator::up(const Context& ctx) const {
  std::vector<Migration> done;
  if (plan_up(ctx).empty()) return done;  // the common start: nothing to do, nothing written
  const MigratingAlone alone(ctx, database_);
  for (std::size_t tried = 1;; ++tried) {
    try {
      while (std::optional<Migration> applied = apply_next(ctx)) {
        done.push_back(std::move(*applied));
        tried = 1;
      }
      return done;
    } catch (const Error& error) {
      if (tried >= kMostTries || !postgres::waited_for_lock(error)) throw;
    }
    runtime::sleep_for(ctx, kUntilUnlocked);
  }
}

std::optional<Migration> Migrator::apply_next(const Context& ctx) const {
  std::optional<Migration> next;
  try {
    database_.transact(ctx, kApplying, [&](Transaction& tx) {
      next.reset();
      tx.execute(kCreateHistory);
      const std::vector<Applied> applied = history(tx);  // again: another process may have gone ahead
      require_trusted(applied);
      if (applied.size() >= migrations_.size()) return;
      next = migrations_[applied.size()];
      tx.execute_script(next->up_sql);
      tx.execute(
          "insert into holdfast_migrations(version, name, checksum, applied_at) values($1, $2, $3, $4)",
          next->version, next->name, checksum_of(*next), ctx.clock().wall_now());
    });
  } catch (...) {
    if (next) rethrow_for(*next, "Applying");
    throw;
  }
  return next;
}

std::vector<Migration> Migrator::down(const Context& ctx, std::size_t steps) const {
  std::vector<Migration> plan = plan_down(ctx, steps);
  for (const Migration& migration : plan) undo(ctx, migration);
  return plan;
}

void Migrator::undo(const Context& ctx, const Migration& migration) const {
  try {
    database_.transact(ctx, "undo a migration", [&](Transaction& tx) {
      const std::vector<Applied> applied = history(tx);
      if (applied.empty() || applied.back().version != migration.version) {
        refuse("migration_gap",
               "Migration " + label(migration) + " is no longer the latest: somebody else migrates.");
      }
      tx.execute_script(migration.down_sql);
      tx.execute("delete from holdfast_migrations where version = $1", migration.version);
    });
  } catch (...) {
    rethrow_for(migration, "Undoing");
  }
}

}  // namespace holdfast::sql
