// A PostgreSQL for a drill: a new, empty database on the server that a URL names, dropped at the end; or a
// server of the drill's own, which it may kill.
//
//   DrillDatabase database("postgres://drills:…@db.internal/postgres", belongings);    // may create
//   databases DrillDatabase database(DrillDatabase::kOwn, belongings);     database.server().kill_hard();
//
// Thread-safety: one thread.
#pragma once

#include <memory>
#include <string>

#include "drills/frame/process.hpp"
#include "holdfast/sql/testing/postgres_server.hpp"

namespace holdfast::drills {

class DrillDatabase {
 public:
  static constexpr const char* kOwn = "postgres";

  /// Throws std::runtime_error where it can't be had, saying why.
  DrillDatabase(const std::string& where, Belongings* belongings);
  ~DrillDatabase();
  DrillDatabase(const DrillDatabase&) = delete;
  DrillDatabase& operator=(const DrillDatabase&) = delete;

  const std::string& url() const noexcept { return url_; }
  std::string shown() const;  ///< without the password
  bool has_server() const noexcept { return server_ != nullptr; }
  sql::PostgresServer& server() { return *server_; }

 private:
  void drop() noexcept;

  Belongings* belongings_;
  std::unique_ptr<sql::PostgresServer> server_;
  std::string where_;
  std::string name_;
  std::string url_;
};

/// `url` with another database's name.
std::string with_database(const std::string& url, const std::string& name);

}  // namespace holdfast::drills
