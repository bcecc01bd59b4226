// The Transaction of PostgreSQL: runs bodies on a connection that has one open, and keeps what they asked
// to have done after the commit.
//
// PostgreSQL gives up a transaction at its first failing statement. A body that catches such a failure and
// goes on is found out here: it is run again with a savepoint before each of its statements. A savepoint
// that a body asks for is made only in a body known to roll one back after it has changed something.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "holdfast/sql/copy.hpp"
#include "holdfast/sql/database.hpp"
#include "holdfast/sql/postgres/connection.hpp"

namespace holdfast::sql::postgres {

class OpenTransaction final : public Transaction, public CopyTarget {
 public:
  explicit OpenTransaction(Connection& connection) noexcept : connection_(connection) {}

  struct Mode {
    bool own_savepoint = false;   ///< a failure undoes this body alone
    bool savepoints = false;      ///< those that it asks for are made
    bool each_statement = false;  ///< a failing statement is undone alone
  };
  enum class Ending : std::uint8_t {
    well,
    went_on,      ///< after a failed statement: all must be undone, and it be run with `each_statement`
    rolled_back,  ///< a savepoint that was not made: the same with `savepoints`
  };
  /// Runs `body` where nothing but its own statements may wait. Rethrows what it throws.
  Ending run_body(const Context& ctx, const char* name, FunctionRef<void(Transaction&)> body, Mode mode);

  /// Whether a statement since begin() lost against another transaction, so that all must be run again.
  bool lost_race() const noexcept { return lost_race_; }

  /// Forgets what bodies asked for: the transaction was rolled back, or is about to begin.
  void forget() noexcept;
  /// Does what they asked for: the transaction is durable.
  void committed() noexcept;

  void execute_script(std::string_view sql) override;
  void after_commit(runtime::Signal& signal) override;
  void on_commit(std::function<void()> callback) override;
  std::int64_t copy_rows(std::string_view table, std::span<const std::string_view> columns,
                         FunctionRef<void(CopyRows&)> source) override;

 private:
  class GoneOn {};  // thrown through a body that went on; not a std::exception, so that few catch it

  std::int64_t run(std::string_view sql, std::span<const Param> params, RowSink* sink) override;
  std::vector<std::int64_t> run_each(std::string_view sql, std::span<const std::vector<Param>> rows) override;
  void begin_savepoint() override;
  void release_savepoint() override;
  void roll_back_savepoint() noexcept override;

  void make_savepoint();
  void require_usable();
  template <class Statement>
  auto guarded(const Statement& statement);
  void run_and_release(const char* name, FunctionRef<void(Transaction&)> body, Mode mode);

  struct Mark {
    std::int64_t changed;
    std::size_t signals;
    std::size_t callbacks;
  };
  Connection& connection_;
  const Context* ctx_ = nullptr;  // of the body that runs
  Mode mode_;
  bool gone_on_ = false;
  bool rolled_back_ = false;  // a savepoint that was not made
  std::int64_t changed_ = 0;  // rows, by all statements
  bool lost_race_ = false;
  bool copying_ = false;                   // a COPY has the connection
  std::vector<runtime::Signal*> signals_;  // each once
  std::vector<std::function<void()>> callbacks_;
  std::vector<Mark> savepoints_;
};

}  // namespace holdfast::sql::postgres
