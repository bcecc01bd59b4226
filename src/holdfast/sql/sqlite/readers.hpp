// The reading connections of a database: one a loop, opened at its first read and used by that loop's
// thread alone; one for threads that are no loop's; and those of the reports pool.
//
// Thread-safety: any thread.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "holdfast/runtime/offload.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/sql/sqlite/connection.hpp"
#include "holdfast/sql/sqlite/database.hpp"

namespace holdfast::sql::sqlite {

class Readers {
 public:
  Readers(runtime::Runtime& runtime, const Options& options, Counters& counters);

  void query(const Context& ctx, std::string_view sql, std::span<const Param> params, RowSink& sink);
  void read(const Context& ctx, FunctionRef<void(Snapshot&)> body);
  /// The same on a thread of the reports pool; on the calling thread where that is no fiber's.
  void read_offloaded(const Context& ctx, FunctionRef<void(Snapshot&)> body);

 private:
  std::unique_ptr<Connection> open() const;
  /// Calls `use(Connection&)` with the one for this thread.
  template <class Use>
  void with_connection(const Use& use);
  runtime::OffloadPool& reports();
  std::unique_ptr<Connection> take_report_connection();

  runtime::Runtime& runtime_;
  const Options options_;
  Counters& counters_;
  std::vector<std::unique_ptr<Connection>> of_loop_;  // by its index; touched by that loop's thread only
  std::mutex outside_mutex_;
  std::unique_ptr<Connection> outside_;
  std::mutex reports_mutex_;
  std::vector<std::unique_ptr<Connection>> idle_reports_;  // at most one a thread of the pool
  std::unique_ptr<runtime::OffloadPool> reports_;          // last: its threads use what is above
};

/// Reads within one deferred transaction on `connection`, which is ended either way.
void read_in_snapshot(Connection& connection, const Context& ctx, FunctionRef<void(Snapshot&)> body);

}  // namespace holdfast::sql::sqlite
