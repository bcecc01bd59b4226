// The data folder: made and checked, and its database opened by commands that need no server.
//
//   return with_database(invocation, SchemaState::current, [&](const Context& ctx, sql::Database& database) {
//   … });
//
// Several processes may have one open; the database has them take turns.
#pragma once

#include <functional>

#include "cli/invocation.hpp"
#include "cli/settings.hpp"
#include "holdfast/runtime/context.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/sql/database.hpp"

namespace holdfast::cli {

/// What a command asks of the database before it begins.
enum class SchemaState : std::uint8_t {
  seen,      ///< as it is, and an empty one in memory where it is missing: nothing is made or changed
  any,       ///< made where it is missing; its schema is the command's business
  migrated,  ///< made where it is missing, and brought up to date
  current,   ///< there, and up to date
};

/// Runs `body` as a fiber with the data folder's database open. Throws Error(unavailable) saying what to do
/// where the folder, the database or its schema is not as asked.
ExitCode with_database(const Invocation& invocation, SchemaState wanted,
                       const std::function<ExitCode(const Context&, sql::Database&)>& body);

/// Makes the folder where it is missing. Throws Error(unavailable) with the remedy where that can't be done
/// or nothing can be written there.
void require_data_folder(const orders::Settings& settings);

/// Brings the schema to this binary's where `may_migrate`, and otherwise refuses another one. Returns the
/// steps that were applied. Throws Error(unavailable) with the remedy.
std::vector<std::string> require_schema(const Context& ctx, sql::Database& database, bool may_migrate);

/// Error(unavailable) of what Migrator says of a history it doesn't trust.
Error schema_refused(const Error& error);

/// Written beside and renamed into place: whoever sees the file sees all of it. Throws Error(unavailable).
void write_atomically(const std::filesystem::path& path, std::string_view text);

}  // namespace holdfast::cli
