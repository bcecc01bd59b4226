// One connection to PostgreSQL: libpq without its waits, statements prepared once and kept, failures
// classified. What waits, waits for its fiber alone; on a thread that is no loop's it holds up that
// thread. Everything that touches PQ… goes through here.
//
// A statement whose Context ends is cancelled on the server, through a second connection, and waited for
// Options::cancel_grace; a server that does not answer even then has lost this connection.
//
// Thread-safety: its loop's (or its owner's) thread, one fiber at a time.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "holdfast/runtime/context.hpp"
#include "holdfast/runtime/loop.hpp"
#include "holdfast/runtime/waker.hpp"
#include "holdfast/sql/counters.hpp"
#include "holdfast/sql/database.hpp"
#include "holdfast/sql/postgres/database.hpp"

struct pg_conn;
struct pg_result;

namespace holdfast::sql {
class CopyRows;
}

namespace holdfast::sql::postgres {

class Parameters;

class Connection final : private runtime::IoHandler {
 public:
  enum class Use : std::uint8_t { reader, writer, listener, reports, canceller, replication };

  /// Connects on the calling fiber, or thread. Throws DatabaseError(unavailable) naming what to change.
  static std::unique_ptr<Connection> open(const Context& ctx, const Options& options, Use use,
                                          Counters& counters);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// How rows reach the sink: as they come (it must not use this connection), or when all are here.
  enum class Rows : std::uint8_t { streamed, gathered };

  /// Runs one statement; returns how many rows it changed.
  std::int64_t run(const Context& ctx, std::string_view sql, std::span<const Param> params, RowSink* sink,
                   Rows rows);
  /// What a statement was answered with.
  class Answer;
  /// One of several statements; both are borrowed.
  struct Together {
    std::string_view sql;
    const Parameters& params;
  };
  /// Runs statements one after the other in one round trip, none of which may need another's answer.
  /// Throws what the first that failed failed with; those after it have not run.
  std::vector<Answer> run_together(const Context& ctx, std::span<const Together> statements);

  /// Runs statements separated by semicolons in one round trip; returns the last one's tag ("COMMIT").
  std::string run_script(const Context& ctx, std::string_view sql);
  /// The same for a script that ends with a commit: it is never cancelled. Where `ctx` ends before the
  /// answer came, the connection is given up.
  std::string commit(const Context& ctx, std::string_view script);

  /// Runs a COPY … FROM STDIN of `columns` columns; returns how many rows were written.
  std::int64_t copy_in(const Context& ctx, std::string_view sql, std::size_t columns,
                       FunctionRef<void(CopyRows&)> source);
  /// Runs a COPY … TO STDOUT; `sink` may wait. Returns how many rows there were.
  std::int64_t copy_out(const Context& ctx, std::string_view sql, FunctionRef<void(std::string_view)> sink);

  /// Use::replication: runs a START_REPLICATION. From then on there are only next_message() and
  /// send_message().
  void begin_streaming(const Context& ctx, std::string_view sql);
  /// What the server says next; none where `ctx` ended before.
  std::optional<std::string> next_message(const Context& ctx);
  void send_message(const Context& ctx, std::string_view message) { put_copy_data(ctx, message); }

  /// Waits until a notification has come, or until `ctx` ends; false for the latter. Takes all there are.
  /// Those whose payload is `own` don't count.
  bool wait_for_notification(const Context& ctx, std::string_view own);

  /// A statement of the open transaction failed: until a savepoint is rolled back, no other is taken.
  bool aborted() const noexcept;
  bool in_transaction() const noexcept;
  /// Nothing will come of it any more.
  bool broken() const noexcept { return broken_; }
  /// Older than Options::max_age, less up to a fifth: so that those opened together don't go together.
  bool expired(Instant now) const noexcept;
  /// When it was last seen to answer.
  Instant used_at() const noexcept { return used_at_; }
  void used(Instant now) noexcept { used_at_ = now; }

 private:
  class Row;
  struct Statement {
    std::string key;   // its text and its parameters' types
    std::string name;  // on the server
  };
  struct Free {
    void operator()(pg_result* result) const noexcept;
  };
  using Result = std::unique_ptr<pg_result, Free>;

  Connection(const Options& options, Counters& counters);
  class Copying;
  template <class Stream>
  std::int64_t streaming(const Context& ctx, const Stream& stream);
  void connect(const Context& ctx, Use use);
  void put_copy_data(const Context& ctx, std::string_view bytes);
  void start(Use use);
  std::string address() const;

  const std::string& prepared(const Context& ctx, std::string_view sql, const Parameters& params);
  void require_sound(std::string_view sql, std::size_t params);
  void forget(std::string_view sql);
  void send(std::string_view name, const Parameters& params);
  void send_together(const Context& ctx, std::span<const Together> statements);
  void receive_together(const Context& ctx, std::span<const Together> statements,
                        std::vector<Answer>& answers);
  void leave_pipeline(const Context& ctx);
  std::int64_t receive(const Context& ctx, std::string_view sql, RowSink* sink);
  /// Reads what is left of a statement; the last result, or the first failure.
  Result finish(const Context& ctx);
  Result next(const Context& ctx);
  void require_sent(int sent);
  void require_success(const Result& result, std::string_view sql);
  /// Runs `exchange`; where it is left by an exception with the statement still running, stops that.
  template <class Exchange>
  auto exchange(const Context& ctx, const Exchange& exchange);
  void stop_statement(const Context& ctx) noexcept;

  void wait(const Context& ctx, bool to_write);
  void wait_on_thread(const Context& ctx, short events);
  void watch();
  void unwatch() noexcept;
  void on_ready(bool readable, bool writable, bool hung_up) override;
  [[noreturn]] void throw_lost(std::string_view doing);
  [[noreturn]] void throw_counted(DatabaseError failure);

  const Options& options_;
  Counters& counters_;
  runtime::Loop* const loop_;  // null: a plain thread's
  pg_conn* connection_ = nullptr;
  int watched_ = -1;
  runtime::Waker waker_;
  bool broken_ = false;
  bool busy_ = false;  // a statement is with the server
  Instant opened_at_{};
  Instant used_at_{};

  std::list<Statement> statements_;  // most recently used first
  std::unordered_map<std::string_view, std::list<Statement>::iterator> by_key_;
  std::uint64_t prepared_ = 0;
  std::string key_;
};

class Connection::Answer {
 public:
  /// How many rows the statement changed.
  std::int64_t changed() const;
  /// Gives the rows it has to `sink`, until that has enough.
  void deliver(std::string_view sql, RowSink& sink) const;
  std::size_t rows() const noexcept;
  std::string_view text(std::size_t row, std::size_t column) const noexcept;
  /// Of rows whose first column is a number from 1 to `count`: which rows have which, from 0.
  std::vector<std::vector<int>> by_number(std::size_t count) const;
  /// The same as deliver() for those rows, without that column.
  void deliver_numbered(std::string_view sql, std::span<const int> rows, RowSink& sink) const;

 private:
  friend class Connection;
  explicit Answer(Result result) : result_(std::move(result)) {}
  Result result_;
};

}  // namespace holdfast::sql::postgres
