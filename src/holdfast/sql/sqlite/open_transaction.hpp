// The Transaction of the SQLite adapters: runs bodies on a connection that has one open, and keeps what
// they asked to have done after the commit. Used by whoever begins and commits: one for a whole group.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "holdfast/sql/database.hpp"
#include "holdfast/sql/sqlite/connection.hpp"

namespace holdfast::sql::sqlite {

class OpenTransaction final : public Transaction {
 public:
  explicit OpenTransaction(Connection& connection) noexcept : connection_(connection) {}

  /// Runs `body` where nothing may wait. With `alone` a failure is the caller's to roll back; without,
  /// it is kept in a savepoint of its own. Rethrows what the body throws, and throws
  /// DatabaseError(foreign_key) for a deferred one that the body leaves violated.
  void run_body(const char* name, FunctionRef<void(Transaction&)> body, bool own_savepoint);

  /// Forgets what bodies asked for: the transaction was rolled back.
  void forget() noexcept;
  /// Does what they asked for: the transaction is durable.
  void committed() noexcept;

  void execute_script(std::string_view sql) override;
  void after_commit(runtime::Signal& signal) override;
  void on_commit(std::function<void()> callback) override;

 private:
  std::int64_t run(std::string_view sql, std::span<const Param> params, RowSink* sink) override;
  void begin_savepoint() override;
  void release_savepoint() override;
  void roll_back_savepoint() noexcept override;
  void require_no_foreign_key_pending();

  struct Mark {
    std::size_t signals;
    std::size_t callbacks;
  };
  Connection& connection_;
  std::vector<runtime::Signal*> signals_;  // each once
  std::vector<std::function<void()>> callbacks_;
  std::vector<Mark> savepoints_;
};

}  // namespace holdfast::sql::sqlite
