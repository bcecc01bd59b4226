#include "drills/frame/sqlite_file.hpp"

#include <sqlite3.h>

#include <memory>
#include <stdexcept>

namespace holdfast::drills {

SqliteFile::SqliteFile(const std::filesystem::path& path, For what) {
  const int mode = what == For::reading ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
  if (::sqlite3_open_v2(path.c_str(), &db_, mode, nullptr) != SQLITE_OK) {
    const std::string why = ::sqlite3_errmsg(db_);
    ::sqlite3_close(db_);
    throw std::runtime_error("opening " + path.string() + ": " + why);
  }
  ::sqlite3_busy_timeout(db_, 10'000);
}

SqliteFile::~SqliteFile() { ::sqlite3_close(db_); }

std::vector<std::vector<std::string>> SqliteFile::rows(const std::string& sql) const {
  const auto failed = [&] { return std::runtime_error(std::string(::sqlite3_errmsg(db_)) + " in: " + sql); };
  sqlite3_stmt* raw = nullptr;
  if (::sqlite3_prepare_v2(db_, sql.c_str(), -1, &raw, nullptr) != SQLITE_OK) throw failed();
  const std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> statement(raw, &::sqlite3_finalize);
  std::vector<std::vector<std::string>> all;
  int step = 0;
  while ((step = ::sqlite3_step(raw)) == SQLITE_ROW) {
    auto& row = all.emplace_back();
    for (int column = 0; column < ::sqlite3_column_count(raw); ++column) {
      const auto* bytes = reinterpret_cast<const char*>(::sqlite3_column_text(raw, column));
      row.emplace_back(bytes == nullptr ? "" : bytes);
    }
  }
  if (step != SQLITE_DONE) throw failed();
  return all;
}

bool SqliteFile::has_table(const std::string& name) const {
  return number("select count(*) from sqlite_master where type = 'table' and name = '" + name + "'") > 0;
}

void SqliteFile::change(const std::string& sql) const {
  if (::sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK) return;
  throw std::runtime_error(std::string(::sqlite3_errmsg(db_)) + " in: " + sql);
}

}  // namespace holdfast::drills
