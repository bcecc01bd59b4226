// Books: the reconciliation behind Shop::faults(), a part a witness. Each part adds a sentence for each
// thing that is not as the journal says.
#pragma once

#include <string>
#include <vector>

#include "drills/frame/journal.hpp"
#include "drills/frame/shop.hpp"
#include "drills/frame/sqlite_file.hpp"

namespace holdfast::drills {

class Books {
 public:
  Books(Shop& shop, const Journal& journal) : shop_(shop), journal_(journal), file_(shop.database_file()) {}

  void check_journal();  ///< every request was answered, with an answer that can be
  void check_orders();   ///< each order acknowledged is there once, as it was asked for; no other is
  void check_stock();    ///< initial - sold + returned, per sku; a movement for each of them
  void check_log();      ///< one event for each thing that happened, all handled, none dead
  void check_mail(bool read_each);
  void check_api();   ///< every order as its customer was told; the server's own reconciliation
  void check_file();  ///< SQLite's own check

  const std::vector<std::string>& faults() const noexcept { return faults_; }

 private:
  void fault(std::string what);
  /// `sql` selects what must not be; its first column says what.
  void none(const std::string& what, const std::string& sql);

  Shop& shop_;
  const Journal& journal_;
  SqliteFile file_;
  std::vector<std::string> faults_;
};

}  // namespace holdfast::drills
