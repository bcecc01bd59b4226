// The shop under test: a server with a small catalog of its own, and a reconciliation of everything it
// holds with a Journal. It asks three witnesses: the API, the database file, and the maildir's files.
//
//   Shop shop;
//   Shoppers shoppers(shop, journal, {.seed = seed});  …
//   EXPECT_THAT(shop.faults(journal), IsEmpty());
//
// Thread-safety: one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "drills/frame/journal.hpp"
#include "drills/frame/server_process.hpp"
#include "drills/frame/shop_data.hpp"

namespace holdfast::drills {

struct ShopOptions {
  std::map<std::string, std::string> environment;  ///< added to the shop's own
  std::string lease = "400ms";
  std::filesystem::path folder;       ///< for data, logs and mail; temporary ones where empty
  std::filesystem::path mail_folder;  ///< a temporary one where empty
  Belongings* belongings = nullptr;   ///< as ProcessOptions'
  std::string database_url;           ///< of an empty PostgreSQL; a SQLite file where empty
};

/// Where many mails are best kept: in memory where there is room for them. Tens of thousands of mails, each
/// synced and in the end removed, take a slow disk minutes, and a process that is killed loses no more on
/// it than in memory. The database stays on the disk.
std::filesystem::path place_for_mail();

class Shop {
 public:
  static constexpr std::int64_t kPlenty = 10'000'000;
  static constexpr std::int64_t kScarce = 400;  ///< of the sku that runs out
  static constexpr const char* kScarceSku = "SCARCE";

  explicit Shop(ShopOptions options = {});

  ServerProcess& server() noexcept { return server_; }
  const std::string& api_key() const noexcept { return api_key_; }
  const std::vector<std::string>& skus() const noexcept { return skus_; }  ///< without the scarce one
  HttpConnection connect(std::chrono::milliseconds timeout = std::chrono::seconds(30)) const;

  /// Waits until every event was handled, then compares everything. `thorough`: also each order through
  /// the API, and the text of each mail. Empty where all is well; at most 20 faults.
  std::vector<std::string> faults(const Journal& journal, bool thorough = true);

  /// Waits until nothing is left to handle; false where that takes longer.
  bool wait_until_consumed(std::chrono::milliseconds at_most = std::chrono::seconds(60));

  /// Moves some mails from new/ to cur/, as a mail reader does that has shown them.
  void read_some_mail(std::size_t at_most);

  /// Its database, opened anew. Throws std::runtime_error where it is away.
  std::unique_ptr<ShopData> data() const;
  void change_data(const std::string& sql) const;
  /// Without ShopOptions::database_url.
  std::filesystem::path database_file() const { return server_.data() / "orders.db"; }
  std::filesystem::path maildir() const { return mail_ / "mail"; }

 private:
  std::optional<TemporaryFolder> own_mail_;
  std::filesystem::path mail_;
  std::string database_url_;
  ServerProcess server_;
  std::string api_key_;
  std::vector<std::string> skus_;
};

/// HOLDFAST_SEED where it is set, else a random one; printed either way.
std::uint64_t test_seed();

}  // namespace holdfast::drills
