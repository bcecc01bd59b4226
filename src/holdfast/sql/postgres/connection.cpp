#include "holdfast/sql/postgres/connection.hpp"

#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "holdfast/runtime/fiber.hpp"
#include "holdfast/sql/postgres/classify.hpp"
#include "holdfast/sql/postgres/parameters.hpp"
#include "holdfast/sql/postgres/row.hpp"
#include "holdfast/sql/postgres/statement_text.hpp"

namespace holdfast::sql::postgres {
namespace {

constexpr const char* kWaiting = "an answer of PostgreSQL";

// "cached plan must not change result type", among others.
constexpr std::string_view kPlanIsStale = "0A000";

// How often a plain thread that waits looks whether it was cancelled.
constexpr auto kThreadLooks = std::chrono::milliseconds(50);

std::int64_t milliseconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}

std::string_view name_of(Connection::Use use) noexcept {
  switch (use) {
    case Connection::Use::reader: return "reader";
    case Connection::Use::writer: return "writer";
    case Connection::Use::listener: return "listener";
    case Connection::Use::reports: return "reports";
    case Connection::Use::canceller: return "canceller";
    case Connection::Use::replication: return "replication";
  }
  return "";
}

}  // namespace

void Connection::Free::operator()(pg_result* result) const noexcept { PQclear(result); }

// --- Connecting --------------------------------------------------------------------------------------

Connection::Connection(const Options& options, Counters& counters)
    : options_(options),
      counters_(counters),
      loop_(runtime::on_fiber() ? runtime::Loop::current() : nullptr) {}

Connection::~Connection() {
  unwatch();
  PQfinish(connection_);
}

std::unique_ptr<Connection> Connection::open(const Context& ctx, const Options& options, Use use,
                                             Counters& counters) {
  std::unique_ptr<Connection> made(new Connection(options, counters));
  ctx.check("connecting to the database");
  try {
    made->connect(ctx.with_timeout(options.connect_timeout), use);
  } catch (const DatabaseError&) {
    throw;
  } catch (const Error&) {  // the time for it ran out, or the caller's did
    if (ctx.cancelled()) throw;
    made->throw_counted(not_connected(made->address(), "timeout"));
  }
  made->opened_at_ = made->used_at_ = ctx.now();
  return made;
}

// Spread by what differs between connections anyway.
bool Connection::expired(Instant now) const noexcept {
  constexpr int kShares = 64;
  const Duration early = options_.max_age / 5 * (PQbackendPID(connection_) % kShares) / kShares;
  return now - opened_at_ > options_.max_age - early;
}

void Connection::connect(const Context& ctx, Use use) {
  start(use);
  for (PostgresPollingStatusType state = PGRES_POLLING_WRITING; state != PGRES_POLLING_OK;) {
    if (state == PGRES_POLLING_FAILED || PQstatus(connection_) == CONNECTION_BAD)
      throw_counted(not_connected(address(), PQerrorMessage(connection_)));
    watch();  // each step may be on another socket
    wait(ctx, state == PGRES_POLLING_WRITING);
    unwatch();
    state = PQconnectPoll(connection_);
  }
  watch();
  PQsetnonblocking(connection_, 1);
  PQsetNoticeProcessor(
      connection_, [](void*, const char*) {}, nullptr);
}

void Connection::start(Use use) {
  std::vector<std::pair<const char*, std::string>> settings;
  const auto set = [&](const char* key, std::string value) {
    if (!value.empty()) settings.emplace_back(key, std::move(value));
  };
  set("dbname", options_.uri);  // first: what follows comes before it
  set("host", options_.host);
  set("port", options_.port != 0 ? std::to_string(options_.port) : std::string());
  set("dbname", options_.dbname);
  set("user", options_.user);
  set("password", options_.password);
  set("sslmode", options_.sslmode);
  set("sslrootcert", options_.ssl_root_certificate);
  set("application_name", options_.application_name + " " + std::string(name_of(use)));
  set("client_encoding", "UTF8");
  if (use == Use::replication) set("replication", "database");
  const std::int64_t probes = std::max<std::int64_t>(milliseconds(options_.silence) / 1000 / 4, 1);
  set("keepalives_idle", std::to_string(probes));
  set("keepalives_interval", std::to_string(probes));
  set("keepalives_count", "3");
  set("tcp_user_timeout", std::to_string(milliseconds(options_.silence)));
  std::string server = "-c statement_timeout=" + std::to_string(milliseconds(options_.statement_timeout)) +
                       " -c idle_in_transaction_session_timeout=" +
                       std::to_string(milliseconds(options_.idle_transaction_timeout)) +
                       " -c bytea_output=hex";
  if (use == Use::reader || use == Use::reports) server += " -c default_transaction_read_only=on";
  if (use == Use::writer && options_.writers == Writers::side_by_side)
    server += " -c default_transaction_isolation=serializable";
  set("options", std::move(server));
  std::vector<const char*> keys;
  std::vector<const char*> values;
  for (const auto& [key, value] : settings) {
    keys.push_back(key);
    values.push_back(value.c_str());
  }
  keys.push_back(nullptr);
  values.push_back(nullptr);
  connection_ = PQconnectStartParams(keys.data(), values.data(), 1);
  if (connection_ == nullptr) throw std::bad_alloc();
}

std::string Connection::address() const {
  const auto text = [](const char* found) { return std::string(found != nullptr ? found : ""); };
  if (connection_ == nullptr) return options_.host;
  return text(PQuser(connection_)) + "@" + text(PQhost(connection_)) + ":" + text(PQport(connection_)) + "/" +
         text(PQdb(connection_));
}

// --- Waiting -----------------------------------------------------------------------------------------

void Connection::watch() {
  const int fd = PQsocket(connection_);
  if (loop_ == nullptr || fd < 0 || watched_ == fd) return;
  loop_->watch(fd, *this);
  watched_ = fd;
}

// libpq closes the socket of a lost connection by itself, and its number may be another connection's by now.
void Connection::unwatch() noexcept {
  if (watched_ >= 0) loop_->unwatch(PQsocket(connection_) == watched_ ? watched_ : -1, *this);
  watched_ = -1;
}

void Connection::on_ready(bool, bool, bool) {
  if (waker_) waker_.wake();
}

// The loop tells of changes only, and libpq does not always read all there is; so what is ready already
// is asked for first. What comes after is told, as this is the loop's own thread.
void Connection::wait(const Context& ctx, bool to_write) {
  const short events = static_cast<short>(POLLIN | (to_write ? POLLOUT : 0));
  if (loop_ == nullptr) return wait_on_thread(ctx, events);
  const runtime::NoWaitScope lifted(nullptr);  // a body may wait for its own statements
  for (;;) {
    pollfd ready{PQsocket(connection_), events, 0};
    if (::poll(&ready, 1, 0) > 0) return;
    waker_ = runtime::prepare_wait(kWaiting);
    const runtime::Woken woken = runtime::park(ctx, kWaiting);
    waker_ = {};
    runtime::throw_unless_event(woken, kWaiting);
  }
}

void Connection::wait_on_thread(const Context& ctx, short events) {
  for (;;) {
    ctx.check(kWaiting);
    pollfd ready{PQsocket(connection_), events, 0};
    const Duration most = std::min<Duration>(kThreadLooks, ctx.remaining());
    if (::poll(&ready, 1, static_cast<int>(milliseconds(most)) + 1) > 0) return;
  }
}

// --- Statements --------------------------------------------------------------------------------------

void Connection::throw_counted(DatabaseError failure) {
  counters_.failures[static_cast<std::size_t>(failure.kind())].add();
  throw failure;
}

void Connection::throw_lost(std::string_view doing) {
  broken_ = true;
  std::string_view why = PQerrorMessage(connection_);
  while (!why.empty() && why.back() == '\n') why.remove_suffix(1);
  throw_counted(lost(std::string(doing) + " at " + address(), why));
}

void Connection::require_sent(int sent) {
  if (sent == 0) throw_lost("sending a statement");
  busy_ = true;
}

void Connection::require_success(const Result& result, std::string_view sql) {
  const ExecStatusType status = PQresultStatus(result.get());
  if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY ||
      status == PGRES_SINGLE_TUPLE) {
    return;
  }
  if (PQstatus(connection_) == CONNECTION_BAD) throw_lost("running a statement");
  const char* state = PQresultErrorField(result.get(), PG_DIAG_SQLSTATE);
  if (state != nullptr && std::string_view(state) == kPlanIsStale) forget(sql);
  throw_counted(failure_of(result.get(), sql));
}

// With a limit of its own, so that a server that does not answer holds nobody for ever.
template <class Exchange>
auto Connection::exchange(const Context& ctx, const Exchange& exchange) {
  if (broken_) throw_counted(lost("running a statement", "the connection was lost"));
  const Context bounded = ctx.with_timeout(options_.statement_timeout + options_.cancel_grace);
  try {
    return exchange(bounded);
  } catch (const DatabaseError&) {
    stop_statement(ctx);
    throw;
  } catch (...) {
    stop_statement(ctx);
    if (!ctx.cancelled() && bounded.remaining() <= Duration::zero() && ctx.remaining() > Duration::zero())
      throw_counted(lost("running a statement", "no answer within statement_timeout"));
    throw;
  }
}

Connection::Result Connection::next(const Context& ctx) {
  for (int unsent = 1; unsent != 0;) {
    unsent = PQflush(connection_);
    if (unsent < 0) throw_lost("sending a statement");
    if (unsent == 0) break;
    wait(ctx, true);
    if (PQconsumeInput(connection_) == 0) throw_lost("reading an answer");
  }
  while (PQisBusy(connection_) != 0) {
    wait(ctx, false);
    if (PQconsumeInput(connection_) == 0) throw_lost("reading an answer");
  }
  Result result(PQgetResult(connection_));
  // Between the statements of a pipeline there is nothing, too.
  if (result == nullptr && PQpipelineStatus(connection_) == PQ_PIPELINE_OFF) busy_ = false;
  return result;
}

Connection::Result Connection::finish(const Context& ctx) {
  Result kept;
  while (Result result = next(ctx)) {
    const bool failed = kept != nullptr && PQresultStatus(kept.get()) == PGRES_FATAL_ERROR;
    if (!failed) kept = std::move(result);
  }
  return kept;
}

// Cancels what runs and reads what is left of it. Asked for by a second connection: libpq's own way
// would block the loop.
void Connection::stop_statement(const Context& ctx) noexcept {
  if (!busy_ || broken_) return;
  try {
    // Mostly the end is here already.
    while (PQpipelineStatus(connection_) == PQ_PIPELINE_OFF && PQisBusy(connection_) == 0) {
      if (next(ctx) == nullptr) return;
    }
    const Context grace = ctx.detached().with_timeout(options_.cancel_grace);
    const auto canceller = open(grace, options_, Use::canceller, counters_);
    const std::array<Param, 1> pid{Param(PQbackendPID(connection_))};
    canceller->run(grace, "select pg_cancel_backend($1::int)", pid, nullptr, Rows::gathered);
    PQpipelineStatus(connection_) == PQ_PIPELINE_OFF ? static_cast<void>(finish(grace))
                                                     : leave_pipeline(grace);
  } catch (...) {
    broken_ = true;
  }
}

// What is asked of a statement's text is asked once: a kept statement has passed.
const std::string& Connection::prepared(const Context& ctx, std::string_view sql, const Parameters& params) {
  key_.assign(sql).push_back('\0');
  for (const unsigned int type : params.types())
    key_.append(reinterpret_cast<const char*>(&type), sizeof type);
  if (const auto found = by_key_.find(key_); found != by_key_.end()) {
    statements_.splice(statements_.begin(), statements_, found->second);
    return statements_.front().name;
  }
  require_sound(sql, params.size());
  if (statements_.size() >= options_.cached_statements) {
    const std::string oldest = statements_.back().name;
    by_key_.erase(statements_.back().key);
    statements_.pop_back();
    run_script(ctx, "deallocate " + oldest);
  }
  Statement made{key_, "h" + std::to_string(++prepared_)};
  const std::string text(sql);
  require_sent(PQsendPrepare(connection_, made.name.c_str(), text.c_str(), static_cast<int>(params.size()),
                             params.types().data()));
  require_success(finish(ctx), sql);
  statements_.push_front(std::move(made));
  by_key_.emplace(statements_.front().key, statements_.begin());
  return statements_.front().name;
}

void Connection::require_sound(std::string_view sql, std::size_t params) {
  std::string why;
  if (const std::size_t needed = placeholders(sql); needed != params)
    why = std::to_string(params) + " parameters for " + std::to_string(needed) + " placeholders in: ";
  if (controls_transaction(sql)) why = "a transaction is begun and ended by transact(), in: ";
  if (!why.empty()) {
    throw_counted(DatabaseError(FailureKind::other, "A statement failed.", why + std::string(sql)));
  }
}

// After a change of the schema a kept statement may no longer hold; the next use prepares it anew.
void Connection::forget(std::string_view sql) {
  for (auto statement = statements_.begin(); statement != statements_.end();) {
    const bool same = std::string_view(statement->key).substr(0, sql.size() + 1) == std::string(sql) + '\0';
    if (same) by_key_.erase(statement->key);
    statement = same ? statements_.erase(statement) : std::next(statement);
  }
}

void Connection::send(std::string_view name, const Parameters& params) {
  require_sent(PQsendQueryPrepared(connection_, name.data(), static_cast<int>(params.size()), params.values(),
                                   params.lengths(), params.formats(), 0));
}

std::int64_t Connection::run(const Context& ctx, std::string_view sql, std::span<const Param> params,
                             RowSink* sink, Rows rows) {
  std::optional<Answer> gathered;
  const std::int64_t changed = exchange(ctx, [&](const Context& bounded) {
    const Parameters bound(params);
    send(prepared(bounded, sql, bound), bound);
    if (rows == Rows::streamed) PQsetSingleRowMode(connection_);
    if (sink != nullptr && rows == Rows::streamed) return receive(bounded, sql, sink);
    gathered = Answer(finish(bounded));
    require_success(gathered->result_, sql);
    return gathered->changed();
  });
  if (sink != nullptr && gathered) gathered->deliver(sql, *sink);  // only now: it may use this connection
  return changed;
}

std::vector<Connection::Answer> Connection::run_together(const Context& ctx,
                                                         std::span<const Together> statements) {
  std::vector<Answer> answers;
  answers.reserve(statements.size());
  while (!statements.empty()) {  // no more at once than are kept prepared
    const std::size_t some = std::min(statements.size(), options_.cached_statements);
    exchange(ctx, [&](const Context& bounded) {
      send_together(bounded, statements.first(some));
      receive_together(bounded, statements.first(some), answers);
      return 0;
    });
    statements = statements.subspan(some);
  }
  return answers;
}

void Connection::send_together(const Context& ctx, std::span<const Together> statements) {
  std::vector<const std::string*> names;
  names.reserve(statements.size());
  for (const Together& statement : statements)
    names.push_back(&prepared(ctx, statement.sql, statement.params));
  if (PQenterPipelineMode(connection_) == 0) throw_lost("sending statements");
  for (std::size_t i = 0; i < statements.size(); ++i) send(*names[i], statements[i].params);
  require_sent(PQpipelineSync(connection_));
}

// What follows one that failed is skipped by the server, up to the end of all of them.
void Connection::receive_together(const Context& ctx, std::span<const Together> statements,
                                  std::vector<Answer>& answers) {
  std::optional<std::size_t> failed;
  const std::size_t before = answers.size();
  for (std::size_t i = 0; i < statements.size(); ++i) {
    Answer& answer = answers.emplace_back(Answer(finish(ctx)));
    if (!failed && PQresultStatus(answer.result_.get()) == PGRES_FATAL_ERROR) failed = i;
  }
  leave_pipeline(ctx);
  if (failed) require_success(answers[before + *failed].result_, statements[*failed].sql);
}

void Connection::leave_pipeline(const Context& ctx) {
  for (bool at_end = false; !at_end;) {
    if (PQstatus(connection_) == CONNECTION_BAD) throw_lost("reading answers");
    const Result result = next(ctx);
    at_end = result != nullptr && PQresultStatus(result.get()) == PGRES_PIPELINE_SYNC;
  }
  busy_ = false;
  if (PQexitPipelineMode(connection_) == 0) throw_lost("reading answers");
}

std::int64_t Connection::receive(const Context& ctx, std::string_view sql, RowSink* sink) {
  bool told_columns = false;
  while (Result result = next(ctx)) {
    if (PQresultStatus(result.get()) == PGRES_FATAL_ERROR) {
      finish(ctx);
      require_success(result, sql);
    }
    ResultRow row(result.get(), sql);
    if (!std::exchange(told_columns, true)) sink->columns(row);
    if (PQntuples(result.get()) == 0 || sink->row(row)) continue;
    stop_statement(ctx);
    return 0;
  }
  return 0;
}

std::string Connection::run_script(const Context& ctx, std::string_view sql) {
  const std::string script(sql);
  return exchange(ctx, [&](const Context& bounded) {
    require_sent(PQsendQuery(connection_, script.c_str()));
    const Result result = finish(bounded);
    require_success(result, sql);
    return std::string(PQcmdStatus(result.get()));
  });
}

std::string Connection::commit(const Context& ctx, std::string_view sql) {
  const std::string script(sql);
  return exchange(ctx, [&](const Context& bounded) {
    try {
      require_sent(PQsendQuery(connection_, script.c_str()));
      const Result result = finish(bounded);
      require_success(result, sql);
      return std::string(PQcmdStatus(result.get()));
    } catch (...) {
      broken_ = broken_ || busy_;
      throw;
    }
  });
}

bool Connection::wait_for_notification(const Context& ctx, std::string_view own) {
  bool others = false;
  for (;;) {
    if (PQconsumeInput(connection_) == 0) throw_lost("waiting for notifications");
    while (PGnotify* notification = PQnotifies(connection_)) {
      others = others || own != notification->extra;
      PQfreemem(notification);
    }
    if (others) return true;
    try {
      wait(ctx, false);
    } catch (const Error&) {
      return false;
    }
  }
}

bool Connection::aborted() const noexcept { return PQtransactionStatus(connection_) == PQTRANS_INERROR; }

bool Connection::in_transaction() const noexcept {
  const PGTransactionStatusType status = PQtransactionStatus(connection_);
  return status == PQTRANS_INTRANS || status == PQTRANS_INERROR;
}

}  // namespace holdfast::sql::postgres
