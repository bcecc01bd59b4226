// Follows what is committed to some tables by PostgreSQL's logical decoding, without asking for it: a
// replication slot, a publication, and the plugin pgoutput.
//
//   auto stream = ReplicationStream::open(ctx, options, {.slot = "outbox", .publication = "outbox"});
//   while (auto change = stream->next(ctx)) { …  stream->confirm(ctx, done_up_to); }
//
// The server keeps its log from what was confirmed last, whether anybody follows or not: see slot_state().
// It wants wal_level=logical, and a role that may replicate. One process at a time has a slot.
// Thread-safety: one fiber.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "holdfast/sql/counters.hpp"
#include "holdfast/sql/postgres/database.hpp"
#include "holdfast/sql/postgres/pgoutput.hpp"
#include "holdfast/sql/postgres/position.hpp"

namespace holdfast::sql::postgres {

class Connection;

struct SlotNames {
  std::string slot;         ///< letters in lower case, digits and underscores
  std::string publication;  ///< must be there
};

struct SlotState {
  bool active = false;  ///< somebody follows it
  bool lost = false;  ///< the server gave it up, as max_slot_wal_keep_size says: nothing comes of it any more
  std::int64_t retained_bytes = 0;  ///< of the server's log, that are kept for it
};

/// None where there is no such slot.
std::optional<SlotState> slot_state(const Context& ctx, Database& database, std::string_view slot);

class ReplicationStream {
 public:
  /// Makes the slot where there is none (what was committed before is then not in it). `options` is borrowed.
  /// Throws DatabaseError: where somebody else follows it, too.
  static std::unique_ptr<ReplicationStream> open(const Context& ctx, const Options& options,
                                                 const SlotNames& names);
  /// Drops a slot that nobody follows.
  static void drop(const Context& ctx, const Options& options, std::string_view slot);
  ~ReplicationStream();
  ReplicationStream(const ReplicationStream&) = delete;
  ReplicationStream& operator=(const ReplicationStream&) = delete;

  struct Next {
    Pgoutput::Change change;
    std::string bytes;  ///< what `change` looks into
  };
  /// The next change; none where `ctx` ended before. Throws DatabaseError when the connection is lost.
  std::optional<Next> next(const Context& ctx);

  /// All up to `done` is done with: after a crash it may come again, what is after it will.
  void confirm(const Context& ctx, Position done);
  /// Up to here nothing more will come: where the server's log was when it last had nothing to say.
  Position quiet_up_to() const noexcept { return quiet_; }

 private:
  ReplicationStream(const Context& ctx, const Options& options);
  Counters counters_;  // the connection's
  std::unique_ptr<Connection> connection_;
  Pgoutput pgoutput_;
  Position quiet_{};
  Position confirmed_{};
};

}  // namespace holdfast::sql::postgres
