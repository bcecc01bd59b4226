// Dead letters: messages that a group gave up on, with the error and time of every attempt, kept until
// somebody looks. Redriving gives them to that group again, in their key's order, with fresh attempts.
//
//   DeadLetters dead(db);
//   for (const DeadLetter& letter : dead.list(ctx, {.group = "receipts", .error_contains = "timeout"})) …
//   dead.redrive(ctx, {.group = "receipts"}, {.dry_run = true, .rate_per_second = 50});
//
// Thread-safety: everything from any fiber; a DeadLetters holds no state.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "holdfast/base/describe.hpp"
#include "holdfast/base/id.hpp"
#include "holdfast/base/json.hpp"
#include "holdfast/sql/database.hpp"

namespace holdfast::messaging {

using DeadLetterId = Id<"dlq">;

struct DeadLetter {
  std::string id;  ///< "dlq_…", ascending with dead_at
  std::string group;
  std::string topic;
  std::string key;
  std::string type;
  std::int32_t version = 1;
  std::string message_id;
  std::int64_t position = 0;
  WallTime occurred_at{};
  JsonText headers;
  JsonText payload;
  std::string error;  ///< of the last attempt
  JsonText attempts;  ///< [{"at": "2026-…Z", "error": "…"}, …]
  WallTime dead_at{};
  std::optional<WallTime> redriven_at;
};
HOLDFAST_DESCRIBE(DeadLetter, (id, group, topic, key, type, version, message_id, position, occurred_at,
                               headers, payload, error, attempts, dead_at, redriven_at))

/// All that is set must hold. Text is compared exactly, error_contains ignoring ASCII case.
struct DeadLetterFilter {
  std::optional<std::string> id = {};
  std::optional<std::string> group = {};
  std::optional<std::string> topic = {};
  std::optional<std::string> type = {};
  std::optional<std::string> key = {};
  std::optional<std::string> error_contains = {};
  std::optional<WallTime> dead_from = {};    ///< inclusive
  std::optional<WallTime> dead_before = {};  ///< exclusive
  bool redriven_too = false;                 ///< list those that were redriven already, too
};

struct RedriveOptions {
  bool dry_run = false;        ///< only counts
  double rate_per_second = 0;  ///< at most so many a second; 0 means as fast as the database takes them
  std::size_t most = 1'000'000;
  std::function<void(std::size_t redriven)> progress = {};  ///< called after each batch
};

struct RedriveReport {
  std::size_t matched = 0;   ///< not redriven before, as the filter says; at most RedriveOptions::most
  std::size_t redriven = 0;  ///< 0 in a dry run
};

class DeadLetters {
 public:
  /// `database` is borrowed.
  explicit DeadLetters(sql::Database& database) : database_(database) {}

  static constexpr std::size_t kMaxPage = 1000;

  /// Oldest first, those after the id `after` (empty: from the start); at most min(limit, kMaxPage).
  std::vector<DeadLetter> list(const Context& ctx, const DeadLetterFilter& filter,
                               std::string_view after = {}, std::size_t limit = 100);
  std::optional<DeadLetter> find(const Context& ctx, std::string_view id);
  std::int64_t count(const Context& ctx, const DeadLetterFilter& filter);

  /// Hands what matches back to its group, at most once each. Running workers notice within a second, in
  /// other processes too. Interrupted, it may be run again: what is redriven stays so.
  RedriveReport redrive(const Context& ctx, const DeadLetterFilter& filter,
                        const RedriveOptions& options = {});

 private:
  sql::Database& database_;
};

}  // namespace holdfast::messaging
