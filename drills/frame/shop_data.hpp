// The shop's database as a second program sees it: through the database's own interface, so that what is
// checked does not depend on the code that is checked. A SQLite file, or a PostgreSQL.
//
//   const auto data = shop.data();
//   for (const auto& row : data->rows("select id, status from orders")) … row[0] …
//
// Thread-safety: one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace holdfast::drills {

class ShopData {
 public:
  virtual ~ShopData() = default;
  ShopData(const ShopData&) = delete;
  ShopData& operator=(const ShopData&) = delete;

  /// Every column as text; null as "". Throws std::runtime_error with the database's message.
  virtual std::vector<std::vector<std::string>> rows(const std::string& sql) const = 0;
  virtual bool has_table(const std::string& name) const = 0;
  /// As somebody with a prompt does. Throws likewise, and where it was opened to be read.
  virtual void change(const std::string& sql) const = 0;

  std::string text(const std::string& sql) const { return rows(sql).at(0).at(0); }
  std::int64_t number(const std::string& sql) const { return std::stoll(text(sql)); }

 protected:
  ShopData() = default;
};

/// A session of its own. `url`: postgres://…
std::unique_ptr<ShopData> open_postgres(const std::string& url);

}  // namespace holdfast::drills
