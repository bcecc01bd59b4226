// For the tests of rooms and modules that stand on a Database: one of their own, on the engine that the
// run of the tests is for. HOLDFAST_TEST_DATABASE=postgres: a real PostgreSQL; otherwise SQLite.
//
//   sql::TestDatabase database;                        // SQLite: a file in a folder of its own
//   const auto db = database.open(runtime);            // on a fiber; several see one database
//   if (sql::on_postgres()) GTEST_SKIP() << …;         // what can't be asked of it
#pragma once

#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "holdfast/base/clock.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/sql/postgres/database.hpp"
#include "holdfast/sql/sqlite/database.hpp"
#include "holdfast/sql/testing/postgres_server.hpp"
#include "holdfast/sql/testing/temporary_folder.hpp"

namespace holdfast::sql {

/// Whether this run of the tests is for PostgreSQL.
inline bool on_postgres() {
  const char* wanted = std::getenv("HOLDFAST_TEST_DATABASE");
  return wanted != nullptr && std::string_view(wanted) == "postgres";
}

class TestDatabase {
 public:
  TestDatabase() {
    if (on_postgres()) name_ = PostgresServer::shared().create_database();
  }

  std::unique_ptr<Database> open(runtime::Runtime& runtime) const {
    if (on_postgres()) return postgres::open(runtime, PostgresServer::shared().options(name_));
    return sqlite::open_file(runtime, {.path = folder_.path() / "test.db"});
  }
  /// As `database.url` takes it.
  std::string url() const {
    if (!on_postgres()) return "sqlite:" + (folder_.path() / "test.db").string();
    return PostgresServer::shared().url(name_);
  }
  /// As open(); SQLite in memory, for one Database alone.
  std::unique_ptr<Database> open_alone(runtime::Runtime& runtime) const {
    return on_postgres() ? open(runtime) : sqlite::open_memory(runtime);
  }

 private:
  TemporaryFolder folder_;
  std::string name_;
};

/// A runtime whose clock is moved by hand: simulated, or, for PostgreSQL, one that can wait for answers.
inline runtime::Runtime::Options by_hand(ManualClock& clock) {
  if (on_postgres()) return {.loops = 1};
  return {.simulated = true, .manual_clock = &clock};
}

}  // namespace holdfast::sql
