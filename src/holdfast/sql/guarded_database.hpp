// A Database that is left in peace while it can't answer: a breaker before the reads and one before the
// transactions, so that callers are told at once to come back, and are told within their deadline.
//
//   auto db = sql::guard(sql::postgres::open(…), dependencies.add("database", sql::guard_defaults()),
//                        dependencies.add("database_writes", sql::guard_defaults()));
//
// Only what says something of the database counts against it: it was lost, refused the connection, or
// answered nobody for as long as a caller waited. What a body throws, a constraint, a full queue do not.
// Thread-safety: as the Database's.
#pragma once

#include <memory>

#include "holdfast/base/clock.hpp"
#include "holdfast/resilience/pipeline.hpp"
#include "holdfast/sql/database.hpp"

namespace holdfast::sql {

struct GuardOptions {
  /// Of a caller's time, kept for saying that the database did not answer; a quarter where that is less.
  Duration answer_reserve = std::chrono::milliseconds(500);
  /// Of a read whose caller has no deadline: else, in a network gone silent, it would keep its connection for
  /// as long as a statement may take.
  Duration patience = std::chrono::seconds(10);
};

/// For a database: nothing is tried again, nothing waits in line, it is asked again after half a second to
/// two, and without a slow start. Slow calls alone don't open it: reports take their time.
resilience::PipelineOptions guard_defaults();

/// Borrows the pipelines. Where `database` ends a wait at the deadline (deadline_exceeded), the caller gets
/// DatabaseError(unavailable) shortly before it.
std::unique_ptr<Database> guard(std::unique_ptr<Database> database, resilience::Pipeline& reads,
                                resilience::Pipeline& writes, const GuardOptions& options = {});

/// Asks for as long as `ctx` lasts, where a breaker is not closed: so the database is back without waiting
/// for somebody's request. `write` is run in a transaction and should write something.
void run_guard_probes(const Context& ctx, Database& database, const resilience::Pipeline& reads,
                      const resilience::Pipeline& writes, FunctionRef<void(Transaction&)> write);

}  // namespace holdfast::sql
