#include "holdfast/sql/sqlite/open_transaction.hpp"

#include <algorithm>
#include <utility>

#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/sync.hpp"

namespace holdfast::sql::sqlite {

void OpenTransaction::run_body(const char* name, FunctionRef<void(Transaction&)> body, bool own_savepoint) {
  const runtime::NoWaitScope no_waiting(name);
  if (!own_savepoint) {
    body(*this);
    require_no_foreign_key_pending();
    return;
  }
  begin_savepoint();
  try {
    body(*this);
    require_no_foreign_key_pending();
    release_savepoint();
  } catch (...) {
    roll_back_savepoint();
    throw;
  }
}

// Left to the commit, it would fail the whole group.
void OpenTransaction::require_no_foreign_key_pending() {
  if (connection_.in_transaction() && connection_.foreign_key_pending()) {
    throw DatabaseError(FailureKind::foreign_key, "It refers to something that is not there.",
                        "a deferred foreign key is violated at the end of the transaction");
  }
}

void OpenTransaction::forget() noexcept {
  signals_.clear();
  callbacks_.clear();
  savepoints_.clear();
}

void OpenTransaction::committed() noexcept {
  for (const auto& callback : callbacks_) callback();
  for (runtime::Signal* signal : signals_) signal->notify();
  forget();
}

void OpenTransaction::execute_script(std::string_view sql) { connection_.run_script(sql); }

void OpenTransaction::after_commit(runtime::Signal& signal) {
  if (std::find(signals_.begin(), signals_.end(), &signal) == signals_.end()) signals_.push_back(&signal);
}

void OpenTransaction::on_commit(std::function<void()> callback) { callbacks_.push_back(std::move(callback)); }

std::int64_t OpenTransaction::run(std::string_view sql, std::span<const Param> params, RowSink* sink) {
  return connection_.run(sql, params, sink);
}

void OpenTransaction::begin_savepoint() {
  connection_.frame(Connection::Frame::savepoint);
  savepoints_.push_back({signals_.size(), callbacks_.size()});
}

void OpenTransaction::release_savepoint() {
  connection_.frame(Connection::Frame::release);
  savepoints_.pop_back();
}

// Where SQLite has already rolled back everything, both statements fail, and that is fine: whoever
// commits sees in_transaction().
void OpenTransaction::roll_back_savepoint() noexcept {
  const Mark mark = savepoints_.back();
  savepoints_.pop_back();
  signals_.resize(mark.signals);
  callbacks_.resize(mark.callbacks);
  if (connection_.try_frame(Connection::Frame::rollback_to) == 0) {
    static_cast<void>(connection_.try_frame(Connection::Frame::release));
  }
}

}  // namespace holdfast::sql::sqlite
