// Reads what PostgreSQL's output plugin "pgoutput" says (protocol version 1; "Logical Replication Message
// Formats" in its documentation): of each transaction, once it is committed, the rows that it inserted.
//
//   Pgoutput pgoutput;
//   const Pgoutput::Change change = pgoutput.read(payload);
//   if (change.kind == Pgoutput::Kind::insert) use(*change.relation, change.values);
//
// Updates, deletes and whatever else is `other`. Thread-safety: one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "holdfast/sql/postgres/position.hpp"

namespace holdfast::sql::postgres {

class Pgoutput {
 public:
  static constexpr std::size_t kMostRelations = 256;  ///< known at a time; one more is Error(too_large)

  struct Relation {
    std::string schema;
    std::string name;
    std::vector<std::string> columns;
  };
  enum class Kind : std::uint8_t { begin, insert, commit, other };
  struct Change {
    Kind kind = Kind::other;
    Position end{};                      ///< commit: after it, where the next transaction may begin
    const Relation* relation = nullptr;  ///< insert: until the next read()
    /// insert: as text, in the order of the columns; a view into the payload. NULL is none.
    std::vector<std::optional<std::string_view>> values;
  };

  /// Throws Error(invalid_argument, "bad_replication_message") for what breaks the format, or names a table
  /// that was not described before.
  Change read(std::string_view payload);

 private:
  std::unordered_map<std::uint32_t, Relation> relations_;
};

/// The envelope around it ("Streaming Replication Protocol").
struct ReplicationMessage {
  enum class Kind : std::uint8_t { data, keepalive, other };
  Kind kind = Kind::other;
  Position end{};                ///< keepalive: of the server's log
  bool reply_requested = false;  ///< keepalive: else the server gives this side up
  std::string_view payload;      ///< data
};
/// Throws as Pgoutput::read().
ReplicationMessage read_replication_message(std::string_view bytes);

/// "All up to `flushed` is done with; the server need not keep it."
std::string standby_status(Position flushed, std::int64_t microseconds_since_2000);

}  // namespace holdfast::sql::postgres
