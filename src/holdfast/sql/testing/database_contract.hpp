// The port's promises, asked of every adapter: the fixture of database_test.cpp and transaction_test.cpp.
// A new adapter joins kAdapters and passes them all.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <string>
#include <tuple>
#include <vector>

#include "holdfast/base/id.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/loop.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/runtime/sync.hpp"
#include "holdfast/sql/database.hpp"
#include "holdfast/sql/sqlite/database.hpp"
#include "holdfast/sql/testing/postgres_server.hpp"
#include "holdfast/sql/testing/temporary_folder.hpp"

namespace holdfast::sql {

enum class Colour { red, green };
HOLDFAST_DESCRIBE_ENUM(Colour, red, green)

struct Item {
  std::string sku;
  std::int64_t quantity = 0;
  std::optional<std::string> note;
};
HOLDFAST_DESCRIBE(Item, (sku, quantity, note))

struct Adapter {
  const char* name;
  std::unique_ptr<Database> (*open)(runtime::Runtime&, const std::filesystem::path& folder);
  bool simulated = false;
  const char* (*missing)() = nullptr;  ///< why it can't be had on this machine; null where it can
};

inline constexpr const char* kContractSchema =
    "create table items(sku text primary key, quantity integer not null check(quantity >= 0), note text);"
    "create table log(n integer primary key, text text not null);"
    "create table parts(id integer primary key, sku text not null references items(sku));"
    "create table late(id integer primary key,"
    "                  sku text not null references items(sku) deferrable initially deferred)";

class DatabaseContract : public ::testing::TestWithParam<Adapter> {
 protected:
  /// Runs `test` as the main fiber with a database that has the schema.
  void run(const std::function<void(const Context&, Database&)>& test) {
    if (GetParam().missing != nullptr && GetParam().missing() != nullptr)
      GTEST_SKIP() << GetParam().missing();
    TemporaryFolder folder;
    runtime::Runtime::Options options{.loops = 2};
    if (GetParam().simulated) options = {.simulated = true, .manual_clock = &manual_clock_};
    const Clock& clock = GetParam().simulated ? static_cast<const Clock&>(manual_clock_) : system_clock_;
    runtime::Runtime runtime(options, clock, random_);
    runtime_ = &runtime;
    runtime.run([&](const Context& ctx) {
      const auto db = GetParam().open(runtime, folder.path());
      db->transact(ctx, "schema", [](Transaction& tx) { tx.execute_script(kContractSchema); });
      test(ctx, *db);
    });
  }

  static void add(Transaction& tx, std::string_view sku, std::int64_t quantity) {
    tx.execute("insert into items(sku, quantity) values($1, $2)", sku, quantity);
  }
  static std::int64_t count(const Context& ctx, Database& db) {
    return db.query_value(ctx, "select count(*) from items");
  }

  /// The DatabaseError that `call` throws.
  template <class Call>
  static DatabaseError failure_of(const Call& call) {
    try {
      call();
    } catch (const DatabaseError& failure) {
      return failure;
    }
    ADD_FAILURE() << "no DatabaseError was thrown";
    return DatabaseError(FailureKind::other, "none", "none");
  }
  template <class Call>
  static Error error_of(const Call& call) {
    try {
      call();
    } catch (const Error& error) {
      return error;
    }
    ADD_FAILURE() << "no Error was thrown";
    return Error(ErrorCode::internal, "none");
  }

  ManualClock manual_clock_;
  SystemClock system_clock_;
  SeededRandom random_{7};
  runtime::Runtime* runtime_ = nullptr;
};

inline const Adapter kAdapters[] = {
    {"File",
     [](runtime::Runtime& runtime, const std::filesystem::path& folder) {
       return sqlite::open_file(runtime, {.path = folder / "test.db"});
     }},
    {"Memory",
     [](runtime::Runtime& runtime, const std::filesystem::path&) { return sqlite::open_memory(runtime); }},
    {"SimulatedFile",
     [](runtime::Runtime& runtime, const std::filesystem::path& folder) {
       return sqlite::open_file(runtime, {.path = folder / "test.db"});
     },
     true},
    {"SimulatedMemory",
     [](runtime::Runtime& runtime, const std::filesystem::path&) { return sqlite::open_memory(runtime); },
     true},
    {"Postgres",
     [](runtime::Runtime& runtime, const std::filesystem::path&) {
       PostgresServer& server = PostgresServer::shared();
       return postgres::open(runtime, server.options(server.create_database()));
     },
     false, [] { return PostgresServer::not_wanted() ? PostgresServer::kNotWanted : nullptr; }},
};

}  // namespace holdfast::sql
