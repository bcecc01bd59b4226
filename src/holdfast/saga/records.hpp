// Records: which sagas there are, how each got where it is, and what a person can do about one that is
// parked. For `holdfast sagas …` and the operations API; needs no definitions, only the database.
//
//   Records records(db);
//   for (const SagaSummary& saga : records.list(ctx, {.status = Status::parked})) …
//   records.retry(ctx, id);
//
// Thread-safety: everything from any fiber.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/describe.hpp"
#include "holdfast/base/json.hpp"
#include "holdfast/sql/database.hpp"

namespace holdfast::saga {

enum class Status : std::uint8_t {
  running,       ///< its next act runs, or waits for its next attempt
  waiting,       ///< for an event
  compensating,  ///< undoing what was done
  completed,     ///< all steps are done
  compensated,   ///< all that was done is undone
  parked,        ///< it needs a person: retry() or abandon()
  abandoned,     ///< a person ended it where it stood
  unreadable,    ///< only ever shown: this release can't read its row; `error` says what of it
};
HOLDFAST_DESCRIBE_ENUM(Status, running, waiting, compensating, completed, compensated, parked, abandoned,
                       unreadable)

struct SagaSummary {
  std::string id;  ///< "sag_…", ascending with started_at
  std::string definition;
  int version = 1;
  std::string key;  ///< the business key; empty where it has none
  Status status = Status::running;
  std::string step;                          ///< it is at, by name; empty at the end
  int attempts = 0;                          ///< failed ones of this step in a row
  std::optional<WallTime> next_at;           ///< of the next attempt, or of a wait's deadline
  std::string reason;                        ///< why it compensates or compensated
  std::string error;                         ///< of the last attempt that failed, while it matters
  std::optional<std::string> cancel_reason;  ///< a cancel was asked for
  WallTime started_at{};
  WallTime updated_at{};
  std::optional<WallTime> finished_at;
};
HOLDFAST_DESCRIBE(SagaSummary, (id, definition, version, key, status, step, attempts, next_at, reason, error,
                                cancel_reason, started_at, updated_at, finished_at))

enum class StepStatus : std::uint8_t { pending, current, done, failed, unknown, compensated, skipped };
HOLDFAST_DESCRIBE_ENUM(StepStatus, pending, current, done, failed, unknown, compensated, skipped)

struct StepLine {
  std::string name;
  StepStatus status = StepStatus::pending;
  int attempts = 0;                  ///< of the act, counting the last
  std::optional<WallTime> ended_at;  ///< of its last attempt
  std::string error;
};
HOLDFAST_DESCRIBE(StepLine, (name, status, attempts, ended_at, error))

/// One line of the timeline. `what`: started, done, attempt_failed, outcome_unknown, failed, waiting,
/// heard, deadline, cancel_seen, undone, undo_failed, interrupted, parked, retried, abandoned, completed,
/// compensated.
struct HistoryLine {
  WallTime at{};
  std::string step;
  std::string what;
  int attempt = 0;
  double took_seconds = 0;
  std::string error;
};
HOLDFAST_DESCRIBE(HistoryLine, (at, step, what, attempt, took_seconds, error))

struct SagaDetails {
  SagaSummary saga;
  std::vector<StepLine> steps;  ///< in their order; those of the definition as far as it is known
  std::vector<HistoryLine> history;
  JsonText state;
  std::string trace_id;  ///< of the transaction that started it
};
HOLDFAST_DESCRIBE(SagaDetails, (saga, steps, history, state, trace_id))

/// All that is set must hold.
struct SagaFilter {
  std::optional<Status> status = {};
  std::optional<std::string> definition = {};
  std::optional<std::string> key = {};
  std::optional<std::string> reason = {};
  bool unfinished = false;  ///< only those that have not ended
};

class Records {
 public:
  static constexpr std::size_t kMaxPage = 1000;

  /// `database` is borrowed. `changed` is notified when something was changed here: a Sagas passes its own.
  explicit Records(sql::Database& database, runtime::Signal* changed = nullptr)
      : database_(database), changed_(changed) {}

  /// Newest first, those before the id `before` (empty: from the newest); at most min(limit, kMaxPage). A row
  /// that can't be read is among them as Status::unreadable, with what there is of it.
  std::vector<SagaSummary> list(const Context& ctx, const SagaFilter& filter = {},
                                std::string_view before = {}, std::size_t limit = 100);
  std::optional<SagaDetails> find(const Context& ctx, std::string_view id);
  std::optional<SagaDetails> find(const Context& ctx, std::string_view definition, std::string_view key);

  /// A parked saga goes on with fresh attempts from where it stopped, on whichever worker. Throws
  /// Error(not_found), or Error(conflict) "saga_not_parked".
  void retry(const Context& ctx, std::string_view id);

  /// Ends a saga where it stands; nothing more of it is run or undone. For what a person has put right by
  /// hand. Throws Error(not_found), or Error(conflict) "saga_finished".
  void abandon(const Context& ctx, std::string_view id, std::string_view reason);

 private:
  std::vector<SagaSummary> list_one_by_one(const Context& ctx, const SagaFilter& filter,
                                           std::string_view before, std::size_t most);

  sql::Database& database_;
  runtime::Signal* changed_;
};

}  // namespace holdfast::saga
