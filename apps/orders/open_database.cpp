#include "orders/open_database.hpp"

#include <unistd.h>

#include <algorithm>
#include <sstream>
#include <system_error>
#include <tuple>
#include <utility>

#include "holdfast/sql/migrations.hpp"
#include "holdfast/sql/postgres/database.hpp"
#include "holdfast/sql/sqlite/database.hpp"
#include "orders/migrations.hpp"

namespace holdfast::orders {
namespace {

constexpr std::size_t kMostReplicas = 16;
constexpr std::string_view kSqlite = "sqlite:";
constexpr const char* kSetting = "database.url (HOLDFAST_DATABASE_URL): ";

bool names_postgres(std::string_view url) {
  return url.starts_with("postgres://") || url.starts_with("postgresql://");
}

Error misread(const char* why) {
  return Error(ErrorCode::invalid_argument, std::string(kSetting) + why).reason("invalid_configuration");
}

Error unusable(const std::string& why) {
  return Error(ErrorCode::unavailable, kSetting + why).reason("database_unavailable");
}

std::unique_ptr<sql::Database> open_sqlite(const DatabaseSettings& settings,
                                           const std::filesystem::path& file, runtime::Runtime& runtime) {
  sql::sqlite::Options options;
  options.path = file.string();
  options.max_queue = settings.max_queue;
  options.max_group = settings.max_group;
  options.writer_cache_kib = settings.writer_cache.bytes / 1024;
  options.reader_cache_kib = settings.reader_cache.bytes / 1024;
  return sql::sqlite::open_file(runtime, std::move(options));
}

sql::postgres::Options postgres_options(const DatabaseSettings& settings, std::string_view role) {
  const PostgresSettings& chosen = settings.postgres;
  sql::postgres::Options options;
  options.uri = settings.url.reveal();
  options.application_name = "holdfast-" + std::string(role) + "[" + std::to_string(::getpid()) + "]";
  options.connect_timeout = chosen.connect_timeout;
  options.statement_timeout = chosen.statement_timeout;
  options.readers_per_loop = chosen.readers_per_loop;
  options.writers = chosen.writers == PostgresWriters::one_at_a_time ? sql::postgres::Writers::one_at_a_time
                                                                     : sql::postgres::Writers::side_by_side;
  options.lanes = chosen.lanes;
  options.max_queue = settings.max_queue;
  options.max_interleaved = settings.max_group;
  options.max_group = std::min<std::size_t>(settings.max_group, options.max_group);
  return options;
}

/// A standby, or a database that is set to be read only, takes reads and refuses the first order.
void require_writable(const Context& ctx, sql::Database& database) {
  const auto [standby, encoding] =
      database
          .query_one<std::tuple<bool, std::string>>(
              ctx, "select pg_is_in_recovery(), current_setting('server_encoding')")
          .value();
  if (encoding != "UTF8") {
    throw unusable("its encoding is " + encoding +
                   ". Create it with: createdb --template=template0 --encoding=UTF8 NAME");
  }
  const auto read_only = [&] {
    return database.transact(ctx, "look at the database", [](sql::Transaction& tx) {
      return tx.query_value<std::string>("select current_setting('transaction_read_only')");
    });
  };
  if (standby || read_only() == "on") {
    throw unusable(
        "this PostgreSQL is read only (a standby, or default_transaction_read_only is on). Name the "
        "primary, or several hosts with target_session_attrs=read-write.");
  }
}

struct Places {
  std::int64_t all = 0;
  std::int64_t reserved = 0;
  std::int64_t of_role = 0;      // -1: as many as there are
  std::int64_t of_database = 0;  // likewise
};
HOLDFAST_DESCRIBE(Places, (all, reserved, of_role, of_database))

/// What this process may come to need must fit into what the server gives: else it would start, and be
/// refused connections when it is busiest.
void require_places(const Context& ctx, sql::Database& database, std::size_t most, std::string_view role) {
  const auto places =
      database
          .query_one<Places>(ctx,
                             "select current_setting('max_connections')::int as \"all\", "
                             "current_setting('superuser_reserved_connections')::int as reserved, "
                             "rolconnlimit as of_role, datconnlimit as of_database "
                             "from pg_roles, pg_database "
                             "where rolname = current_user and datname = current_database()")
          .value();
  std::int64_t given = places.all - places.reserved;
  if (places.of_role >= 0) given = std::min(given, places.of_role);
  if (places.of_database >= 0) given = std::min(given, places.of_database);
  if (static_cast<std::int64_t>(most) <= given) return;
  throw unusable("a " + std::string(role) + " process uses at most " + std::to_string(most) +
                 " connections, and this PostgreSQL gives " + std::to_string(given) +
                 " (max_connections less superuser_reserved_connections, and the limits of the role and the "
                 "database). Lower database.postgres.readers_per_loop, database.postgres.lanes or "
                 "runtime.loops, or raise the limit.");
}

std::unique_ptr<sql::Database> open_postgres(const Context& ctx, const DatabaseSettings& settings,
                                             runtime::Runtime& runtime, std::string_view role) {
  try {
    const sql::postgres::Options options = postgres_options(settings, role);
    auto database = sql::postgres::open(runtime, options);
    require_writable(ctx, *database);
    // Commands use few of theirs, one after the other.
    if (role != "cli") {
      require_places(ctx, *database, sql::postgres::most_connections(options, runtime.loop_count()), role);
    }
    return database;
  } catch (const sql::DatabaseError& failure) {
    if (failure.code() != ErrorCode::unavailable) throw;
    throw unusable(failure.cause());
  }
}

}  // namespace

std::optional<std::filesystem::path> sqlite_file(const Settings& settings) {
  const std::string& url = settings.database.url.reveal();
  if (names_postgres(url)) return std::nullopt;
  if (!url.empty() && (!url.starts_with(kSqlite) || url.size() == kSqlite.size())) {
    throw misread(
        "it must begin with postgres://, or be sqlite:FILE. Leave it out for a file in the data folder.");
  }
  const std::string file = url.empty() ? settings.database.file : url.substr(kSqlite.size());
  return std::filesystem::path(settings.data) / file;  // an absolute one replaces the folder
}

std::string shown_database(const Settings& settings) {
  const auto file = sqlite_file(settings);
  if (file) return file->string();
  const auto shown = sql::postgres::shown_uri(settings.database.url.reveal());
  if (!shown) {
    throw misread(
        "it can't be read. Its form is postgres://user:password@host:port/database?sslmode=verify-full, with "
        "%-codes for what is special in a URL, such as %40 for @.");
  }
  return *shown;
}

std::unique_ptr<sql::Database> open_unmigrated(const Context& ctx, const Settings& settings,
                                               runtime::Runtime& runtime, std::string_view role) {
  const auto file = sqlite_file(settings);
  static_cast<void>(shown_database(settings));  // or what is wrong with the URL, before libpq quotes it
  std::error_code failure;
  std::filesystem::create_directories(settings.data, failure);
  if (failure) {
    throw Error(ErrorCode::unavailable,
                "The data folder " + settings.data + " can't be made: " + failure.message())
        .reason("data_folder_unavailable");
  }
  return file ? open_sqlite(settings.database, *file, runtime)
              : open_postgres(ctx, settings.database, runtime, role);
}

std::optional<sql::postgres::Options> postgres_of(const Settings& settings, std::string_view role) {
  if (sqlite_file(settings)) return std::nullopt;
  return postgres_options(settings.database, role);
}

std::vector<sql::postgres::Replicas::Replica> replicas_of(const Settings& settings, std::string_view role) {
  const auto refuse = [](const std::string& why) {
    return Error(ErrorCode::invalid_argument, "database.replicas (HOLDFAST_DATABASE_REPLICAS): " + why)
        .reason("invalid_configuration");
  };
  std::vector<sql::postgres::Replicas::Replica> replicas;
  std::istringstream urls(settings.database.replicas.reveal());
  for (std::string url; urls >> url;) {
    if (replicas.size() == kMostReplicas)
      throw refuse("there are at most " + std::to_string(kMostReplicas) + ".");
    const auto shown = names_postgres(url) ? sql::postgres::shown_uri(url) : std::nullopt;
    if (!shown) throw refuse("each must be a postgres:// URL, with spaces between them.");
    sql::postgres::Options options = postgres_options(settings.database, role);
    options.uri = url;
    replicas.push_back({.name = *shown, .options = std::move(options)});
  }
  if (!replicas.empty() && sqlite_file(settings))
    throw refuse("a SQLite file has no replicas; set database.url to their primary.");
  return replicas;
}

std::unique_ptr<sql::Database> open_database(const Context& ctx, const Settings& settings,
                                             runtime::Runtime& runtime, std::string_view role) {
  auto database = open_unmigrated(ctx, settings, runtime, role);
  try {
    sql::Migrator(*database, migrations()).up(ctx);
  } catch (const sql::DatabaseError& failure) {
    if (failure.code() != ErrorCode::unavailable || sqlite_file(settings)) throw;
    throw unusable(
        "its schema can't be brought up to date; look at the server's disk, its locks and its log. (" +
        failure.cause() + ")");
  }
  return database;
}

}  // namespace holdfast::orders
