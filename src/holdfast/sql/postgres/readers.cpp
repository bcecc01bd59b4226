#include "holdfast/sql/postgres/readers.hpp"

#include <algorithm>
#include <utility>

#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/loop.hpp"

namespace holdfast::sql::postgres {
namespace {

constexpr const char* kReading = "reading from the database";
constexpr const char* kAcquiring = "a connection of the database's pool";
constexpr auto kIdleCheckTimeout = std::chrono::seconds(1);
constexpr auto kRetryWhenExhausted = std::chrono::milliseconds(250);

class OpenSnapshot final : public Snapshot {
 public:
  OpenSnapshot(Connection& connection, const Context& ctx) noexcept : connection_(connection), ctx_(ctx) {}

 private:
  std::int64_t run(std::string_view sql, std::span<const Param> params, RowSink* sink) override {
    return connection_.run(ctx_, sql, params, sink, Connection::Rows::gathered);
  }
  Connection& connection_;
  const Context& ctx_;
};

void read_in_snapshot(Connection& connection, const Context& ctx, FunctionRef<void(Snapshot&)> body) {
  connection.run_script(ctx, "begin isolation level repeatable read read only");
  OpenSnapshot snapshot(connection, ctx);
  const auto end = [&] {
    if (!connection.broken()) connection.run_script(ctx.detached(), "rollback");  // it only read
  };
  try {
    const runtime::NoWaitScope no_waiting(kReading);
    body(snapshot);
  } catch (...) {
    end();
    throw;
  }
  end();
}

/// Passes rows on, and remembers whether there were any.
class Watched final : public RowSink {
 public:
  explicit Watched(RowSink& sink) noexcept : sink_(sink) {}
  void columns(const RowView& row) override {
    told = true;
    sink_.columns(row);
  }
  bool row(const RowView& row) override { return sink_.row(row); }
  bool told = false;

 private:
  RowSink& sink_;
};

}  // namespace

Readers::Readers(runtime::Runtime& runtime, const Options& options, Counters& counters)
    : runtime_(runtime),
      options_(options),
      counters_(counters),
      reconnect_(options, runtime.clock(), runtime.random()) {
  for (std::size_t i = 0; i < runtime.loop_count(); ++i) of_loop_.push_back(std::make_unique<Pool>(options));
}

Readers::~Readers() {
  if (!runtime::on_fiber()) return;  // no loop runs any more
  const Context ctx = runtime_.context();
  for (std::size_t i = 0; i < of_loop_.size(); ++i) {
    runtime::Latch closed;
    runtime_.spawn_on(i, "closing connections", [&] {
      of_loop_[i]->idle.clear();
      closed.open();
    });
    closed.wait(ctx, "closing connections");
  }
}

std::unique_ptr<Connection> Readers::connect(const Context& ctx, Connection::Use use) {
  reconnect_.require_due();
  try {
    auto made = Connection::open(ctx, options_, use, counters_);
    reconnect_.connected();
    return made;
  } catch (const DatabaseError& failure) {
    reconnect_.failed(failure);
    throw;
  }
}

// Half of what is left at most, so that the refusal still reaches the caller's caller in time.
void Readers::acquire(const Context& ctx, Pool& pool) {
  if (pool.permits.try_acquire()) return;
  const auto exhausted = [&](const char* why) {
    counters_.refused.add();
    throw Error(ErrorCode::unavailable, "The database is busy; try again.")
        .reason("database_pool_exhausted")
        .cause(std::string(why) + ": all " + std::to_string(options_.readers_per_loop) +
               " connections of a loop are in use (readers_per_loop)")
        .retry_after(kRetryWhenExhausted);
  };
  try {
    const Duration half = ctx.deadline() == kNever ? options_.acquire_timeout : ctx.remaining() / 2;
    pool.permits.acquire(ctx.with_timeout(std::min(options_.acquire_timeout, half)), kAcquiring);
  } catch (const Error& error) {
    ctx.check(kAcquiring);
    if (error.code() == ErrorCode::deadline_exceeded) exhausted("none came back in time");
    if (error.code() == ErrorCode::unavailable) exhausted("too many wait");
    throw;
  }
}

std::unique_ptr<Connection> Readers::take_idle(const Context& ctx, Pool& pool) {
  while (!pool.idle.empty()) {
    std::unique_ptr<Connection> connection = std::move(pool.idle.back());
    pool.idle.pop_back();
    const Instant now = ctx.now();
    if (connection->expired(now)) continue;
    if (now - connection->used_at() < options_.idle_check) return connection;
    try {
      const Duration left = ctx.deadline() == kNever ? kIdleCheckTimeout : ctx.remaining() / 4;
      connection->run_script(ctx.with_timeout(std::min<Duration>(kIdleCheckTimeout, left)), "select 1");
      return connection;
    } catch (const Error&) {
      pool.idle.clear();  // they have been idle for longer
      ctx.check(kReading);
    }
  }
  return nullptr;
}

template <class Use>
void Readers::with_pooled(const Context& ctx, Pool& pool, const Use& use) {
  acquire(ctx, pool);
  struct Release {
    runtime::Semaphore& permits;
    ~Release() { permits.release(); }
  } const release{pool.permits};
  std::unique_ptr<Connection> connection = take_idle(ctx, pool);
  const bool used_before = connection != nullptr;
  if (!used_before) connection = connect(ctx);
  const auto keep = [&] {
    if (connection->broken() || connection->in_transaction()) return;
    connection->used(ctx.now());
    pool.idle.push_back(std::move(connection));
  };
  try {
    if (!use(*connection, used_before)) {  // it was lost while it was idle, and so are its neighbours
      pool.idle.clear();
      connection = connect(ctx);
      use(*connection, false);
    }
  } catch (...) {
    if (connection != nullptr && connection->broken()) pool.idle.clear();  // its neighbours went the same way
    if (connection != nullptr) keep();
    throw;
  }
  keep();
}

template <class Use>
void Readers::with_connection(const Context& ctx, const Use& use) {
  counters_.queries.add();
  if (runtime::on_fiber()) return with_pooled(ctx, *of_loop_.at(runtime_.current_loop()), use);
  const std::lock_guard lock(outside_mutex_);
  if (outside_ != nullptr && use(*outside_, true)) return;
  outside_.reset();
  outside_ = connect(ctx);
  use(*outside_, false);
}

void Readers::query(const Context& ctx, std::string_view sql, std::span<const Param> params, RowSink& sink) {
  with_connection(ctx, [&](Connection& connection, bool used_before) {
    Watched watched(sink);
    const runtime::NoWaitScope no_waiting(kReading);
    try {
      connection.run(ctx, sql, params, &watched, Connection::Rows::streamed);
    } catch (const DatabaseError&) {
      if (!used_before || !connection.broken() || watched.told || ctx.remaining() <= Duration::zero()) throw;
      return false;
    }
    return true;
  });
}

void Readers::read(const Context& ctx, FunctionRef<void(Snapshot&)> body) {
  with_connection(ctx, [&](Connection& connection, bool used_before) {
    try {
      read_in_snapshot(connection, ctx, body);
    } catch (const DatabaseError&) {
      if (!used_before || !connection.broken() || ctx.remaining() <= Duration::zero()) throw;
      return false;
    }
    return true;
  });
}

std::int64_t Readers::copy_out(const Context& ctx, std::string_view query,
                               FunctionRef<void(std::string_view)> sink) {
  const std::string sql = "copy (" + std::string(query) + ") to stdout (format csv, header)";
  std::int64_t rows = 0;
  with_connection(ctx, [&](Connection& connection, bool used_before) {
    bool told = false;
    try {
      rows = connection.copy_out(ctx, sql, [&](std::string_view csv) {
        told = true;
        sink(csv);
      });
    } catch (const DatabaseError&) {
      if (!used_before || !connection.broken() || told) throw;
      return false;
    }
    return true;
  });
  return rows;
}

void Readers::read_offloaded(const Context& ctx, FunctionRef<void(Snapshot&)> body) {
  if (!runtime::on_fiber()) return read(ctx, body);
  counters_.queries.add();
  reports().run(ctx, [&] {
    const std::unique_ptr<Connection> connection = connect(ctx, Connection::Use::reports);
    read_in_snapshot(*connection, ctx, body);
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

}  // namespace holdfast::sql::postgres
