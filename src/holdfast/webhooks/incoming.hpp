// Incoming: the events of another system, each with its effect once. The sender repeats itself (it never
// knows whether we heard), others repeat what they recorded; so: verify the signature, refuse what is old,
// and record the event's id in the transaction of its effect.
//
//   Incoming stripe("stripe", metrics);
//   stripe.require(verify_stripe(secrets, request.header("Stripe-Signature"), request.body, now));
//   const bool first = stripe.once(ctx, db, event.id, [&](sql::Transaction& tx) { settle(tx, event); });
//   return Response(200);                                       // also for one that was here before
//
// Events come in any order: an effect looks at the state it finds, not at what "must" have come before.
// Thread-safety: everything from any fiber.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "holdfast/observe/metrics.hpp"
#include "holdfast/runtime/context.hpp"
#include "holdfast/sql/database.hpp"
#include "holdfast/webhooks/signature.hpp"

namespace holdfast::webhooks {

inline constexpr std::size_t kMaxEventIdBytes = 255;

struct IncomingOptions {
  /// Ids are known for so long: longer than the sender repeats itself (Stripe: three days by itself, thirty
  /// by hand), or a late repetition has its effect again.
  Duration retention = std::chrono::hours(24 * 31);
  Duration sweep_interval = std::chrono::minutes(10);
  std::size_t sweep_batch = 500;  ///< rows a transaction
};

class Incoming {
 public:
  /// `source` names the sender, in the table and in holdfast_webhooks_received_total{source, outcome}:
  /// accepted, duplicate, failed, malformed, bad_signature, stale, and what the receiver counts of its own.
  Incoming(std::string source, observe::Metrics& metrics, IncomingOptions options = {});

  /// Counts, and throws Error(invalid_argument) unless it is genuine: "stale_signature", or "bad_signature"
  /// for what is malformed as well.
  void require(Verdict verdict) const;

  /// Runs `effect` in a transaction with the record of `event_id`, and returns true; returns false, and
  /// runs nothing, where that id is on record. `effect` may run again, as any transaction's body; when it
  /// throws nothing is recorded, so that the sender's next try has its chance.
  /// Throws Error(invalid_argument) for an id that is empty or longer than kMaxEventIdBytes.
  bool once(const Context& ctx, sql::Database& database, std::string_view event_id,
            const std::function<void(sql::Transaction&)>& effect) const;

  /// Whether that id is on record: for a look before work outside of the transaction, which once() decides.
  bool known(sql::Queries& queries, std::string_view event_id) const;

  /// Counts an outcome of the receiver's own, such as "ignored"; of a small set.
  void count(std::string_view outcome) const { counter(outcome).add(); }

  /// The record alone, for who has a transaction of its own: true the first time. Counts nothing.
  bool enter(sql::Transaction& tx, std::string_view event_id, WallTime now) const;

  /// Forgets what is older than the retention; returns how many. In batches, so that others get a turn.
  std::int64_t sweep(const Context& ctx, sql::Database& database) const;
  /// Sweeps every sweep_interval until `ctx` is cancelled. For a fiber of its own.
  void run_sweeper(const Context& ctx, sql::Database& database) const;

 private:
  observe::Counter counter(std::string_view outcome) const;

  const std::string source_;
  const IncomingOptions options_;
  observe::Metrics& metrics_;
};

}  // namespace holdfast::webhooks
