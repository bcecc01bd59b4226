#include "holdfast/saga/records.hpp"

#include <algorithm>
#include <map>

#include "holdfast/base/reflect.hpp"
#include "holdfast/observe/trace.hpp"
#include "holdfast/runtime/sync.hpp"
#include "holdfast/saga/internal/progress.hpp"
#include "holdfast/saga/internal/store.hpp"

namespace holdfast::saga {
namespace {

#define HOLDFAST_SAGA_SUMMARY                                                                \
  "id, definition, version, coalesce(key, '') as key, status, step_name as step, attempts, " \
  "due_at as next_at, reason, error, cancel_reason, started_at, updated_at, finished_at"
#define HOLDFAST_SAGA_FILTER                                                                         \
  " from sagas where ($1 is null or status = $1) and ($2 is null or definition = $2) and "           \
  "($3 is null or key = $3) and ($4 is null or reason = $4) and ($5 = 0 or due_at is not null) and " \
  "($6 = '' or id < $6) "
#define HOLDFAST_SAGA_ORDER "order by id desc limit $7"

constexpr const char* kList = "select " HOLDFAST_SAGA_SUMMARY HOLDFAST_SAGA_FILTER HOLDFAST_SAGA_ORDER;
// The same by the index of those that have not ended, which is small beside all that are kept.
constexpr const char* kListLive =
    "select " HOLDFAST_SAGA_SUMMARY HOLDFAST_SAGA_FILTER "and due_at is not null " HOLDFAST_SAGA_ORDER;
constexpr const char* kById = "select " HOLDFAST_SAGA_SUMMARY " from sagas where id = $1";
constexpr const char* kIds = "select id" HOLDFAST_SAGA_FILTER HOLDFAST_SAGA_ORDER;

#undef HOLDFAST_SAGA_SUMMARY
#undef HOLDFAST_SAGA_FILTER
#undef HOLDFAST_SAGA_ORDER

bool live(Status status) noexcept {
  return status != Status::completed && status != Status::compensated && status != Status::abandoned;
}

SagaSummary shown(SagaSummary saga) {
  if (saga.next_at && *saga.next_at >= internal::kFarFuture) saga.next_at.reset();
  return saga;
}

/// A saga whose row this release can't read, for the reason `why`.
SagaSummary unreadable(sql::Snapshot& snapshot, std::string_view id, const std::exception& why) {
  SagaSummary saga{.id = std::string(id), .status = Status::unreadable};
  using Text = std::optional<std::string>;
  const auto text = snapshot.query_one<std::tuple<Text, Text, Text>>(
      "select cast(definition as text), cast(key as text), cast(step_name as text) from sagas where id = $1",
      id);
  if (text) {
    saga.definition = std::get<0>(*text).value_or("");
    saga.key = std::get<1>(*text).value_or("");
    saga.step = std::get<2>(*text).value_or("");
  }
  saga.error = std::string("Its row can't be read by this release: ") + why.what();
  return saga;
}

std::optional<SagaSummary> read_summary(sql::Snapshot& snapshot, std::string_view id) {
  try {
    return snapshot.query_one<SagaSummary>(kById, id);
  } catch (const sql::DatabaseError&) {
    throw;
  } catch (const Error& error) {
    return unreadable(snapshot, id, error);
  }
}

/// See internal::Line.
HistoryLine read_line(const JsonValue& line) {
  HistoryLine made;
  int column = 0;
  for (const JsonValue& value : line.items()) {
    switch (column++) {
      case 0: made.at = WallTime(std::chrono::microseconds(value.as_int64())); break;
      case 1: made.what = value.as_string(); break;
      case 2: made.step = value.as_string(); break;
      case 3: made.attempt = static_cast<int>(value.as_int64()); break;
      case 4: made.took_seconds = static_cast<double>(value.as_int64()) * 1e-6; break;
      case 5: made.error = value.as_string(); break;
      default: break;
    }
  }
  return made;
}

std::vector<HistoryLine> read_history(std::string text, const SagaSummary& saga) {
  if (!text.empty()) text.pop_back();  // the last comma
  std::vector<HistoryLine> lines{{.at = saga.started_at, .step = {}, .what = "started", .error = {}}};
  try {
    const JsonDocument document = JsonDocument::parse("[" + text + "]", {.max_bytes = 16 * 1024 * 1024});
    for (const JsonValue& line : document.root().items()) lines.push_back(read_line(line));
  } catch (const Error& error) {
    lines.push_back({.at = saga.updated_at, .step = {}, .what = "unreadable", .error = error.what()});
  }
  const bool by_itself = saga.status == Status::completed || saga.status == Status::compensated;
  if (by_itself && saga.finished_at)
    lines.push_back(
        {.at = *saga.finished_at, .step = {}, .what = std::string(enum_name(saga.status)), .error = {}});
  return lines;
}

std::optional<StepStatus> status_after(std::string_view what) {
  if (what == "done") return StepStatus::done;
  if (what == "undone") return StepStatus::compensated;
  if (what == "failed") return StepStatus::failed;
  if (what == "outcome_unknown") return StepStatus::unknown;
  if (what == "attempt_failed" || what == "undo_failed" || what == "interrupted" || what == "waiting")
    return StepStatus::current;
  return std::nullopt;
}

/// What the timeline says of each step, in the definition's order where it is known.
std::vector<StepLine> step_table(const std::vector<std::string>& names, const SagaDetails& details) {
  std::vector<StepLine> table;
  const auto line_of = [&](const std::string& name) -> StepLine& {
    const auto found =
        std::find_if(table.begin(), table.end(), [&](const auto& one) { return one.name == name; });
    if (found != table.end()) return *found;
    table.push_back({.name = name});
    return table.back();
  };
  for (const std::string& name : names) line_of(name);
  for (const HistoryLine& line : details.history) {
    if (line.step.empty()) continue;
    StepLine& step = line_of(line.step);
    if (const auto status = status_after(line.what)) step.status = *status;
    if (line.what != "undone" && line.what != "undo_failed")
      step.attempts = std::max(step.attempts, line.attempt);
    step.ended_at = line.at;
    if (line.what == "done" || line.what == "undone") step.error.clear();
    if (!line.error.empty()) step.error = line.error;
  }
  const bool ended = !live(details.saga.status);
  for (StepLine& step : table) {
    if (step.name == details.saga.step && step.status == StepStatus::pending)
      step.status = StepStatus::current;
    const bool never = step.status == StepStatus::pending && (ended || !details.saga.reason.empty());
    if (never) step.status = StepStatus::skipped;
  }
  return table;
}

struct Rest {
  std::string history;
  std::string state;
  std::string traceparent;
};
HOLDFAST_DESCRIBE(Rest, (history, state, traceparent))
constexpr const char* kRest =
    "select cast(history as text) as history, cast(state as text) as state, "
    "coalesce(cast(traceparent as text), '') as traceparent from sagas where id = $1";

/// The state as it is, or as a JSON string where it is no JSON: what is wrong with it has to be seen.
JsonText shown_state(const std::string& text) {
  try {
    static_cast<void>(JsonDocument::parse(text, {.max_bytes = 16 * 1024 * 1024}));
    return JsonText::trusted(text);
  } catch (const Error&) {
    return JsonText::trusted(to_json(text));
  }
}

void append_person(std::string& lines, WallTime now, std::string_view what, std::string_view note) {
  internal::append_line(lines, now, {.what = what, .error = note});
}

[[noreturn]] void refuse(sql::Transaction& tx, std::string_view id, const char* reason, const char* why) {
  const auto status = tx.query_one<std::string>("select status from sagas where id = $1", id);
  if (!status) throw Error(ErrorCode::not_found, "There is no saga " + std::string(id) + ".");
  throw Error(ErrorCode::conflict, "Saga " + std::string(id) + " is " + *status + "; " + why).reason(reason);
}

}  // namespace

std::vector<SagaSummary> Records::list(const Context& ctx, const SagaFilter& filter, std::string_view before,
                                       std::size_t limit) {
  const bool few = filter.unfinished || (filter.status && live(*filter.status));
  const std::size_t most = std::min(limit, kMaxPage);
  std::vector<SagaSummary> found;
  try {
    found = database_.query<SagaSummary>(ctx, few ? kListLive : kList, filter.status, filter.definition,
                                         filter.key, filter.reason, filter.unfinished, before, most);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::internal) throw;
    found = list_one_by_one(ctx, filter, before, most);
  }
  for (SagaSummary& saga : found) saga = shown(std::move(saga));
  return found;
}

/// One row that can't be read fails the query of them all: each by itself then.
std::vector<SagaSummary> Records::list_one_by_one(const Context& ctx, const SagaFilter& filter,
                                                  std::string_view before, std::size_t most) {
  return database_.read(ctx, [&](sql::Snapshot& snapshot) {
    std::vector<SagaSummary> found;
    for (const std::string& id :
         snapshot.query<std::string>(kIds, filter.status, filter.definition, filter.key, filter.reason,
                                     filter.unfinished, before, most)) {
      if (auto saga = read_summary(snapshot, id)) found.push_back(std::move(*saga));
    }
    return found;
  });
}

std::optional<SagaDetails> Records::find(const Context& ctx, std::string_view id) {
  return database_.read(ctx, [&](sql::Snapshot& snapshot) -> std::optional<SagaDetails> {
    auto summary = read_summary(snapshot, id);
    if (!summary) return std::nullopt;
    auto rest = snapshot.query_one<Rest>(kRest, id);
    auto history = read_history(std::move(rest->history), *summary);
    SagaDetails details{.saga = shown(std::move(*summary)),
                        .steps = {},
                        .history = std::move(history),
                        .state = shown_state(rest->state),
                        .trace_id = {}};
    if (const auto trace = observe::parse_traceparent(rest->traceparent))
      details.trace_id = trace->trace_id_hex();
    const auto names =
        snapshot.query_one<std::string>("select steps from saga_definitions where name = $1 and version = $2",
                                        details.saga.definition, details.saga.version);
    details.steps =
        step_table(names ? from_json<std::vector<std::string>>(*names) : std::vector<std::string>{}, details);
    return details;
  });
}

std::optional<SagaDetails> Records::find(const Context& ctx, std::string_view definition,
                                         std::string_view key) {
  const auto id = database_.query_one<std::string>(
      ctx, "select id from sagas where definition = $1 and key = $2", definition, key);
  if (!id) return std::nullopt;
  return find(ctx, *id);
}

void Records::retry(const Context& ctx, std::string_view id) {
  const WallTime now = ctx.clock().wall_now();
  database_.transact(ctx, "retry a parked saga", [&](sql::Transaction& tx) {
    std::string lines;
    append_person(lines, now, "retried", {});
    const auto changed = tx.execute(
        "update sagas set status = case when reason = '' then 'running' else 'compensating' end, attempts = "
        "0, "
        "starts = 0, error = '', due_at = $2, updated_at = $2, revision = revision + 1, history = history || "
        "$3 "
        "where id = $1 and status = 'parked'",
        id, now, lines);
    if (changed == 0) refuse(tx, id, "saga_not_parked", "only a parked one is retried by hand.");
    if (changed_ != nullptr) tx.after_commit(*changed_);
  });
}

void Records::abandon(const Context& ctx, std::string_view id, std::string_view reason) {
  const WallTime now = ctx.clock().wall_now();
  database_.transact(ctx, "abandon a saga", [&](sql::Transaction& tx) {
    std::string lines;
    append_person(lines, now, "abandoned", reason);
    const auto changed = tx.execute(
        "update sagas set status = 'abandoned', due_at = null, revocable = 0, finished_at = $2, updated_at = "
        "$2, "
        "revision = revision + 1, history = history || $3 where id = $1 and due_at is not null",
        id, now, lines);
    if (changed == 0) refuse(tx, id, "saga_finished", "it has ended already.");
    if (changed_ != nullptr) tx.after_commit(*changed_);
  });
}

}  // namespace holdfast::saga
