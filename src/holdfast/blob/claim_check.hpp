// The claim check (Hohpe, Woolf, "Enterprise Integration Patterns"): a payload too large for a message goes
// to a blob store; the message carries {"blob", "size", "sha256"} and the header "claimCheck".
//
//   ClaimCheck checked(runtime, db, store, outbox, metrics, logger);         // a Publisher itself
//   const OutgoingMessage message = checked.store(ctx, {.topic = "reports", …, .payload = json});
//   db.transact(ctx, [&](sql::Transaction& tx) { …; checked.publish(ctx, tx, message); });
//   broker.subscribe({.group = "mail", .topics = {"reports"}, .completion = checked.completion()}, handler);
//   ClaimedSink sink(checked, jetstream);             // and for what was published whole: on its way out
//
// The blob is stored before the transaction, and registered in it. Rolled back, or killed in between, it is
// an orphan; so it is when its message was trimmed, long after: sweep() deletes both.
// Thread-safety: any fiber.
#pragma once

#include <memory>
#include <string>

#include "holdfast/base/describe.hpp"
#include "holdfast/blob/store.hpp"
#include "holdfast/messaging/outbox.hpp"
#include "holdfast/messaging/sink.hpp"
#include "holdfast/messaging/subscription.hpp"
#include "holdfast/observe/log.hpp"
#include "holdfast/observe/metrics.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/sql/database.hpp"

namespace holdfast::blob {

inline constexpr std::string_view kClaimHeader = "claimCheck";

/// What a message carries instead of its payload.
struct Claim {
  std::string blob;
  std::uint64_t size = 0;
  std::string sha256;  ///< of the payload, 64 hex digits
};
HOLDFAST_DESCRIBE(Claim, (blob, size, sha256))

struct ClaimCheckOptions {
  std::size_t max_inline_bytes = 256 * 1024;         ///< larger payloads leave the message
  std::size_t max_payload_bytes = 64 * 1024 * 1024;  ///< larger ones are refused: a handler has it in memory
  std::size_t max_fetched = 4;                       ///< large payloads in memory at once; others wait
  std::string prefix = "claims/";                    ///< of the blobs' names; nothing else may be under it
  Duration orphan_after = std::chrono::hours(24);    ///< stored for so long without a message: deleted
  Duration retention = std::chrono::hours(24 * 8);   ///< at least as long as the broker keeps messages
  Duration sweep_interval = std::chrono::hours(1);
  std::size_t sweep_batch = 500;  ///< rows a transaction, blobs a listing; at most kMaxPage
};

struct SweepReport {
  std::size_t forgotten = 0;  ///< registrations of messages that are gone
  std::size_t deleted = 0;    ///< blobs
};

class ClaimCheck final : public messaging::Publisher {
 public:
  /// All are borrowed. Throws Error(invalid_argument) for options out of range.
  ClaimCheck(runtime::Runtime& runtime, sql::Database& database, Store& store, messaging::Publisher& inner,
             observe::Metrics& metrics, observe::Logger logger, ClaimCheckOptions options = {});
  ~ClaimCheck() override;

  /// Before the transaction: returns `message` as it is, or stores its payload and returns it with a Claim.
  /// Throws what the store throws; Error(too_large, "payload_too_large").
  messaging::OutgoingMessage store(const Context& ctx, messaging::OutgoingMessage message);

  /// Publishes what store() returned, within orphan_after / 2 of it. Throws Error(invalid_argument,
  /// "payload_not_stored") for a large payload that wasn't, and Error(failed_precondition, "claim_expired").
  std::string publish(const Context& ctx, sql::Transaction& tx,
                      const messaging::OutgoingMessage& message) override;

  /// Gives `handler` whole messages. What can't be fetched, or isn't what was published (Error(internal,
  /// "claim_mismatch")), is a failed attempt, and in the end a dead letter. Transactional handlers become
  /// external ones that open the transaction themselves, once the payload is here: their effects still happen
  /// once, by the inbox. They share no transaction with others then, so wrap only what may get large
  /// payloads.
  messaging::Handler wrap(messaging::Handler handler);

  /// The same for a handler that stays what it is: give it to SubscriptionOptions::completion. Messages
  /// without a claim are handled in batches as ever. It must outlive the broker's run.
  messaging::Completion completion();

  /// A message of the outbox that is about to leave this database: as it is, or with its payload stored and a
  /// Claim in its place, registered under the message's id. The same message gets the same blob again.
  messaging::Message to_send(const Context& ctx, const messaging::Message& message);

  /// One round of deleting. Any number of processes may.
  SweepReport sweep(const Context& ctx);
  /// Sweeps every sweep_interval until `ctx` is cancelled. Failures are logged.
  void run(const Context& ctx);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Before an outside broker's Sink: payloads over max_inline_bytes stay here, so that the broker's own limit
/// is none of the publisher's. Thread-safety: as Sink.
class ClaimedSink final : public messaging::Sink {
 public:
  /// Both outlive it.
  ClaimedSink(ClaimCheck& claims, messaging::Sink& inner) : claims_(claims), inner_(inner) {}

  void send(const Context& ctx, const std::string& log, const messaging::Message& message) override;
  std::string log_identity(const Context& ctx) override { return inner_.log_identity(ctx); }
  std::int64_t last_position(const Context& ctx) override { return inner_.last_position(ctx); }

 private:
  ClaimCheck& claims_;
  messaging::Sink& inner_;
};

}  // namespace holdfast::blob
