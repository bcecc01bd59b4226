// The sagas' rows. Everything here runs inside a transaction or a read of the caller.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "holdfast/saga/internal/instance.hpp"
#include "holdfast/sql/database.hpp"

namespace holdfast::saga::internal {

using BucketMask = std::uint64_t;

/// One line of the timeline. Its text is short, since each commit writes what there is of it anew:
/// [<µs since 1970>, <what>, <step>, <attempt>, <µs it took>, <error>], as far as there is something to say.
/// That a saga was started, and its good end, are told by the row's other columns.
struct Line {
  std::string_view what;
  std::string_view step;
  int attempt = 0;
  Duration took{};
  std::string_view error;
};
void append_line(std::string& history, WallTime at, const Line& line);

/// Inserts it; false where the definition has a saga with this key already.
bool insert(sql::Transaction& tx, const Instance& saga, std::string_view history);

enum class Saved : std::uint8_t {
  saved,
  lost,       ///< the lease, or the row, is another's by now
  cancelled,  ///< a cancel was asked for that `saga` does not know of; `cancel_reason` tells
};

/// Writes `next` over the row, if the lease and the row are still as `saga` knows them.
Saved save(sql::Transaction& tx, const Instance& saga, const Progress& next, std::string_view state,
           std::string_view history, WallTime now, std::string& cancel_reason);

/// Sagas (id, bucket) that are due in the buckets of `mask`, oldest first. `plans` are the known ones:
/// "name:version".
std::vector<std::tuple<std::string, int>> due(sql::Queries& queries, const std::string& due_sql,
                                              BucketMask mask, WallTime now, std::size_t most);
/// The statement of due() for these plans.
std::string due_statement(const std::vector<std::string>& plans);

/// Finds the plan of a definition and version; null where none is known.
using FindPlan = std::function<std::shared_ptr<const detail::Plan>(const std::string&, int)>;

/// The row as an Instance without a fence; nothing where it is gone, has ended, or has no known plan. Throws
/// Error(internal), which is no sql::DatabaseError, where a value of it can't be read or makes no sense.
std::optional<Instance> load(sql::Queries& queries, std::string_view id, const FindPlan& find);
/// Parks a saga that load() threw over, unless its bucket is another's by now; false then.
bool park_unreadable(sql::Transaction& tx, std::string_view id, int bucket, std::int64_t fence,
                     std::string_view error, WallTime now);

struct Signalled {
  std::int64_t position = 0;
  std::string payload;
};
std::optional<Signalled> first_signal(sql::Queries& queries, std::string_view id, std::string_view event);
void forget_signal(sql::Transaction& tx, std::int64_t position);
/// The saga has a signal to hear although it began to wait: it is due at once.
void make_due(sql::Transaction& tx, std::string_view id, WallTime now);

/// How many there are that have not ended, by what a gauge needs.
struct Census {
  std::int64_t running = 0;  ///< running, waiting or compensating
  std::int64_t parked = 0;
  std::int64_t orphaned = 0;         ///< of a definition or version that is not known here
  std::string orphan{};              ///< one of them: "checkout version 3"
  std::optional<WallTime> oldest{};  ///< when the oldest that is neither parked nor orphaned was started
};
Census census(sql::Queries& queries, const FindPlan& find);

/// Deletes up to `batch` of those with ids above `after` that ended before `cutoff`. Moves `after` on; it is
/// empty at the end.
std::int64_t sweep(sql::Transaction& tx, std::string& after, WallTime cutoff, std::size_t batch);

}  // namespace holdfast::saga::internal
