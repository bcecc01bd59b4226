#include "holdfast/sql/postgres/database.hpp"

#include <functional>
#include <string_view>
#include <utility>
#include <vector>

#include "holdfast/runtime/fiber.hpp"
#include "holdfast/sql/copy.hpp"
#include "holdfast/sql/postgres/connection.hpp"
#include "holdfast/sql/postgres/group_commit.hpp"
#include "holdfast/sql/postgres/listener.hpp"
#include "holdfast/sql/postgres/readers.hpp"

namespace holdfast::sql::postgres {
namespace {

std::size_t lanes_of(const Options& options) noexcept {
  return options.writers == Writers::one_at_a_time ? 1 : options.lanes;
}

class PostgresDatabase final : public Database, public CopySource {
 public:
  PostgresDatabase(runtime::Runtime& runtime, Options options)
      : options_(std::move(options)),
        own_(std::to_string(runtime.random().next())),
        readers_(runtime, options_, counters_),
        listener_(runtime, options_, own_, counters_) {
    const std::size_t lanes = lanes_of(options_);
    const std::string notification = std::string("notify ") + kChannel + ", '" + own_ + "'";
    for (std::size_t i = 0; i < lanes; ++i) {
      lanes_.push_back(std::make_unique<GroupCommit>(runtime, i % runtime.loop_count(), options_,
                                                     notification, counters_));
    }
  }

  ExternalWatch watch_external_changes(runtime::Signal& signal) override { return listener_.watch(signal); }
  Statistics statistics() const override { return counters_.snapshot(); }
  Dialect dialect() const noexcept override { return Dialect::postgres; }
  bool copy_csv(const Context& ctx, std::string_view query, FunctionRef<void(std::string_view)> sink,
                std::int64_t& rows) override {
    begin_reading(ctx);
    rows = readers_.copy_out(ctx, query, sink);
    return true;
  }

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

  // By name, so that slow work holds up its own kind only, and one kind's hot rows stay on one lane.
  void run_transaction(const Context& ctx, const char* name, Isolation isolation,
                       FunctionRef<void(Transaction&)> body) override {
    const std::size_t lane = lanes_.size() == 1 ? 0 : std::hash<std::string_view>{}(name) % lanes_.size();
    lanes_[lane]->run(ctx, name, isolation, body);
  }

  static void begin_reading(const Context& ctx) {
    // Inside a body it would not see what the body has written: there is the Transaction for that.
    if (runtime::NoWaitScope::current() != nullptr) runtime::prepare_wait("a query of the Database");
    ctx.check("reading from the database");
  }

  const Options options_;
  const std::string own_;  // tells this process's notifications from others'
  Counters counters_;
  Readers readers_;
  Listener listener_;
  std::vector<std::unique_ptr<GroupCommit>> lanes_;
};

}  // namespace

std::size_t most_connections(const Options& options, std::size_t loops) noexcept {
  constexpr std::size_t kListenerAndCanceller = 2;
  return loops * options.readers_per_loop + lanes_of(options) + options.report_threads +
         kListenerAndCanceller;
}

std::unique_ptr<Database> open(runtime::Runtime& runtime, Options options) {
  Counters unused;
  static_cast<void>(Connection::open(runtime.context(), options, Connection::Use::reader, unused));
  return std::make_unique<PostgresDatabase>(runtime, std::move(options));
}

}  // namespace holdfast::sql::postgres
