#include "holdfast/saga/internal/store.hpp"

#include <tuple>

#include "holdfast/base/encoding.hpp"
#include "holdfast/base/id.hpp"
#include "holdfast/base/utf8.hpp"

namespace holdfast::saga::internal {
namespace {

constexpr std::size_t kMaxLineError = 400;

// Where neither the due time nor the end changes, their index is left alone.
#define HOLDFAST_SAGA_SET                                                                            \
  "update sagas set status = $3, step = $4, step_name = $5, attempts = $6, may_have_happened = $7, " \
  "starts = $8, revocable = $9, reason = $10, detail = $11, error = $12, state = $13, "              \
  "history = history || $14, updated_at = $15, wait_until = $16, revision = revision + 1"
#define HOLDFAST_SAGA_WHERE                                                                       \
  " where id = $1 and revision = $2 and case when cancel_reason is null then 0 else 1 end = $17 " \
  "and exists (select 1 from saga_leases where bucket = $18 and fence = $19)"

constexpr const char* kSaveStays = HOLDFAST_SAGA_SET HOLDFAST_SAGA_WHERE;
constexpr const char* kSaveMoves = HOLDFAST_SAGA_SET ", due_at = $20, finished_at = $21" HOLDFAST_SAGA_WHERE;

#undef HOLDFAST_SAGA_SET
#undef HOLDFAST_SAGA_WHERE

struct Row {
  std::string id;
  std::string definition;
  int version = 0;
  std::optional<std::string> key;
  int bucket = 0;
  Status status = Status::running;
  int step = 0;
  int attempts = 0;
  bool may_have_happened = false;
  int starts = 0;
  std::int64_t revision = 0;
  std::optional<WallTime> due_at;
  std::optional<WallTime> wait_until;
  bool revocable = false;
  std::optional<std::string> cancel_reason;
  std::string reason;
  std::string detail;
  std::string error;
  std::string state;
  std::int64_t history_bytes = 0;
  std::string traceparent;
  std::string request_id;
  WallTime started_at{};
  WallTime updated_at{};
};
HOLDFAST_DESCRIBE(Row, (id, definition, version, key, bucket, status, step, attempts, may_have_happened,
                        starts, revision, due_at, wait_until, revocable, cancel_reason, reason, detail, error,
                        state, history_bytes, traceparent, request_id, started_at, updated_at))

constexpr const char* kLoad =
    "select id, definition, version, key, bucket, status, step, attempts, may_have_happened, starts, "
    "revision, "
    "due_at, wait_until, revocable, cancel_reason, reason, detail, error, state, "
    "length(history) as history_bytes, traceparent, request_id, started_at, updated_at from sagas where id = "
    "$1";

/// The least id that an IdGenerator can make at `at`: a UUIDv7 begins with its milliseconds.
std::string first_id_at(WallTime at) {
  const auto since = std::chrono::duration_cast<std::chrono::milliseconds>(at.time_since_epoch()).count();
  Bytes16 bytes{};
  for (std::size_t i = 0; i < 6; ++i)
    bytes[i] = static_cast<Bytes16::value_type>(static_cast<std::uint64_t>(since) >> (8 * (5 - i)));
  return Id<"sag">(bytes).text();
}

}  // namespace

void append_line(std::string& history, WallTime at, const Line& line) {
  const auto took = std::chrono::duration_cast<std::chrono::microseconds>(line.took).count();
  JsonWriter json(history);
  json.begin_array();
  json.value(at.time_since_epoch().count());
  json.value(line.what);
  const bool has_error = !line.error.empty();
  const bool has_figures = has_error || line.attempt > 0 || took > 0;
  if (has_figures || !line.step.empty()) json.value(line.step);
  if (has_figures) json.value(line.attempt).value(static_cast<std::int64_t>(took));
  if (has_error) json.value(utf8_prefix(line.error, kMaxLineError));
  json.end_array();
  history.push_back(',');
}

bool insert(sql::Transaction& tx, const Instance& saga, std::string_view history) {
  const Progress& at = saga.at;
  const std::optional<std::string_view> key =
      saga.key.empty() ? std::nullopt : std::optional<std::string_view>(saga.key);
  return tx.execute(
             "insert into sagas(id, definition, version, key, bucket, status, step, step_name, attempts, "
             "may_have_happened, starts, revision, due_at, wait_until, revocable, reason, detail, error, "
             "state, "
             "history, traceparent, request_id, started_at, updated_at) "
             "values($1, $2, $3, $4, $5, $6, $7, $8, 0, 0, 0, 0, $9, $10, $11, '', '', '', $12, $13, $14, "
             "$15, $16, "
             "$16) on conflict do nothing",
             saga.id, saga.plan->name, saga.plan->version, key, saga.bucket, at.status, at.step,
             step_name(*saga.plan, at), at.due_at, at.wait_until, at.revocable, saga.state_json, history,
             saga.traceparent, saga.request_id, saga.started_at) == 1;
}

Saved save(sql::Transaction& tx, const Instance& saga, const Progress& next, std::string_view state,
           std::string_view history, WallTime now, std::string& cancel_reason) {
  const bool knows_of_cancel = saga.cancel_reason || !cancel_reason.empty();
  const std::string& step = step_name(*saga.plan, next);
  std::int64_t rows = 0;
  if (next.due_at == saga.at.due_at) {
    rows =
        tx.execute(kSaveStays, saga.id, saga.revision, next.status, next.step, step, next.attempts,
                   next.may_have_happened, next.starts, next.revocable, next.reason, next.detail, next.error,
                   state, history, now, next.wait_until, knows_of_cancel, saga.bucket, saga.fence);
  } else {
    const std::optional<WallTime> finished = next.ended() ? std::optional(now) : std::nullopt;
    rows = tx.execute(kSaveMoves, saga.id, saga.revision, next.status, next.step, step, next.attempts,
                      next.may_have_happened, next.starts, next.revocable, next.reason, next.detail,
                      next.error, state, history, now, next.wait_until, knows_of_cancel, saga.bucket,
                      saga.fence, next.due_at, finished);
  }
  if (rows == 1) return Saved::saved;
  if (knows_of_cancel) return Saved::lost;
  const auto asked = tx.query_one<std::optional<std::string>>(
      "select cancel_reason from sagas where id = $1 and revision = $2 "
      "and exists (select 1 from saga_leases where bucket = $3 and fence = $4)",
      saga.id, saga.revision, saga.bucket, saga.fence);
  if (!asked || !*asked) return Saved::lost;
  cancel_reason = **asked;
  return Saved::cancelled;
}

std::string due_statement(const std::vector<std::string>& plans) {
  // Names have no quotes: definition.cpp sees to it.
  std::string known;
  for (const std::string& plan : plans) known += (known.empty() ? "'" : ", '") + plan + "'";
  return "select id, bucket from sagas where due_at <= $1 and (($2 >> cast(bucket as integer)) & 1) = 1 and "
         "definition || ':' "
         "|| "
         "version in "
         "(" +
         known + ") order by due_at limit $3";
}

std::vector<std::tuple<std::string, int>> due(sql::Queries& queries, const std::string& due_sql,
                                              BucketMask mask, WallTime now, std::size_t most) {
  return queries.query<std::tuple<std::string, int>>(due_sql, now, static_cast<std::int64_t>(mask), most);
}

std::optional<Instance> load(sql::Queries& queries, std::string_view id, const FindPlan& find) {
  auto row = queries.query_one<Row>(kLoad, id);
  if (!row || !row->due_at) return std::nullopt;
  auto plan = find(row->definition, row->version);
  if (!plan) return std::nullopt;
  if (row->step < 0 || row->step >= static_cast<int>(plan->steps.size())) {
    throw Error(ErrorCode::internal, "It is at step " + std::to_string(row->step) + " of " +
                                         std::to_string(plan->steps.size()) + ", counted from zero.");
  }
  return Instance{.id = std::move(row->id),
                  .key = std::move(row->key).value_or(""),
                  .plan = std::move(plan),
                  .bucket = row->bucket,
                  .revision = row->revision,
                  .at = {.status = row->status,
                         .step = row->step,
                         .attempts = row->attempts,
                         .may_have_happened = row->may_have_happened,
                         .starts = row->starts,
                         .revocable = row->revocable,
                         .due_at = row->due_at,
                         .wait_until = row->wait_until,
                         .reason = std::move(row->reason),
                         .detail = std::move(row->detail),
                         .error = std::move(row->error)},
                  .state_json = std::move(row->state),
                  .state = {},
                  .cancel_reason = std::move(row->cancel_reason),
                  .traceparent = std::move(row->traceparent),
                  .request_id = std::move(row->request_id),
                  .started_at = row->started_at,
                  .updated_at = row->updated_at,
                  .history_bytes = row->history_bytes};
}

bool park_unreadable(sql::Transaction& tx, std::string_view id, int bucket, std::int64_t fence,
                     std::string_view error, WallTime now) {
  std::string history;
  append_line(history, now, {.what = "parked", .error = error});
  return tx.execute(
             "update sagas set status = $2, error = $3, due_at = $4, updated_at = $5, revision = revision + "
             "1, "
             "history = history || $6 where id = $1 and due_at is not null "
             "and exists (select 1 from saga_leases where bucket = $7 and fence = $8)",
             id, Status::parked, error, kFarFuture, now, history, bucket, fence) == 1;
}

std::optional<Signalled> first_signal(sql::Queries& queries, std::string_view id, std::string_view event) {
  auto row = queries.query_one<std::tuple<std::int64_t, std::string>>(
      "select position, payload from saga_signals where saga_id = $1 and event = $2 order by position limit "
      "1",
      id, event);
  if (!row) return std::nullopt;
  return Signalled{.position = std::get<0>(*row), .payload = std::move(std::get<1>(*row))};
}

void forget_signal(sql::Transaction& tx, std::int64_t position) {
  tx.execute("delete from saga_signals where position = $1", position);
}

void make_due(sql::Transaction& tx, std::string_view id, WallTime now) {
  tx.execute("update sagas set due_at = $2 where id = $1 and due_at > $2", id, now);
}

Census census(sql::Queries& queries, const FindPlan& find) {
  Census found;
  using Group = std::tuple<std::string, int, std::string, std::int64_t, WallTime>;
  queries.for_each<Group>(
      "select definition, version, status, count(*), min(started_at) from sagas where due_at is not null "
      "group by definition, version, status",
      [&](Group&& group) {
        const auto& [definition, version, status, count, oldest] = group;
        if (status == enum_name(Status::parked)) {
          found.parked += count;
        } else if (!find(definition, version)) {
          found.orphaned += count;
          found.orphan = definition + " version " + std::to_string(version);
        } else {
          found.running += count;
          if (!found.oldest || oldest < *found.oldest) found.oldest = oldest;
        }
      });
  return found;
}

std::int64_t sweep(sql::Transaction& tx, std::string& after, WallTime cutoff, std::size_t batch) {
  using Old = std::tuple<std::string, std::optional<WallTime>>;
  const auto old =
      tx.query<Old>("select id, finished_at from sagas where id > $1 and id < $2 order by id limit $3", after,
                    first_id_at(cutoff), batch);
  std::int64_t deleted = 0;
  for (const auto& [id, finished] : old) {
    if (!finished || *finished >= cutoff) continue;
    tx.execute("delete from saga_signals where saga_id = $1", id);
    deleted += tx.execute("delete from sagas where id = $1", id);
  }
  after = old.size() < batch ? std::string() : std::get<0>(old.back());
  return deleted;
}

}  // namespace holdfast::saga::internal
