// EmbeddedBroker: the subscriber that needs nothing but the database: it reads the outbox table as a log.
//
//   EmbeddedBroker broker(runtime, db, outbox, metrics, log.logger("messaging"));
//   broker.subscribe({.group = "receipts", .topics = {"orders"}}, external(send_receipt));
//   broker.start(ctx);  …  broker.stop(ctx.with_timeout(10s));
//
// Thread-safety: as Broker.
#pragma once

#include <utility>

#include "holdfast/messaging/broker.hpp"
#include "holdfast/messaging/embedded/log.hpp"
#include "holdfast/messaging/outbox.hpp"

namespace holdfast::messaging {

namespace embedded {
/// A base, so that the log outlives the Broker.
struct OwnsLog {
  OutboxLog log;
};
}  // namespace embedded

class EmbeddedBroker final : private embedded::OwnsLog, public Broker {
 public:
  /// All are borrowed and must outlive it. Throws Error(invalid_argument) for options out of range.
  EmbeddedBroker(runtime::Runtime& runtime, sql::Database& database, Outbox& outbox,
                 observe::Metrics& metrics, observe::Logger logger, BrokerOptions options = {})
      : OwnsLog{.log = embedded::OutboxLog(database, outbox, options.scan)},
        Broker(runtime, database, log, metrics, std::move(logger), options) {}
};

}  // namespace holdfast::messaging
