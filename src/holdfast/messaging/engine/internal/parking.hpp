// What becomes of messages whose handler failed, as SQL: parked with a time for the next attempt, the
// later messages of their key parked behind them in order, and buried as dead letters in the end. They
// carry a copy of the message, so the bucket's position moves on and the log can be trimmed.
// Everything here runs inside a transaction of the caller.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/messaging/engine/internal/leases.hpp"
#include "holdfast/messaging/message.hpp"
#include "holdfast/sql/database.hpp"

namespace holdfast::messaging::engine {

/// A message on its way through a handler.
struct Item {
  Message message;
  bool parked = false;         ///< comes from parked_messages, not from the log
  std::string history = "[]";  ///< failed attempts so far: [{"at": …, "error": …}]
  /// How many workers ended while it was parked and due, since one lived through an attempt of it. It says
  /// what the bucket's count can't: that one begins anew with whatever else of the bucket gets done.
  std::int64_t crashes = 0;
};

enum class Outcome : std::uint8_t {
  untouched,  ///< was not begun; stays where it is
  handled,
  duplicate,  ///< the inbox had it
  failed,
  behind,  ///< its key waits for an earlier message
};

struct Result {
  Outcome outcome = Outcome::untouched;
  std::string error;
};

/// When the first parked message of a key is due; none: no message of the key is parked any more.
struct KeyDue {
  std::string key;
  std::optional<WallTime> due;
};

struct ParkedKey {
  int bucket = 0;
  std::string key;
  WallTime due{};
};

/// What recording results changed, for the memory of the one who recorded them.
struct Recorded {
  std::vector<KeyDue> keys;
  std::int64_t parked = 0;  ///< rows added less rows removed
  std::int64_t dead = 0;
  std::int64_t retried = 0;
};

struct RecordSettings {
  int max_attempts = 1;
  std::int64_t crashes = 0;  ///< of a message whose failure is recorded: one that is only presumed keeps them
  resilience::BackoffOptions backoff;
  Random* random = nullptr;
  IdGenerator* ids = nullptr;  ///< of dead letters
};

/// The first parked message of a key.
std::optional<Item> first_parked(sql::Queries& queries, const Lease& lease, std::string_view key,
                                 WallTime& due);

/// The parked keys of the buckets of `mask`, and how many rows each bucket has.
std::vector<ParkedKey> parked_keys(sql::Queries& queries, std::string_view group, BucketMask mask);
std::vector<std::int64_t> parked_counts(sql::Queries& queries, std::string_view group);

/// Keys with messages that were redriven and that no worker has tried since.
std::vector<ParkedKey> redriven_keys(sql::Queries& queries, std::string_view group);

/// Makes `message` a dead letter. `history` has all its attempts.
void bury(sql::Transaction& tx, const Lease& lease, const Message& message, std::string_view error,
          const std::string& history, const RecordSettings& settings, WallTime now);
/// `history` with one more attempt.
std::string with_attempt(const std::string& history, WallTime at, std::string_view error);

/// Writes down what became of `items`, and how far the bucket is. The fence must have been checked in
/// this transaction (advance()).
Recorded record(sql::Transaction& tx, const Lease& lease, const std::vector<Item>& items,
                const std::vector<Result>& results, const RecordSettings& settings, WallTime now);

}  // namespace holdfast::messaging::engine
