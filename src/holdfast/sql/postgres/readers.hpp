// The reading connections of a database: a bounded pool a loop, opened as needed; one for threads that are
// no loop's; and those of the reports pool. One that is too old is replaced; one that has been idle for
// long is asked first whether it still answers. A connection that was lost between two uses is replaced
// before the caller sees it; after a failure to connect, others are refused at once until the backoff is
// over.
//
// Thread-safety: any thread.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "holdfast/runtime/offload.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/runtime/sync.hpp"
#include "holdfast/sql/postgres/connection.hpp"
#include "holdfast/sql/postgres/reconnect.hpp"

namespace holdfast::sql::postgres {

class Readers {
 public:
  Readers(runtime::Runtime& runtime, const Options& options, Counters& counters);
  /// On a fiber: closes the idle connections, each on its own loop.
  ~Readers();
  Readers(const Readers&) = delete;
  Readers& operator=(const Readers&) = delete;

  void query(const Context& ctx, std::string_view sql, std::span<const Param> params, RowSink& sink);
  void read(const Context& ctx, FunctionRef<void(Snapshot&)> body);
  /// The rows of `query` as CSV, with a heading; `sink` may wait.
  std::int64_t copy_out(const Context& ctx, std::string_view query, FunctionRef<void(std::string_view)> sink);
  /// As read() on a thread of the reports pool; on the calling thread where that is no fiber's.
  void read_offloaded(const Context& ctx, FunctionRef<void(Snapshot&)> body);

 private:
  struct Pool {
    explicit Pool(const Options& options) : permits(options.readers_per_loop, options.max_waiting_readers) {}
    runtime::Semaphore permits;
    std::vector<std::unique_ptr<Connection>> idle;  // its loop's thread only; the latest used last
  };

  template <class Use>
  void with_connection(const Context& ctx, const Use& use);
  template <class Use>
  void with_pooled(const Context& ctx, Pool& pool, const Use& use);
  void acquire(const Context& ctx, Pool& pool);
  std::unique_ptr<Connection> connect(const Context& ctx, Connection::Use use = Connection::Use::reader);
  std::unique_ptr<Connection> take_idle(const Context& ctx, Pool& pool);
  runtime::OffloadPool& reports();

  runtime::Runtime& runtime_;
  const Options& options_;
  Counters& counters_;
  Reconnect reconnect_;
  std::vector<std::unique_ptr<Pool>> of_loop_;
  std::mutex outside_mutex_;
  std::unique_ptr<Connection> outside_;
  std::mutex reports_mutex_;
  std::unique_ptr<runtime::OffloadPool> reports_;
};

}  // namespace holdfast::sql::postgres
