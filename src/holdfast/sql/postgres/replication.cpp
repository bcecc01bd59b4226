#include "holdfast/sql/postgres/replication.hpp"

#include <tuple>
#include <utility>

#include "holdfast/sql/postgres/connection.hpp"

namespace holdfast::sql::postgres {
namespace {

constexpr std::int64_t kMicrosecondsUntil2000 = 946'684'800'000'000;

bool exists_already(const DatabaseError& failure) {
  return failure.cause().find("42710") != std::string::npos;
}

}  // namespace

std::optional<SlotState> slot_state(const Context& ctx, Database& database, std::string_view slot) {
  using Row = std::tuple<bool, std::optional<std::string>, std::optional<std::int64_t>>;
  const auto row = database.query_one<Row>(
      ctx,
      "select active, wal_status, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint "
      "from pg_replication_slots where slot_name = $1",
      slot);
  if (!row) return std::nullopt;
  const auto& [active, status, retained] = *row;
  return SlotState{.active = active, .lost = status == "lost", .retained_bytes = retained.value_or(0)};
}

std::unique_ptr<ReplicationStream> ReplicationStream::open(const Context& ctx, const Options& options,
                                                           const SlotNames& names) {
  std::unique_ptr<ReplicationStream> made(new ReplicationStream(ctx, options));
  Connection& connection = *made->connection_;
  try {
    connection.run_script(ctx,
                          "CREATE_REPLICATION_SLOT " + names.slot + " LOGICAL pgoutput NOEXPORT_SNAPSHOT");
  } catch (const DatabaseError& failure) {
    if (!exists_already(failure)) throw;
  }
  connection.begin_streaming(ctx, "START_REPLICATION SLOT " + names.slot +
                                      " LOGICAL 0/0 (proto_version '1', publication_names '" +
                                      names.publication + "')");
  return made;
}

void ReplicationStream::drop(const Context& ctx, const Options& options, std::string_view slot) {
  ReplicationStream(ctx, options).connection_->run_script(ctx, "DROP_REPLICATION_SLOT " + std::string(slot));
}

ReplicationStream::ReplicationStream(const Context& ctx, const Options& options)
    : connection_(Connection::open(ctx, options, Connection::Use::replication, counters_)) {}
ReplicationStream::~ReplicationStream() = default;

std::optional<ReplicationStream::Next> ReplicationStream::next(const Context& ctx) {
  for (;;) {
    auto bytes = connection_->next_message(ctx);
    if (!bytes) return std::nullopt;
    const ReplicationMessage message = read_replication_message(*bytes);
    if (message.kind == ReplicationMessage::Kind::keepalive) {
      quiet_ = message.end;
      if (message.reply_requested) confirm(ctx, confirmed_);
      continue;
    }
    if (message.kind != ReplicationMessage::Kind::data) continue;
    Next next;
    next.change = pgoutput_.read(message.payload);
    next.bytes = std::move(*bytes);  // its bytes stay where they are: more than fit into a string itself
    return next;
  }
}

void ReplicationStream::confirm(const Context& ctx, Position done) {
  if (done > confirmed_) confirmed_ = done;
  const auto now =
      std::chrono::duration_cast<std::chrono::microseconds>(ctx.clock().wall_now().time_since_epoch())
          .count();
  connection_->send_message(ctx, standby_status(confirmed_, now - kMicrosecondsUntil2000));
}

}  // namespace holdfast::sql::postgres
