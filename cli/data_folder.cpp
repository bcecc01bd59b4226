#include "cli/data_folder.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "holdfast/sql/migrations.hpp"
#include "holdfast/sql/sqlite/database.hpp"
#include "orders/migrations.hpp"
#include "orders/open_database.hpp"

namespace holdfast::cli {

namespace fs = std::filesystem;

namespace {

void require_database_file(const orders::Settings& settings) {
  const auto file = orders::sqlite_file(settings);
  if (!file || fs::exists(*file)) return;
  throw Error(ErrorCode::unavailable,
              "There is no database at " + file->string() +
                  " yet. `holdfast serve` makes one; --data or HOLDFAST_DATA says where.");
}

}  // namespace

Error schema_refused(const Error& error) {
  return Error(ErrorCode::unavailable, error.detail()).reason(std::string(error.reason()));
}

void require_data_folder(const orders::Settings& settings) {
  std::error_code failure;
  fs::create_directories(settings.data, failure);
  const bool usable = !failure && fs::is_directory(settings.data, failure) &&
                      ::access(settings.data.c_str(), R_OK | W_OK | X_OK) == 0;
  if (usable) return;
  const std::string why = failure ? failure.message() : std::strerror(errno);
  throw Error(ErrorCode::unavailable,
              "The data folder " + fs::absolute(settings.data).string() + " can't be used: " + why +
                  ". Make it writable, or name another one with --data or HOLDFAST_DATA.");
}

std::vector<std::string> require_schema(const Context& ctx, sql::Database& database, bool may_migrate) {
  const sql::Migrator migrator(database, orders::migrations());
  try {
    std::vector<std::string> applied;
    if (may_migrate) {
      for (const sql::Migration& step : migrator.up(ctx)) applied.push_back(step.name);
    } else if (!migrator.plan_up(ctx).empty()) {
      throw Error(ErrorCode::unavailable,
                  "The database's schema is older than this binary. Run `holdfast migrate up`.");
    }
    return applied;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::failed_precondition) throw;
    throw schema_refused(error);
  }
}

ExitCode with_database(const Invocation& invocation, SchemaState wanted,
                       const std::function<ExitCode(const Context&, sql::Database&)>& body) {
  const LoadedSettings settings = load_settings(invocation);
  if (wanted == SchemaState::current) {
    require_database_file(*settings);
  } else if (wanted != SchemaState::seen) {
    require_data_folder(*settings);
  }
  const auto file = orders::sqlite_file(*settings);
  const bool in_memory = wanted == SchemaState::seen && file && !fs::exists(*file);
  runtime::Runtime runtime({.loops = 1}, invocation.clock, invocation.random);
  ExitCode code = ExitCode::failed;
  runtime.run([&](const Context& ctx) {
    const auto database = in_memory ? sql::sqlite::open_memory(runtime)
                                    : orders::open_unmigrated(ctx, *settings, runtime, "cli");
    if (wanted == SchemaState::current || wanted == SchemaState::migrated) {
      require_schema(ctx, *database, wanted == SchemaState::migrated);
    }
    code = body(ctx, *database);
  });
  return code;
}

void write_atomically(const fs::path& path, std::string_view text) {
  const fs::path beside = path.string() + ".new";
  std::ofstream file(beside, std::ios::trunc);
  file << text << std::flush;
  std::error_code failure;
  if (file) fs::rename(beside, path, failure);
  if (!file || failure) {
    throw Error(ErrorCode::unavailable,
                path.string() + " can't be written: " +
                    (failure ? failure.message() : std::string(std::strerror(errno))) + ".");
  }
}

}  // namespace holdfast::cli
