// Stage: where a drill takes place. It starts the real programs on free ports, with their data in a folder
// of its own; gives load; collects figures and checks; and takes everything away again.
//
//   void run(Stage& stage) {
//     Shop& shop = stage.open_shop();
//     Shoppers shoppers(shop, stage.journal(), {.seed = stage.seed()});
//     stage.say("killing the server");   shop.server().kill();   …
//     stage.figure("orders", stage.journal().placed());
//     stage.check("it was back within a second", took < 1s, with_unit(…));
//   }                                              // the frame then compares the books (check_books)
//
// Thread-safety: one thread; say() from any.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>

#include "drills/frame/carriersim_process.hpp"
#include "drills/frame/drill_database.hpp"
#include "drills/frame/journal.hpp"
#include "drills/frame/paysim_process.hpp"
#include "drills/frame/report.hpp"
#include "drills/frame/shop.hpp"

namespace holdfast::drills {

/// Thrown by a drill that needs something these programs do not have; it then was "not run".
class NotPossible : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct StageOptions {
  std::chrono::milliseconds duration{10'000};  ///< of the drill's load, about
  std::uint64_t seed = 0;
  bool keep = false;                          ///< a failed drill's folder
  std::function<void(std::string_view)> say;  ///< gets lines without their end
  Belongings* belongings = nullptr;           ///< borrowed; gets all processes and folders
  std::string database;  ///< SQLite where empty; a PostgreSQL's URL, or "postgres": DrillDatabase
};

class Stage {
 public:
  Stage(std::string drill, StageOptions options);
  ~Stage();
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;

  std::chrono::milliseconds duration() const noexcept { return options_.duration; }
  std::uint64_t seed() const noexcept { return options_.seed; }
  std::mt19937_64& random() noexcept { return random_; }
  const std::filesystem::path& folder() const noexcept { return folder_; }

  /// The one shop, opened now. Its settings: as the Shop's, `environment` on top.
  Shop& open_shop(std::map<std::string, std::string> environment = {});
  /// A payment provider and a carrier, started now, and a shop that charges with the one, ships with the
  /// other, and gets webhooks. Throws NotPossible where one of the programs can't do that.
  Shop& open_paid_shop(std::map<std::string, std::string> environment = {});
  /// Likewise; a shop without payments, and a word on it, where that is not possible.
  Shop& open_paid_shop_where_possible(std::map<std::string, std::string> environment = {});
  /// Before the shop is opened: a PostgreSQL that the drill may kill, whatever was asked for. Throws
  /// NotPossible where none is installed.
  sql::PostgresServer& need_own_postgres();
  Shop& shop() { return *shop_; }
  bool has_shop() const noexcept { return shop_ != nullptr; }
  PaysimProcess& paysim() { return *paysim_; }
  bool has_paysim() const noexcept { return paysim_ != nullptr; }
  CarriersimProcess& carriersim() { return *carriersim_; }
  bool has_carriersim() const noexcept { return carriersim_ != nullptr; }
  /// A `holdfast worker` beside the server. Its environment is the server's with `environment` on top.
  std::unique_ptr<Process> start_worker(const std::map<std::string, std::string>& environment = {});
  Journal& journal() noexcept { return journal_; }

  void wait(std::chrono::milliseconds time);
  /// Asks until it holds; false where that takes longer.
  bool wait_until(std::chrono::milliseconds at_most, const std::function<bool()>& holds);

  void say(std::string_view text);
  void figure(const std::string& name, double value, const std::string& unit = "");
  /// Returns `held`.
  bool check(const std::string& what, bool held, const std::string& evidence = "");
  void not_run(const std::string& why) { report_.why_not = why; }

  /// Ends the programs, and returns what was found. Nothing else may be called then.
  Report finish();

 private:
  void open_database();

  StageOptions options_;
  std::chrono::steady_clock::time_point started_;
  std::mutex saying_;
  std::mt19937_64 random_;
  std::filesystem::path folder_;
  std::filesystem::path mail_folder_;
  Report report_;
  Journal journal_;
  std::unique_ptr<DrillDatabase> database_;
  std::unique_ptr<PaysimProcess> paysim_;
  std::unique_ptr<CarriersimProcess> carriersim_;
  std::unique_ptr<Shop> shop_;
};

}  // namespace holdfast::drills
