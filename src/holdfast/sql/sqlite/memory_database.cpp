#include <mutex>
#include <utility>

#include "holdfast/runtime/fiber.hpp"
#include "holdfast/sql/sqlite/connection.hpp"
#include "holdfast/sql/sqlite/database.hpp"
#include "holdfast/sql/sqlite/open_transaction.hpp"
#include "holdfast/sql/sqlite/readers.hpp"

namespace holdfast::sql::sqlite {
namespace {

/// One connection that everybody shares, one at a time. Nobody waits while holding it, so a mutex does.
class MemoryDatabase final : public Database {
 public:
  MemoryDatabase()
      : connection_({.path = ":memory:", .use = Connection::Use::memory}, counters_),
        transaction_(connection_) {}

  ExternalWatch watch_external_changes(runtime::Signal&) override { return {}; }  // there is no outside
  Statistics statistics() const override { return counters_.snapshot(); }
  Dialect dialect() const noexcept override { return Dialect::sqlite; }

 private:
  void run_query(const Context& ctx, std::string_view sql, std::span<const Param> params,
                 RowSink& sink) override {
    begin(ctx, "a query of the Database");
    const std::lock_guard lock(mutex_);
    const Connection::Bounded bounded(connection_, ctx);
    const ReadOnly read_only(connection_);
    const runtime::NoWaitScope no_waiting("reading from the database");
    counters_.queries.add();
    connection_.run(sql, params, &sink);
  }

  void run_read(const Context& ctx, ReadOptions, FunctionRef<void(Snapshot&)> body) override {
    begin(ctx, "a query of the Database");
    const std::lock_guard lock(mutex_);
    const ReadOnly read_only(connection_);
    counters_.queries.add();
    read_in_snapshot(connection_, ctx, body);
  }

  void run_transaction(const Context& ctx, const char* name, Isolation,
                       FunctionRef<void(Transaction&)> body) override {  // all are serial
    begin(ctx, name);
    const std::lock_guard lock(mutex_);
    connection_.frame(Connection::Frame::begin_immediate);
    try {
      transaction_.run_body(name, body, false);
      connection_.frame(Connection::Frame::commit);
    } catch (...) {
      if (connection_.in_transaction()) static_cast<void>(connection_.try_frame(Connection::Frame::rollback));
      transaction_.forget();
      counters_.rolled_back.add();
      throw;
    }
    counters_.transactions.add();
    counters_.groups.add();
    counters_.largest_group.set(1);
    transaction_.committed();
  }

  static void begin(const Context& ctx, const char* doing) {
    if (runtime::NoWaitScope::current() != nullptr) runtime::prepare_wait(doing);
    ctx.check(doing);
  }

  /// Makes the shared connection behave as a reader's while it lives.
  class ReadOnly {
   public:
    explicit ReadOnly(Connection& connection) noexcept : connection_(connection) {
      connection_.set_read_only(true);
    }
    ~ReadOnly() { connection_.set_read_only(false); }
    ReadOnly(const ReadOnly&) = delete;
    ReadOnly& operator=(const ReadOnly&) = delete;

   private:
    Connection& connection_;
  };

  Counters counters_;
  std::mutex mutex_;
  Connection connection_;
  OpenTransaction transaction_;
};

}  // namespace

std::unique_ptr<Database> open_memory(runtime::Runtime&) { return std::make_unique<MemoryDatabase>(); }

}  // namespace holdfast::sql::sqlite
