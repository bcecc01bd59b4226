// The Order System's database as the settings choose it: a SQLite file in the data folder, or PostgreSQL.
//
//   const auto database = open_database(ctx, settings, runtime, "worker");   // migrated
//   log.info("database", {{"at", shown_database(settings)}});                //
//   "orders@db.internal:5432/orders"
//
// Thread-safety: functions of their arguments; open and destroy a Database on a fiber.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/runtime/runtime.hpp"
#include "holdfast/sql/database.hpp"
#include "holdfast/sql/postgres/replicas.hpp"
#include "orders/settings.hpp"

namespace holdfast::orders {

/// The SQLite file of these settings; nothing where they name a PostgreSQL. Throws
/// Error(invalid_argument, "invalid_configuration") where `database.url` is neither.
std::optional<std::filesystem::path> sqlite_file(const Settings& settings);

/// Where the database is, for people: without a password.
std::string shown_database(const Settings& settings);

/// As it is found, for those that look at the schema themselves. A file and its folder are made where they
/// are missing; a PostgreSQL's database is not. `role` is seen in its list of connections: "holdfast worker".
/// Throws Error(unavailable) naming the setting and the remedy where it can't be used or written.
std::unique_ptr<sql::Database> open_unmigrated(const Context& ctx, const Settings& settings,
                                               runtime::Runtime& runtime, std::string_view role);

/// For those that need more of a PostgreSQL than a Database; none where the settings name no PostgreSQL.
std::optional<sql::postgres::Options> postgres_of(const Settings& settings, std::string_view role);

/// What `database.replicas` names; nothing connects yet. Throws Error(invalid_argument,
/// "invalid_configuration") where one can't be read, or there is no PostgreSQL that they could be replicas
/// of.
std::vector<sql::postgres::Replicas::Replica> replicas_of(const Settings& settings, std::string_view role);

/// As open_unmigrated(), brought to this binary's schema. Throws besides as sql::Migrator::up().
std::unique_ptr<sql::Database> open_database(const Context& ctx, const Settings& settings,
                                             runtime::Runtime& runtime, std::string_view role);

}  // namespace holdfast::orders
