#include "holdfast/sql/sqlite/readers.hpp"

#include <utility>

#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/loop.hpp"

namespace holdfast::sql::sqlite {
namespace {

constexpr const char* kReading = "reading from the database";

class OpenSnapshot final : public Snapshot {
 public:
  explicit OpenSnapshot(Connection& connection) noexcept : connection_(connection) {}

 private:
  std::int64_t run(std::string_view sql, std::span<const Param> params, RowSink* sink) override {
    return connection_.run(sql, params, sink);
  }
  Connection& connection_;
};

}  // namespace

void read_in_snapshot(Connection& connection, const Context& ctx, FunctionRef<void(Snapshot&)> body) {
  const Connection::Bounded bounded(connection, ctx);
  connection.frame(Connection::Frame::begin_deferred);
  OpenSnapshot snapshot(connection);
  try {
    const runtime::NoWaitScope no_waiting(kReading);
    body(snapshot);
  } catch (...) {
    static_cast<void>(connection.try_frame(Connection::Frame::rollback));
    throw;
  }
  static_cast<void>(connection.try_frame(Connection::Frame::rollback));  // it only read
}

Readers::Readers(runtime::Runtime& runtime, const Options& options, Counters& counters)
    : runtime_(runtime), options_(options), counters_(counters), of_loop_(runtime.loop_count()) {}

std::unique_ptr<Connection> Readers::open() const {
  return std::make_unique<Connection>(Connection::Options{.path = options_.path,
                                                          .use = Connection::Use::reader,
                                                          .busy_timeout = options_.reader_busy_timeout,
                                                          .cache_kib = options_.reader_cache_kib,
                                                          .statements = options_.cached_statements},
                                      counters_);
}

template <class Use>
void Readers::with_connection(const Use& use) {
  const auto use_slot = [&](std::unique_ptr<Connection>& slot) {
    if (slot == nullptr || slot->needs_reopening()) {
      slot.reset();
      slot = open();
    }
    use(*slot);
  };
  counters_.queries.add();
  if (const runtime::Loop* loop = runtime::Loop::current()) {
    use_slot(of_loop_.at(loop->index()));
  } else {
    const std::lock_guard lock(outside_mutex_);
    use_slot(outside_);
  }
}

void Readers::query(const Context& ctx, std::string_view sql, std::span<const Param> params, RowSink& sink) {
  with_connection([&](Connection& connection) {
    const Connection::Bounded bounded(connection, ctx);
    const runtime::NoWaitScope no_waiting(kReading);
    connection.run(sql, params, &sink);
  });
}

void Readers::read(const Context& ctx, FunctionRef<void(Snapshot&)> body) {
  with_connection([&](Connection& connection) { read_in_snapshot(connection, ctx, body); });
}

void Readers::read_offloaded(const Context& ctx, FunctionRef<void(Snapshot&)> body) {
  if (!runtime::on_fiber()) return read(ctx, body);
  counters_.queries.add();
  reports().run(ctx, [&] {
    std::unique_ptr<Connection> connection = take_report_connection();
    read_in_snapshot(*connection, ctx, body);  // where it throws, the connection is not used again
    const std::lock_guard lock(reports_mutex_);
    if (idle_reports_.size() < options_.report_threads) idle_reports_.push_back(std::move(connection));
  });
}

runtime::OffloadPool& Readers::reports() {
  const std::lock_guard lock(reports_mutex_);
  if (reports_ == nullptr) {
    reports_ = std::make_unique<runtime::OffloadPool>(
        runtime_, runtime::OffloadPool::Options{.name = "sql-reports",
                                                .threads = options_.report_threads,
                                                .max_queue = options_.max_report_queue});
  }
  return *reports_;
}

std::unique_ptr<Connection> Readers::take_report_connection() {
  {
    const std::lock_guard lock(reports_mutex_);
    if (!idle_reports_.empty()) {
      std::unique_ptr<Connection> taken = std::move(idle_reports_.back());
      idle_reports_.pop_back();
      return taken;
    }
  }
  return open();
}

}  // namespace holdfast::sql::sqlite
