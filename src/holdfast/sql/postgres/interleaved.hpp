// Interleaved: runs the bodies of a group side by side on one connection, in its open transaction. Each has
// a fiber; when all of them wait for an answer, their statements are sent together (round.hpp), but for plain
// inserts, which nobody waits for: they go with what their body asks next, or with all bodies' last ones.
// Those that want to be alone take turns once all others are done.
//
// Only for bodies of Isolation::read_committed. There are no savepoints: a body that throws before it has
// changed anything (inserts that were not sent don't count) is refused alone; one that has is set apart: the
// caller rolls back all, and runs the others again without it.
// Thread-safety: one loop, one run() at a time.
#pragma once

#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <span>
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
