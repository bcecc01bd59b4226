// Subscriber: handlers for messages. Each group gets every message of its topics once (fan-out); the
// processes of one group share them (competing consumers); messages of one key come in order.
//
//   subscriber.subscribe({.group = "read-model", .topics = {"orders"}},
//       transactional([&](const Context& ctx, sql::Transaction& tx, const Message& m) { ... }));
//   subscriber.subscribe({.group = "receipts", .topics = {"orders"}},
//       external([&](const Context& ctx, const Message& m) { mailer.send(ctx, receipt_for(m)); }));
//
// A handler that throws gets the message again after a backoff, while other keys go on; after
// max_attempts it becomes a dead letter (dead_letters.hpp) and the key goes on without it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "holdfast/messaging/message.hpp"
#include "holdfast/resilience/backoff.hpp"
#include "holdfast/sql/database.hpp"

namespace holdfast::messaging {

/// Effects in the database: they, the inbox record and the progress commit together, so they happen
/// once. Must not wait (it runs inside the transaction) and may be run again, like any transaction body.
struct TransactionalHandler {
  std::function<void(const Context&, sql::Transaction&, const Message&)> handle;
};

/// Effects elsewhere (mail, HTTP): at least once. May wait. The progress is recorded after it returned;
/// a crash between the two brings the message again, so make the effect repeatable by Message::id.
struct ExternalHandler {
  std::function<void(const Context&, const Message&)> handle;
};

using Handler = std::variant<TransactionalHandler, ExternalHandler>;

Handler transactional(std::function<void(const Context&, sql::Transaction&, const Message&)> handle);
Handler external(std::function<void(const Context&, const Message&)> handle);

/// Where a group that has never run before begins.
enum class StartFrom : std::uint8_t { beginning, now };

/// In place of names: every topic, also those that come later.
inline constexpr std::string_view kEveryTopic = "*";

/// For messages that carry less than they mean: a claim in place of a payload (blob/claim_check.hpp).
struct Completion {
  /// A function of the message alone; short. Such a message is handled by itself, not in a batch.
  std::function<bool(const Message&)> incomplete = {};
  /// Right before the handler, outside of any transaction; may wait, until handler_timeout. What it returns
  /// is handed to the handler and then let go. What it throws is a failed attempt.
  std::function<std::shared_ptr<const Message>(const Context&, const Message&)> complete = {};
};

struct SubscriptionOptions {
  std::string group;                ///< unique; letters, digits, '.', '_', '-'. Renaming it starts anew
  std::vector<std::string> topics;  ///< exact names, at least one; or kEveryTopic alone
  int max_attempts = 8;             ///< then it is a dead letter; at least 1
  /// Between attempts: the key waits, other keys go on. As it is, eight attempts take about a minute.
  resilience::BackoffOptions backoff = {.base = std::chrono::milliseconds(500),
                                        .cap = std::chrono::minutes(5),
                                        .jitter = resilience::Jitter::equal};
  std::size_t concurrency = 8;  ///< external handlers at a time in this process; more than kBuckets is no use
  std::size_t batch = 64;       ///< most messages of one bucket handled before progress is recorded
  std::size_t read_ahead = 256;              ///< most messages of one bucket held in memory
  std::size_t max_parked_per_bucket = 1000;  ///< most failed messages and followers; then the bucket pauses
  Duration handler_timeout = std::chrono::seconds(30);  ///< the deadline of one attempt
  StartFrom start_from = StartFrom::beginning;
  /// For a relay, with an external handler: the order of a whole bucket is kept, not only a key's. One whose
  /// handler throws is handled again before any other of its bucket, without a wait, for ever; a dead letter
  /// that was redriven comes with an attempt above 1.
  bool whole_bucket_in_order = false;
  /// Where set, messages that it says no to are passed over as if they were of another topic: neither handled
  /// nor counted, no transaction, no inbox row. A function of the message alone, for it is asked on any
  /// worker and again after a restart; short, and must neither wait nor throw.
  std::function<bool(const Message&)> wanted = {};
  Completion completion = {};
};

class Subscriber {
 public:
  virtual ~Subscriber() = default;
  Subscriber(const Subscriber&) = delete;
  Subscriber& operator=(const Subscriber&) = delete;

  /// Before start. Throws Error(invalid_argument) where an option is out of range or the group is taken.
  virtual void subscribe(SubscriptionOptions options, Handler handler) = 0;

 protected:
  Subscriber() = default;
};

}  // namespace holdfast::messaging
