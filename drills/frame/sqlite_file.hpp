// A SQLite file as a second program sees it, through SQLite's own interface; read-only unless told otherwise.
//
//   SqliteFile file(server.data() / "orders.db");
//   for (const auto& row : file.rows("select id, status from orders")) … row[0] …
//
// Thread-safety: one thread.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "drills/frame/shop_data.hpp"

struct sqlite3;

namespace holdfast::drills {

class SqliteFile final : public ShopData {
 public:
  enum class For { reading, changing };
  explicit SqliteFile(const std::filesystem::path& path, For what = For::reading);
  ~SqliteFile() override;

  std::vector<std::vector<std::string>> rows(const std::string& sql) const override;
  bool has_table(const std::string& name) const override;
  void change(const std::string& sql) const override;

 private:
  sqlite3* db_ = nullptr;
};

}  // namespace holdfast::drills
