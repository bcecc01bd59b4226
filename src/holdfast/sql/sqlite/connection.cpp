#include "holdfast/sql/sqlite/connection.hpp"

#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <utility>

#include "holdfast/sql/sqlite/classify.hpp"

namespace holdfast::sql::sqlite {
namespace {

// A thousand virtual machine steps are some 10 µs: often enough to meet a deadline, rarely enough for
// the clock reading not to be seen.
constexpr int kStepsBetweenDeadlineChecks = 1000;

constexpr std::array<const char*, 7> kFrameSql = {
    "begin immediate", "begin deferred", "commit", "rollback", "savepoint s", "release s", "rollback to s",
};

[[noreturn]] void throw_parameter_count(const Statement& statement, std::size_t given) {
  throw DatabaseError(FailureKind::other, "A statement failed.",
                      std::to_string(given) + " parameters for " + std::to_string(statement.parameters()) +
                          " placeholders in: " + statement.sql());
}

int bind_one(sqlite3_stmt* handle, int slot, const Value& value) {
  switch (value.type()) {
    case Value::Type::null: return sqlite3_bind_null(handle, slot);
    case Value::Type::integer: return sqlite3_bind_int64(handle, slot, value.as_integer());
    case Value::Type::real: return sqlite3_bind_double(handle, slot, value.as_real());
    case Value::Type::text: {
      // SQLite takes a null pointer for NULL; an empty text is not that.
      const std::string_view text = value.as_text();
      return sqlite3_bind_text64(handle, slot, text.data() != nullptr ? text.data() : "", text.size(),
                                 SQLITE_STATIC, SQLITE_UTF8);
    }
    case Value::Type::blob: {
      const auto bytes = value.as_blob();
      if (bytes.empty()) return sqlite3_bind_zeroblob(handle, slot, 0);
      return sqlite3_bind_blob64(handle, slot, bytes.data(), bytes.size(), SQLITE_STATIC);
    }
  }
  return SQLITE_MISUSE;
}

}  // namespace

/// The row its statement stands on, read straight out of SQLite.
class Connection::Row final : public RowView {
 public:
  explicit Row(const Statement& statement) noexcept : statement_(statement), handle_(statement.handle()) {}

  std::size_t columns() const noexcept override {
    return static_cast<std::size_t>(sqlite3_column_count(handle_));
  }
  std::string_view name(std::size_t column) const override {
    const char* name = sqlite3_column_name(handle_, static_cast<int>(column));
    return name != nullptr ? std::string_view(name) : std::string_view();
  }
  Value value(std::size_t column) const override {
    const int index = static_cast<int>(column);
    switch (sqlite3_column_type(handle_, index)) {
      case SQLITE_INTEGER: return Value::integer(sqlite3_column_int64(handle_, index));
      case SQLITE_FLOAT: return Value::real(sqlite3_column_double(handle_, index));
      case SQLITE_TEXT: {
        const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(handle_, index));
        return Value::text({text, static_cast<std::size_t>(sqlite3_column_bytes(handle_, index))});
      }
      case SQLITE_BLOB: {
        const auto* bytes = static_cast<const std::byte*>(sqlite3_column_blob(handle_, index));
        return Value::blob({bytes, static_cast<std::size_t>(sqlite3_column_bytes(handle_, index))});
      }
      default: return {};
    }
  }
  std::string_view statement() const noexcept override { return statement_.sql(); }

 private:
  const Statement& statement_;
  sqlite3_stmt* handle_;
};

void Connection::Close::operator()(sqlite3* db) const noexcept { sqlite3_close_v2(db); }

Connection::Connection(Options options, Counters& counters)
    : options_(std::move(options)), counters_(counters) {
  open();
  set_up();
  statements_ = std::make_unique<StatementCache>(db_.get(), options_.statements);
  for (std::size_t i = 0; i < kFrames; ++i) frames_[i] = std::make_unique<Statement>(db_.get(), kFrameSql[i]);
  data_version_ = std::make_unique<Statement>(db_.get(), "pragma data_version");
  framing_ = false;
}

Connection::~Connection() = default;

void Connection::open() {
  // SQLite's own memory statistics take a mutex at every allocation. Only the process's first connection
  // can switch them off; when it can't (somebody else uses SQLite here), they stay on.
  static const int kStatisticsOff = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
  static_cast<void>(kStatisticsOff);
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  if (options_.use != Use::reader) flags |= SQLITE_OPEN_CREATE;
  if (options_.use == Use::memory) flags |= SQLITE_OPEN_MEMORY;
  sqlite3* opened = nullptr;
  const int code = sqlite3_open_v2(options_.path.c_str(), &opened, flags, nullptr);
  db_.reset(opened);
  if (code != SQLITE_OK) throw_failure(code, "opening " + options_.path, {});
  sqlite3_busy_handler(opened, &Connection::on_busy, this);
  sqlite3_progress_handler(opened, kStepsBetweenDeadlineChecks, &Connection::on_progress, this);
  sqlite3_set_authorizer(opened, &Connection::on_authorize, this);
}

void Connection::set_up() {
  pragma("pragma foreign_keys = on");
  pragma("pragma temp_store = memory");  // savepoints of a large group would spill to a file otherwise
  pragma("pragma secure_delete = off");  // Debian's default overwrites what is deleted
  pragma("pragma trusted_schema = off");
  const std::string cache = "pragma cache_size = -" + std::to_string(options_.cache_kib);
  pragma(cache.c_str());
  if (options_.use == Use::memory) return;
  if (options_.use == Use::reader) {
    pragma("pragma query_only = on");
    read_only_ = true;
    return;
  }
  pragma("pragma journal_mode = wal");
  const Statement mode(db_.get(), "pragma journal_mode");
  const bool wal =
      sqlite3_step(mode.handle()) == SQLITE_ROW &&
      std::string_view(reinterpret_cast<const char*>(sqlite3_column_text(mode.handle(), 0))) == "wal";
  if (!wal) {
    throw DatabaseError(FailureKind::unavailable, "The database can't take this now; try again.",
                        options_.path + " can't be set to write-ahead logging: is it read-only?");
  }
  pragma("pragma synchronous = full");
  pragma("pragma journal_size_limit = 16777216");  // a log that once grew is cut back to 16 MiB
  // Replaces SQLite's automatic checkpoint, which would run inside a caller's commit.
  sqlite3_wal_hook(db_.get(), &Connection::on_wal, this);
}

void Connection::pragma(const char* sql) {
  const int code = sqlite3_exec(db_.get(), sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) throw_failure(code, "setting up " + options_.path, sql);
}

void Connection::bind(const Statement& statement, std::span<const Param> params) {
  if (statement.parameters() != params.size()) throw_parameter_count(statement, params.size());
  int slot = 0;
  for (const int parameter : statement.parameter_of_slot()) {
    const int code = bind_one(statement.handle(), ++slot, params[static_cast<std::size_t>(parameter)]);
    if (code != SQLITE_OK)
      throw_failure(code, "binding parameter " + std::to_string(parameter + 1), statement.sql());
  }
}

std::int64_t Connection::run(std::string_view sql, std::span<const Param> params, RowSink* sink) {
  const StatementCache::Loan statement(*statements_, sql);
  if (read_only_ && !statement->read_only()) {
    throw DatabaseError(FailureKind::other, "A statement failed.",
                        "a write outside of transact(): " + statement->sql());
  }
  bind(*statement, params);
  slept_ = {};
  const Row row(*statement);
  bool told_columns = false;
  bool wants_more = true;
  int code = SQLITE_OK;
  // A statement that writes is always run to its end: only there are its foreign keys checked.
  while ((wants_more || !statement->read_only()) &&
         (code = sqlite3_step(statement->handle())) == SQLITE_ROW) {
    if (sink == nullptr || !wants_more) continue;
    if (!std::exchange(told_columns, true)) sink->columns(row);
    wants_more = sink->row(row);
  }
  if (code != SQLITE_ROW && code != SQLITE_DONE) throw_failure(code, "running", statement->sql());
  if (sink != nullptr && !told_columns) sink->columns(row);
  return statement->read_only() ? 0 : sqlite3_changes64(db_.get());
}

void Connection::run_script(std::string_view sql) {
  const std::string script(sql);
  slept_ = {};
  const int code = sqlite3_exec(db_.get(), script.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) throw_failure(code, "running a script", script);
}

int Connection::try_frame(Frame frame) noexcept {
  sqlite3_stmt* handle = frames_[static_cast<std::size_t>(frame)]->handle();
  slept_ = {};
  framing_ = true;  // after a change of the schema, stepping prepares it anew, and the authorizer is asked
  const int code = sqlite3_step(handle);
  framing_ = false;
  sqlite3_reset(handle);
  return code == SQLITE_DONE ? SQLITE_OK : code;
}

void Connection::frame(Frame frame) {
  const int code = try_frame(frame);
  if (code != SQLITE_OK) throw failure(code, kFrameSql[static_cast<std::size_t>(frame)]);
}

bool Connection::in_transaction() const noexcept { return sqlite3_get_autocommit(db_.get()) == 0; }

bool Connection::foreign_key_pending() const noexcept {
  int violated = 0;
  int highest = 0;
  sqlite3_db_status(db_.get(), SQLITE_DBSTATUS_DEFERRED_FKS, &violated, &highest, 0);
  return violated != 0;
}

std::int64_t Connection::data_version() {
  sqlite3_stmt* handle = data_version_->handle();
  const int code = sqlite3_step(handle);
  const std::int64_t version = code == SQLITE_ROW ? sqlite3_column_int64(handle, 0) : 0;
  sqlite3_reset(handle);
  if (code != SQLITE_ROW) throw failure(code, "looking for other processes' changes");
  return version;
}

void Connection::checkpoint() noexcept {
  int pages = 0;
  int copied = 0;
  if (sqlite3_wal_checkpoint_v2(db_.get(), nullptr, SQLITE_CHECKPOINT_PASSIVE, &pages, &copied) ==
      SQLITE_OK) {
    counters_.checkpoints.add();
    wal_pages_ = static_cast<std::uint64_t>(std::max(pages, 0));
    checkpointed_pages_ = static_cast<std::uint64_t>(std::clamp(copied, 0, std::max(pages, 0)));
  }
}

void Connection::checkpoint_and_truncate() noexcept {
  slept_ = options_.busy_timeout;  // readers of other processes are not waited for
  sqlite3_wal_checkpoint_v2(db_.get(), nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
}

DatabaseError Connection::failure(int code, std::string_view doing, std::string_view statement) {
  needs_reopening_ = needs_reopening_ || sqlite::needs_reopening(code);
  DatabaseError made = failure_of(db_.get(), code, doing, statement);
  counters_.failures[static_cast<std::size_t>(made.kind())].add();
  return made;
}

void Connection::throw_failure(int code, std::string_view doing, std::string_view statement) {
  if ((code & 0xff) == SQLITE_INTERRUPT && bound_ != nullptr) bound_->check("running a query");
  throw failure(code, doing, statement);
}

int Connection::on_progress(void* self) noexcept {
  const Context* bound = static_cast<Connection*>(self)->bound_;
  return bound != nullptr && (bound->now() >= bound->deadline() || bound->cancelled()) ? 1 : 0;
}

// Waits are counted rather than timed: nothing here asks for the time.
int Connection::on_busy(void* self, int attempt) noexcept {
  auto& connection = *static_cast<Connection*>(self);
  if (connection.slept_ >= connection.options_.busy_timeout) return 0;
  const int milliseconds = std::min(attempt + 1, 10);
  connection.counters_.busy_waits.add();
  sqlite3_sleep(milliseconds);
  connection.slept_ += std::chrono::milliseconds(milliseconds);
  return 1;
}

int Connection::on_wal(void* self, sqlite3*, const char*, int pages) noexcept {
  auto& connection = *static_cast<Connection*>(self);
  connection.wal_pages_ = static_cast<std::uint64_t>(pages);
  if (connection.wal_pages_ < connection.checkpointed_pages_)
    connection.checkpointed_pages_ = 0;  // it started over
  return SQLITE_OK;
}

// A body that commits by itself would take the whole group with it.
int Connection::on_authorize(void* self, int action, const char*, const char*, const char*,
                             const char*) noexcept {
  const bool control = action == SQLITE_TRANSACTION || action == SQLITE_SAVEPOINT;
  return control && !static_cast<Connection*>(self)->framing_ ? SQLITE_DENY : SQLITE_OK;
}

}  // namespace holdfast::sql::sqlite
