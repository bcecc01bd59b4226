// Interleaved: runs the bodies of a group side by side on one connection, in its open transaction. Each has
// a fiber; when all of them wait for an answer, their statements are sent together and take one round trip:
// equal inserts become one of many rows, a row that several ask for is read once. Nobody waits for a plain
// insert, which adds its row or fails: it goes out with what its body asks next, or with all bodies' last
// ones. So a group costs as many round trips as its longest body has questions, and one more.
//
// Those that want to be alone take turns once all others are done.
//
// Only for bodies of Isolation::read_committed: between two statements of one come those of others. There
// are no savepoints. A body that throws before it has changed anything (inserts that were not sent don't
// count) is refused alone; one that has must be undone, hence is set apart: the caller rolls back all, and
// runs the others again without it.
//
// Thread-safety: one loop, one run() at a time.
#pragma once

#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "holdfast/runtime/context.hpp"
#include "holdfast/runtime/waker.hpp"
#include "holdfast/sql/database.hpp"
#include "holdfast/sql/postgres/connection.hpp"
#include "holdfast/sql/postgres/parameters.hpp"
#include "holdfast/sql/postgres/round.hpp"

namespace holdfast::sql::postgres {

class Interleaved {
 public:
  /// A body and how it ended.
  struct Guest {
    const char* name;
    FunctionRef<void(Transaction&)> body;
    std::exception_ptr failure{};  ///< what it threw; nothing of it is there
    bool apart = false;            ///< it has to be undone, or needs what there is not here; run it by itself
  };

  explicit Interleaved(Connection& connection) noexcept : connection_(connection) {}

  /// Runs all of them; what they want done after the commit goes to `joint`, in their order. Throws what a
  /// statement failed with: the transaction is aborted, and none of them counts.
  void run(const Context& ctx, std::span<Guest> guests, Transaction& joint);

 private:
  class Seat;
  struct Insert {
    Form* form;
    KeptRow row;
  };

  void wait_for_all();
  void leaves() noexcept;
  void wake(const std::vector<Seat*>& seats);
  void answer(const Context& ctx);

  Connection& connection_;
  Forms forms_;
  std::vector<Seat*> asking_;  // who waits for an answer
  std::vector<Seat*> turns_;   // who waits, or has waited, for its turn to be alone
  std::size_t running_ = 0;    // who doesn't wait
  bool taking_turns_ = false;
  std::unique_ptr<Round> last_;  // what those that are done have inserted
  runtime::Waker all_wait_;
  bool over_ = false;  // the transaction is lost
};

}  // namespace holdfast::sql::postgres
