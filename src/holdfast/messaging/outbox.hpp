// Publisher: sends a message if, and only if, the transaction commits. Outbox is the one that writes to
// the table which embedded mode reads as its log (DESIGN.md, "Outbox = log").
//
//   db.transact(ctx, "place order", [&](sql::Transaction& tx) {
//     insert_order(tx, order);
//     publisher.publish(ctx, tx, {.topic = "orders", .key = id, .type = "order.placed", .payload = …});
//   });
//
// Positions: there is one writer at a time, so a row's position order is its commit order, and a reader
// that has seen position n has seen, or will never see, everything below n. Thread-safety: publish() from
// any transaction, also on the database's own thread.
#pragma once

#include <string>

#include "holdfast/base/id.hpp"
#include "holdfast/messaging/message.hpp"
#include "holdfast/observe/metrics.hpp"
#include "holdfast/runtime/sync.hpp"
#include "holdfast/sql/database.hpp"

namespace holdfast::messaging {

class Publisher {
 public:
  virtual ~Publisher() = default;
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;

  /// Adds the message to `tx` and returns its id ("msg_…"). Its handlers are woken by the commit. A body
  /// that runs again publishes anew, under another id; only the run that commits counts.
  /// Throws Error(invalid_argument) where the message breaks a limit of message.hpp.
  virtual std::string publish(const Context& ctx, sql::Transaction& tx, const OutgoingMessage& message) = 0;

 protected:
  Publisher() = default;
};

class Outbox final : public Publisher {
 public:
  /// All are borrowed. One an open Database; it must outlive every transact() it is used in.
  Outbox(const Clock& clock, Random& random, observe::Metrics& metrics);

  std::string publish(const Context& ctx, sql::Transaction& tx, const OutgoingMessage& message) override;

  /// Notified after each commit of this process that published something.
  runtime::Signal& committed() noexcept { return committed_; }

 private:
  IdGenerator ids_;
  runtime::Signal committed_;
  observe::Counter published_;
};

}  // namespace holdfast::messaging
