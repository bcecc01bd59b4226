// The shop's database as a second program sees it: read-only, through SQLite's own interface, so that
// what is checked does not depend on the code that is checked.
//
//   SqliteFile file(server.data() / "orders.db");
//   for (const auto& row : file.rows("select id, status from orders")) … row[0] …
//
// Thread-safety: one thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

struct sqlite3;

namespace holdfast::drills {

class SqliteFile {
 public:
  explicit SqliteFile(const std::filesystem::path& path);
  ~SqliteFile();
  SqliteFile(const SqliteFile&) = delete;
  SqliteFile& operator=(const SqliteFile&) = delete;

  /// Every column as text; null as "". Throws std::runtime_error with SQLite's message.
  std::vector<std::vector<std::string>> rows(const std::string& sql) const;
  std::string text(const std::string& sql) const;
  std::int64_t number(const std::string& sql) const { return std::stoll(text(sql)); }

 private:
  sqlite3* db_ = nullptr;
};

}  // namespace holdfast::drills
