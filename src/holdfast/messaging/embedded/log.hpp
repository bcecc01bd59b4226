// OutboxLog: the outbox table as a Source. There is one writer at a time, so whoever sees position n sees
// every committed one below it: what is not there now never comes, and a reader may go on from the highest
// position it saw.
//
// Thread-safety: as Source.
#pragma once

#include <cstddef>
#include <memory>

#include "holdfast/messaging/outbox.hpp"
#include "holdfast/messaging/source.hpp"
#include "holdfast/sql/database.hpp"

namespace holdfast::messaging::embedded {

class Tail;

class OutboxLog : public Source {
 public:
  /// Both are borrowed. `scan`: most rows of the log looked at in one read of a cohort.
  OutboxLog(sql::Database& database, Outbox& outbox, std::size_t scan);

  std::unique_ptr<Reader> reader(const SubscriptionOptions& options) override;
  void start(const Context& ctx) override;
  void stop() noexcept override { watch_ = {}; }

 private:
  sql::Database& database_;
  Outbox& outbox_;
  const std::size_t scan_;
  std::shared_ptr<Tail> tail_;  // with the readers
  sql::ExternalWatch watch_;
};

}  // namespace holdfast::messaging::embedded
