// One SQLite connection, set up as this room needs it, with its statements cached and its failures
// classified. Everything that touches sqlite3_* goes through here.
//
// Thread-safety: one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "holdfast/runtime/context.hpp"
#include "holdfast/sql/counters.hpp"
#include "holdfast/sql/database.hpp"
#include "holdfast/sql/sqlite/statement_cache.hpp"

struct sqlite3;

namespace holdfast::sql::sqlite {

class Connection {
 public:
  enum class Use : std::uint8_t {
    writer,  ///< creates the file, sets it to WAL, checkpoints
    reader,  ///< refuses to write
    memory,  ///< a database of its own that ends with it
  };
  struct Options {
    std::string path;
    Use use = Use::reader;
    Duration busy_timeout = std::chrono::seconds(5);  ///< for a lock that another process holds
    std::size_t cache_kib = 2048;                     ///< most page cache; taken as needed
    std::size_t statements = 128;                     ///< most prepared statements kept
  };

  /// Throws DatabaseError naming the path where the file can't be used. `counters` must outlive it.
  Connection(Options options, Counters& counters);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Runs one statement; returns how many rows it changed (0 for one that only reads).
  std::int64_t run(std::string_view sql, std::span<const Param> params, RowSink* sink);
  /// Runs statements separated by semicolons.
  void run_script(std::string_view sql);

  /// The statements that frame others. Bodies can't run them: `begin`, `commit` … in a body is refused.
  enum class Frame : std::uint8_t {
    begin_immediate,
    begin_deferred,
    commit,
    rollback,
    savepoint,
    release,
    rollback_to,
  };
  /// SQLite's result code; 0 is success.
  [[nodiscard]] int try_frame(Frame frame) noexcept;
  void frame(Frame frame);  ///< throws what failed

  /// False once SQLite has rolled the transaction back by itself (disk full, I/O error).
  bool in_transaction() const noexcept;
  /// Whether a deferred foreign key is violated at the moment.
  bool foreign_key_pending() const noexcept;
  /// A number that changes when another connection has committed.
  std::int64_t data_version();
  /// Pages in the write-ahead log after the last commit of this connection.
  std::uint64_t wal_pages() const noexcept { return wal_pages_; }
  /// Of these, what no checkpoint has copied yet. (A log that readers keep from starting over stays
  /// long, and must not be checkpointed for that after each commit.)
  std::uint64_t pages_to_checkpoint() const noexcept { return wal_pages_ - checkpointed_pages_; }
  /// Copies what it can of the log into the database without waiting for anybody.
  void checkpoint() noexcept;
  /// Copies all of it and empties the log, where no other process stands in the way.
  void checkpoint_and_truncate() noexcept;

  /// Refuses statements that write, as a reader's connection does by itself.
  void set_read_only(bool read_only) noexcept { read_only_ = read_only; }

  /// The failure SQLite has just reported, counted.
  DatabaseError failure(int code, std::string_view doing, std::string_view statement = {});
  bool needs_reopening() const noexcept { return needs_reopening_; }

  /// While it lives, statements end with Error(deadline_exceeded / cancelled) when `ctx` does.
  class Bounded {
   public:
    Bounded(Connection& connection, const Context& ctx) noexcept : connection_(connection) {
      connection_.bound_ = &ctx;
    }
    ~Bounded() { connection_.bound_ = nullptr; }
    Bounded(const Bounded&) = delete;
    Bounded& operator=(const Bounded&) = delete;

   private:
    Connection& connection_;
  };

 private:
  class Row;
  void open();
  void set_up();
  void pragma(const char* sql);
  void bind(const Statement& statement, std::span<const Param> params);
  [[noreturn]] void throw_failure(int code, std::string_view doing, std::string_view statement);
  static int on_progress(void* self) noexcept;
  static int on_busy(void* self, int attempt) noexcept;
  static int on_wal(void* self, sqlite3*, const char*, int pages) noexcept;
  static int on_authorize(void* self, int action, const char*, const char*, const char*,
                          const char*) noexcept;

  static constexpr std::size_t kFrames = 7;
  struct Close {
    void operator()(sqlite3* db) const noexcept;
  };

  Options options_;
  Counters& counters_;
  std::unique_ptr<sqlite3, Close> db_;
  std::unique_ptr<StatementCache> statements_;
  std::array<std::unique_ptr<Statement>, kFrames> frames_;
  std::unique_ptr<Statement> data_version_;
  const Context* bound_ = nullptr;
  std::uint64_t wal_pages_ = 0;
  std::uint64_t checkpointed_pages_ = 0;  // never more than wal_pages_
  Duration slept_{};
  bool framing_ = true;  // whether transaction control may be prepared
  bool needs_reopening_ = false;
  bool read_only_ = false;
};

}  // namespace holdfast::sql::sqlite
