// Database: the port to SQL. Reads run at once on a connection of the caller's loop; writes go through
// transact(), whose body is a plain function that may be run again:
//
//   const auto left = db.query_one<Stock>(ctx, "select sku, quantity from stock where sku = $1", sku);
//   const Order order = db.transact(ctx, "place order", [&](sql::Transaction& tx) {
//     if (tx.execute("update stock set quantity = quantity - $2 where sku = $1 and quantity >= $2", sku, n)
//     == 0)
//       throw Error(ErrorCode::conflict, "…");            // rolls back this body alone
//     return insert_order(tx, …);
//   });                                                   // returns once it is durable
//
// Durability: when transact() returns, the transaction survives kill -9 of this process, and loss of
// power as far as the disk honours fsync. When it throws, nothing of it is there.
//
// Placeholders are $1…$n, for every adapter. Row mapping: row.hpp. Failures: failure.hpp.
// Thread-safety: a Database may be used from any fiber of any loop; a Transaction or Snapshot only
// inside the body it was passed to.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "holdfast/runtime/context.hpp"
#include "holdfast/sql/failure.hpp"
#include "holdfast/sql/function_ref.hpp"
#include "holdfast/sql/row.hpp"
#include "holdfast/sql/value.hpp"

namespace holdfast::runtime {
class Signal;
}

namespace holdfast::sql {

/// For the rare statement that can't be written for all: "a dialect file lies beside".
enum class Dialect : std::uint8_t { sqlite, postgres };

/// What a transaction's body relies on while it runs.
enum class Isolation : std::uint8_t {
  /// What it has read stays true until it commits: no other body's statement comes in between.
  serial,
  /// Each statement sees what is committed, or about to be in the same commit; another body's may come next.
  /// For bodies whose writes guard themselves, by a condition ("… where quantity >= $2") or a unique key,
  /// and not by what was read before. A database that is some way off runs many such bodies at once.
  read_committed,
};

[[noreturn]] void throw_no_row(std::string_view sql);

/// The reading verbs that a Transaction and a Snapshot share. They neither wait nor take a Context:
/// the body they are used in has one.
class Queries {
 public:
  /// All rows. For results of bounded size; else for_each().
  template <class Row, class... Params>
  std::vector<Row> query(std::string_view sql, const Params&... params) {
    std::vector<Row> rows;
    for_each<Row>(
        sql, [&](Row&& row) { rows.push_back(std::move(row)); }, params...);
    return rows;
  }

  /// The first row, where there is one.
  template <class Row, class... Params>
  std::optional<Row> query_one(std::string_view sql, const Params&... params) {
    std::optional<Row> first;
    for_each<Row>(
        sql, [&](Row&& row) { return first.emplace(std::move(row)), false; }, params...);
    return first;
  }

  /// The value of a statement that has one row and one column ("select count(*) …"): Error(internal)
  /// where there is no row.
  template <class T = std::int64_t, class... Params>
  T query_value(std::string_view sql, const Params&... params) {
    std::optional<T> value = query_one<T>(sql, params...);
    if (!value) throw_no_row(sql);
    return std::move(*value);
  }

  /// Calls `receive(Row&&)` for each row, in constant memory. Where it returns bool, false ends it.
  /// `receive` must not wait.
  template <class Row, class Receive, class... Params>
  void for_each(std::string_view sql, Receive&& receive, const Params&... params) {
    const std::array<Param, sizeof...(Params)> bound{Param(params)...};
    ReadingSink<Row, std::remove_reference_t<Receive>> sink(receive);
    run(sql, bound, &sink);
  }

  /// The same with parameters whose number is known only now.
  template <class Row, class Receive>
  void for_each_with(std::string_view sql, std::span<const Value> params, Receive&& receive) {
    const std::vector<Param> bound(params.begin(), params.end());
    ReadingSink<Row, std::remove_reference_t<Receive>> sink(receive);
    run(sql, bound, &sink);
  }

  Queries(const Queries&) = delete;
  Queries& operator=(const Queries&) = delete;

 protected:
  Queries() = default;
  ~Queries() = default;
  /// Runs one statement to its end (or until the sink has enough); returns the rows it changed.
  virtual std::int64_t run(std::string_view sql, std::span<const Param> params, RowSink* sink) = 0;
};

/// Several queries that see one state of the database; see Database::read().
class Snapshot : public Queries {
 protected:
  ~Snapshot() = default;
};

/// An open transaction, passed to the body of Database::transact(). Every statement of it is undone
/// when the body throws. Queries see what it has written; `insert … returning` is a query.
class Transaction : public Queries {
 public:
  /// Runs a statement; returns the number of rows it inserted, updated or deleted itself (not by
  /// triggers or cascades).
  template <class... Params>
  std::int64_t execute(std::string_view sql, const Params&... params) {
    const std::array<Param, sizeof...(Params)> bound{Param(params)...};
    return run(sql, bound, nullptr);
  }

  /// The same with parameters whose number is known only now: rows by the dozen.
  std::int64_t execute_with(std::string_view sql, std::span<const Value> params) {
    const std::vector<Param> bound(params.begin(), params.end());
    return run(sql, bound, nullptr);
  }

  /// Runs a statement for each of `rows`, in their order; how many rows each has changed. One round trip,
  /// where the database is some way off.
  std::vector<std::int64_t> execute_each(std::string_view sql, std::span<const std::vector<Value>> rows) {
    std::vector<std::vector<Param>> bound;
    bound.reserve(rows.size());
    for (const auto& row : rows) bound.emplace_back(row.begin(), row.end());
    return run_each(sql, bound);
  }

  /// In a body of Isolation::read_committed: from here on it is serial, what it reads stays true until it
  /// commits. What it has asked before still guards itself. Bodies that start alike and end differently run
  /// their starts side by side. Once a body.
  virtual void alone() {}

  /// Runs statements separated by semicolons, without parameters: schema changes.
  virtual void execute_script(std::string_view sql) = 0;

  /// Runs `body()`; where it throws, what it wrote is undone and the exception passed on, and the
  /// transaction goes on if it is caught.
  template <class Body>
  auto savepoint(Body&& body) {
    const Nested nested(*this);
    if constexpr (std::is_void_v<std::invoke_result_t<Body&>>) {
      body();
      nested.release();
    } else {
      auto result = body();
      nested.release();
      return result;
    }
  }

  /// Notifies `signal` once this transaction is durable, before its caller goes on; once a group commit,
  /// however many of its transactions ask. `signal` must live until transact() has returned.
  virtual void after_commit(runtime::Signal& signal) = 0;

  /// Runs `callback` once this transaction is durable, before its caller goes on, on the committing
  /// thread: it must be short, must not wait and must not throw.
  virtual void on_commit(std::function<void()> callback) = 0;

 protected:
  ~Transaction() = default;
  virtual std::vector<std::int64_t> run_each(std::string_view sql, std::span<const std::vector<Param>> rows) {
    std::vector<std::int64_t> changed;
    changed.reserve(rows.size());
    for (const auto& row : rows) changed.push_back(run(sql, row, nullptr));
    return changed;
  }
  virtual void begin_savepoint() = 0;
  virtual void release_savepoint() = 0;
  virtual void roll_back_savepoint() noexcept = 0;

 private:
  class Nested {
   public:
    explicit Nested(Transaction& transaction) : transaction_(transaction) { transaction_.begin_savepoint(); }
    ~Nested() {
      if (open_) transaction_.roll_back_savepoint();
    }
    void release() const {
      transaction_.release_savepoint();
      open_ = false;
    }

   private:
    Transaction& transaction_;
    mutable bool open_ = true;
  };
};

struct ReadOptions {
  bool offload = false;  ///< a heavy report: run the body on a thread of the reports pool, not on the loop
};

/// A moment's numbers since the start; observe/ exports them.
struct Statistics {
  std::uint64_t transactions = 0;      ///< bodies committed
  std::uint64_t rolled_back = 0;       ///< bodies that threw
  std::uint64_t expired_in_queue = 0;  ///< dropped unrun: their caller's time was over
  std::uint64_t refused = 0;           ///< refused because the queue was full
  std::uint64_t groups = 0;            ///< commits; transactions / groups is the mean group size
  std::uint64_t largest_group = 0;
  std::uint64_t group_reruns = 0;  ///< groups begun again because of a failing body
  std::uint64_t failed_commits = 0;
  std::uint64_t queue_depth = 0;  ///< now
  std::uint64_t busy_waits = 0;   ///< waits for another process's transaction
  std::uint64_t checkpoints = 0;
  std::uint64_t wal_pages = 0;         ///< in the write-ahead log after the last commit
  std::uint64_t external_changes = 0;  ///< commits of other processes noticed
  std::uint64_t queries = 0;
  Duration commit_time{};  ///< sum over groups, fsync included
  Duration longest_commit{};
  std::array<std::uint64_t, kFailureKinds> failures{};  ///< by FailureKind
  std::string write_failure;  ///< why the last commit failed; empty once one succeeds. For operators
};

/// While it lives, other processes' commits are looked for. Drop it before the Signal it was made with.
class ExternalWatch {
 public:
  ExternalWatch() = default;
  explicit ExternalWatch(std::function<void()> stop) : stop_(std::move(stop)) {}
  ~ExternalWatch() { stop(); }
  ExternalWatch(ExternalWatch&& other) noexcept : stop_(std::exchange(other.stop_, nullptr)) {}
  ExternalWatch& operator=(ExternalWatch&& other) noexcept {
    if (this != &other) {
      stop();
      stop_ = std::exchange(other.stop_, nullptr);
    }
    return *this;
  }

 private:
  void stop() noexcept {
    if (stop_) stop_();
    stop_ = nullptr;
  }
  std::function<void()> stop_;
};

class Database {
 public:
  virtual ~Database() = default;
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Reads: as in Queries, each on its own. They run on the calling fiber, see what was committed when
  // they began, and end with Error(deadline_exceeded) at ctx's deadline.

  template <class Row, class... Params>
  std::vector<Row> query(const Context& ctx, std::string_view sql, const Params&... params) {
    std::vector<Row> rows;
    for_each<Row>(
        ctx, sql, [&](Row&& row) { rows.push_back(std::move(row)); }, params...);
    return rows;
  }

  template <class Row, class... Params>
  std::optional<Row> query_one(const Context& ctx, std::string_view sql, const Params&... params) {
    std::optional<Row> first;
    for_each<Row>(
        ctx, sql, [&](Row&& row) { return first.emplace(std::move(row)), false; }, params...);
    return first;
  }

  template <class T = std::int64_t, class... Params>
  T query_value(const Context& ctx, std::string_view sql, const Params&... params) {
    std::optional<T> value = query_one<T>(ctx, sql, params...);
    if (!value) throw_no_row(sql);
    return std::move(*value);
  }

  template <class Row, class Receive, class... Params>
  void for_each(const Context& ctx, std::string_view sql, Receive&& receive, const Params&... params) {
    const std::array<Param, sizeof...(Params)> bound{Param(params)...};
    ReadingSink<Row, std::remove_reference_t<Receive>> sink(receive);
    run_query(ctx, sql, bound, sink);
  }

  /// Runs `body(Snapshot&)`, whose queries all see one state of the database; returns what it returns.
  /// It must not wait. With {.offload = true} it runs on another thread while the caller waits.
  template <class Body>
  auto read(const Context& ctx, Body&& body) {
    return read(ctx, ReadOptions{}, std::forward<Body>(body));
  }
  template <class Body>
  auto read(const Context& ctx, ReadOptions options, Body&& body) {
    return returning<Snapshot>(body, [&](FunctionRef<void(Snapshot&)> run) { run_read(ctx, options, run); });
  }

  /// Runs `body(Transaction&)` in a transaction and returns its result once that is durable. The body
  /// may run more than once (each time from a clean state), on another thread, while the caller waits;
  /// so it sets what it captures rather than adding to it, and waits for nothing but its Transaction.
  /// `name` is a literal, shown in messages, traces and metrics.
  ///
  /// What the body throws is rethrown here, its statements undone. Error(deadline_exceeded / cancelled)
  /// only while it had not begun to run, or where a remote database stopped its statement at that instant
  /// and undid it; Error(unavailable) with retry_after where the queue is full or the disk is.
  template <class Body>
  auto transact(const Context& ctx, const char* name, Body&& body) {
    return transact(ctx, name, Isolation::serial, std::forward<Body>(body));
  }
  template <class Body>
  auto transact(const Context& ctx, const char* name, Isolation isolation, Body&& body) {
    return returning<Transaction>(
        body, [&](FunctionRef<void(Transaction&)> run) { run_transaction(ctx, name, isolation, run); });
  }
  template <class Body>
  auto transact(const Context& ctx, Body&& body) {
    return transact(ctx, "transaction", std::forward<Body>(body));
  }

  /// Notifies `signal` when another process has committed to this database (looked for every
  /// Options::external_poll), until the returned watch is gone. A commit of this process does not.
  [[nodiscard]] virtual ExternalWatch watch_external_changes(runtime::Signal& signal) = 0;

  virtual Statistics statistics() const = 0;
  virtual Dialect dialect() const noexcept = 0;

 protected:
  Database() = default;
  virtual void run_query(const Context& ctx, std::string_view sql, std::span<const Param> params,
                         RowSink& sink) = 0;
  virtual void run_read(const Context& ctx, ReadOptions options, FunctionRef<void(Snapshot&)> body) = 0;
  virtual void run_transaction(const Context& ctx, const char* name, Isolation isolation,
                               FunctionRef<void(Transaction&)> body) = 0;
  /// For those that stand before another Database.
  static void run_query_of(Database& other, const Context& ctx, std::string_view sql,
                           std::span<const Param> params, RowSink& sink) {
    other.run_query(ctx, sql, params, sink);
  }

 private:
  template <class Scope, class Body, class Run>
  static auto returning(Body& body, const Run& run) {
    using Result = std::invoke_result_t<Body&, Scope&>;
    static_assert(!std::is_reference_v<Result>,
                  "The body's result outlives its transaction: return a value.");
    if constexpr (std::is_void_v<Result>) {
      run([&](Scope& scope) { body(scope); });
    } else {
      std::optional<Result> result;
      run([&](Scope& scope) {
        result.reset();  // a body that runs again starts from nothing
        result.emplace(body(scope));
      });
      return std::move(*result);
    }
  }
};

}  // namespace holdfast::sql
