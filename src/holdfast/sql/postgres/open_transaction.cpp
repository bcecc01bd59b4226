#include "holdfast/sql/postgres/open_transaction.hpp"

#include <algorithm>
#include <deque>
#include <utility>

#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/sync.hpp"
#include "holdfast/sql/postgres/many_rows.hpp"
#include "holdfast/sql/postgres/parameters.hpp"
#include "holdfast/sql/postgres/statement_text.hpp"

namespace holdfast::sql::postgres {

OpenTransaction::Ending OpenTransaction::run_body(const Context& ctx, const char* name,
                                                  FunctionRef<void(Transaction&)> body, Mode mode) {
  ctx_ = &ctx;
  mode_ = mode;
  gone_on_ = rolled_back_ = false;
  const runtime::NoWaitScope no_waiting(name);
  try {
    run_and_release(name, body, mode);
  } catch (...) {
    if (!gone_on_ && !rolled_back_) throw;
  }
  if (gone_on_) return Ending::went_on;
  return rolled_back_ ? Ending::rolled_back : Ending::well;
}

void OpenTransaction::run_and_release(const char* name, FunctionRef<void(Transaction&)> body, Mode mode) {
  if (!mode.own_savepoint) {
    body(*this);
    require_usable();  // a failure that it caught: the commit would roll back
    return;
  }
  make_savepoint();
  try {
    body(*this);
    require_usable();
    // Deferred constraints: left to the commit, they would fail the whole group.
    connection_.run_script(*ctx_, "set constraints all immediate; set constraints all deferred");
    release_savepoint();
  } catch (...) {
    roll_back_savepoint();
    throw;
  }
  static_cast<void>(name);
}

void OpenTransaction::require_usable() {
  if (copying_) {
    throw DatabaseError(FailureKind::other, "A statement failed.", "a statement while rows are being copied");
  }
  if (!connection_.aborted() && !gone_on_ && !rolled_back_) return;
  gone_on_ = !rolled_back_;
  throw GoneOn();
}

template <class Statement>
auto OpenTransaction::guarded(const Statement& statement) {
  require_usable();
  try {
    if (!mode_.each_statement) return statement();
    connection_.run_script(*ctx_, "savepoint statement");
    try {
      auto result = statement();
      connection_.run_script(*ctx_, "release statement");
      return result;
    } catch (...) {
      if (!connection_.broken())
        connection_.run_script(ctx_->detached(), "rollback to statement; release statement");
      throw;
    }
  } catch (const DatabaseError& failure) {
    lost_race_ =
        lost_race_ || failure.kind() == FailureKind::serialization || failure.kind() == FailureKind::deadlock;
    throw;
  }
}

void OpenTransaction::forget() noexcept {
  signals_.clear();
  callbacks_.clear();
  savepoints_.clear();
  lost_race_ = false;
}

void OpenTransaction::committed() noexcept {
  for (const auto& callback : callbacks_) callback();
  for (runtime::Signal* signal : signals_) signal->notify();
  forget();
}

void OpenTransaction::execute_script(std::string_view sql) {
  if (controls_transaction(sql)) {
    throw DatabaseError(FailureKind::other, "A statement failed.",
                        "a transaction is begun and ended by transact(), in: " + std::string(sql));
  }
  guarded([&] { return connection_.run_script(*ctx_, to_postgres_schema(sql)); });
  ++changed_;
}

void OpenTransaction::after_commit(runtime::Signal& signal) {
  if (std::find(signals_.begin(), signals_.end(), &signal) == signals_.end()) signals_.push_back(&signal);
}

void OpenTransaction::on_commit(std::function<void()> callback) { callbacks_.push_back(std::move(callback)); }

std::int64_t OpenTransaction::run(std::string_view sql, std::span<const Param> params, RowSink* sink) {
  const std::int64_t changed =
      guarded([&] { return connection_.run(*ctx_, sql, params, sink, Connection::Rows::gathered); });
  changed_ += may_change(sql, changed);
  return changed;
}

std::vector<std::int64_t> OpenTransaction::run_each(std::string_view sql,
                                                    std::span<const std::vector<Param>> rows) {
  std::vector<std::int64_t> changed;
  guarded([&] {
    std::deque<Parameters> params;
    std::vector<Connection::Together> statements;
    for (const auto& row : rows) statements.push_back({sql, params.emplace_back(std::span(row))});
    for (const Connection::Answer& answer : connection_.run_together(*ctx_, statements))
      changed.push_back(answer.changed());
    return 0;
  });
  for (const std::int64_t one : changed) changed_ += may_change(sql, one);
  return changed;
}

void OpenTransaction::make_savepoint() {
  require_usable();
  connection_.run_script(*ctx_, "savepoint body");
  savepoints_.push_back({changed_, signals_.size(), callbacks_.size()});
}

std::int64_t OpenTransaction::copy_rows(std::string_view table, std::span<const std::string_view> columns,
                                        FunctionRef<void(CopyRows&)> source) {
  std::string sql = "copy " + std::string(table) + "(";
  for (std::size_t i = 0; i < columns.size(); ++i) sql.append(i > 0 ? ", " : "").append(columns[i]);
  sql += ") from stdin";
  const std::int64_t copied = guarded([&] {
    struct Taken {
      bool& copying;
      ~Taken() { copying = false; }
    } const taken{copying_};
    copying_ = true;
    return connection_.copy_in(*ctx_, sql, columns.size(), source);
  });
  changed_ += copied;
  return copied;
}

void OpenTransaction::begin_savepoint() {
  if (mode_.savepoints) return make_savepoint();
  require_usable();
  savepoints_.push_back({changed_, signals_.size(), callbacks_.size()});
}

void OpenTransaction::release_savepoint() {
  require_usable();
  if (mode_.savepoints) connection_.run_script(*ctx_, "release body");
  savepoints_.pop_back();
}

// What fails here leaves the transaction aborted or its connection broken, which whoever commits sees.
void OpenTransaction::roll_back_savepoint() noexcept {
  const Mark mark = savepoints_.back();
  savepoints_.pop_back();
  signals_.resize(mark.signals);
  callbacks_.resize(mark.callbacks);
  if (connection_.broken()) return;
  if (!mode_.savepoints) {
    rolled_back_ = rolled_back_ || changed_ > mark.changed || connection_.aborted();
    return;
  }
  try {
    connection_.run_script(ctx_->detached(), "rollback to body; release body");
  } catch (...) {
  }
}

}  // namespace holdfast::sql::postgres
