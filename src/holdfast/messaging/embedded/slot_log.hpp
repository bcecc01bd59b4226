// SlotLog: the outbox as a Source that need not be asked: PostgreSQL says what is committed to it, by logical
// decoding (sql/postgres/replication.hpp). The table stays the truth; this is a way to hear of it.
//
// One process has the slot; what it hears it keeps in memory for a while, in the order of positions. Who is
// further behind than that, and who has no slot, reads the table as OutboxLog does. The server may forget its
// log once every bucket's position is recorded, which is after the broker's acknowledgement.
//
// A slot that nobody follows keeps the server's log, until its disk is full or max_slot_wal_keep_size is
// reached: state() and metrics tell how much, and one that was given up is made anew, the table bridging the
// gap. Thread-safety: as Source; state() from any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "holdfast/messaging/embedded/log.hpp"
#include "holdfast/observe/log.hpp"
#include "holdfast/observe/metrics.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/sql/postgres/database.hpp"

namespace holdfast::messaging {

struct SlotOptions {
  sql::postgres::Options postgres;  ///< of a role that may replicate
  std::string slot = "holdfast_outbox";
  std::string publication = "holdfast_outbox";      ///< made where it is missing
  std::size_t loop = 0;                             ///< the broker's
  std::int64_t warn_bytes = std::int64_t{1} << 30;  ///< kept for the slot, from which state() has a problem
  std::size_t max_messages = 8192;                  ///< heard and kept
  std::size_t max_bytes = 32 * 1024 * 1024;         ///< likewise
  Duration look_every = std::chrono::seconds(1);    ///< what is recorded is confirmed, and the slot looked at
  Duration try_every = std::chrono::seconds(2);     ///< to have the slot, on the average
};

struct SlotLogState {
  bool following = false;  ///< this process has the slot
  std::int64_t retained_bytes = 0;
  std::string problem;  ///< for operators; empty where all is well, also when another process follows
};

class SlotLog final : public embedded::OutboxLog {
 public:
  /// All are borrowed. `group` is whose recorded positions count.
  SlotLog(runtime::Runtime& runtime, sql::Database& database, Outbox& outbox, observe::Metrics& metrics,
          observe::Logger logger, std::string group, std::size_t scan, SlotOptions options);
  ~SlotLog() override;

  std::unique_ptr<Reader> reader(const SubscriptionOptions& options) override;
  void start(const Context& ctx) override;
  void stop() noexcept override;

  SlotLogState state() const;

 private:
  struct State;
  std::shared_ptr<State> state_;  // with its fiber, which may end after this
};

}  // namespace holdfast::messaging
