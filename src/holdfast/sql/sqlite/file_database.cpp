#include <utility>

#include "holdfast/runtime/fiber.hpp"
#include "holdfast/sql/sqlite/database.hpp"
#include "holdfast/sql/sqlite/external_poll.hpp"
#include "holdfast/sql/sqlite/group_commit.hpp"
#include "holdfast/sql/sqlite/readers.hpp"

namespace holdfast::sql::sqlite {
namespace {

/// A file: one writer, a reader a loop.
class FileDatabase final : public Database {
 public:
  FileDatabase(runtime::Runtime& runtime, const Options& options)
      : writer_(runtime, options, counters_),
        readers_(runtime, options, counters_),
        poll_(runtime, writer_, options.external_poll) {}

  ExternalWatch watch_external_changes(runtime::Signal& signal) override { return poll_.watch(signal); }
  Statistics statistics() const override { return counters_.snapshot(); }
  Dialect dialect() const noexcept override { return Dialect::sqlite; }

 private:
  void run_query(const Context& ctx, std::string_view sql, std::span<const Param> params,
                 RowSink& sink) override {
    begin_reading(ctx);
    readers_.query(ctx, sql, params, sink);
  }

  void run_read(const Context& ctx, ReadOptions options, FunctionRef<void(Snapshot&)> body) override {
    begin_reading(ctx);
    options.offload ? readers_.read_offloaded(ctx, body) : readers_.read(ctx, body);
  }

  void run_transaction(const Context& ctx, const char* name, Isolation,
                       FunctionRef<void(Transaction&)> body) override {  // all are serial
    writer_.run(ctx, name, body);
  }

  static void begin_reading(const Context& ctx) {
    // Inside a body it would not see what the body has written: there is the Transaction for that.
    if (runtime::NoWaitScope::current() != nullptr) runtime::prepare_wait("a query of the Database");
    ctx.check("reading from the database");
  }

  Counters counters_;
  GroupCommit writer_;
  Readers readers_;
  ExternalPoll poll_;
};

}  // namespace

std::unique_ptr<Database> open_file(runtime::Runtime& runtime, Options options) {
  return std::make_unique<FileDatabase>(runtime, options);
}

}  // namespace holdfast::sql::sqlite
