// SQLite behind the Database port. Nothing to install, one file (and its log) to back up.
//
//   auto db = sql::sqlite::open_file(runtime, {.path = "data/orders.db"});
//   auto db = sql::sqlite::open_memory(runtime);        // for domain tests: gone with the object
//
// Writes of all fibers go to one writer thread, which commits them in groups: one fsync for all that
// came while the last one ran (group_commit.hpp). Reads run on a connection a loop. Server and worker
// may open the same file. Not for network file systems. Destroy it before the Runtime, from the outside
// of its own bodies, when no fiber uses it any more.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "holdfast/base/clock.hpp"
#include "holdfast/sql/database.hpp"

namespace holdfast::runtime {
class Runtime;
}

namespace holdfast::sql::sqlite {

struct Options {
  std::string path;  ///< of the file; its folder must exist and be writable
  std::size_t max_queue =
      8192;  ///< transactions waiting for the writer; more are refused with Error(unavailable)
  std::size_t max_group = 256;                                    ///< transactions a commit
  Duration busy_timeout = std::chrono::seconds(5);                ///< for another program's write lock
  Duration reader_busy_timeout = std::chrono::milliseconds(100);  ///< likewise, on a loop: holds up the loop
  Duration external_poll =
      std::chrono::milliseconds(10);  ///< how often other processes' commits are looked for
  std::size_t checkpoint_pages =
      1000;  ///< of the log (4 KiB each), after which it is copied into the database between two groups: more
             ///< is a little faster, with longer pauses
  std::size_t writer_cache_kib = 16384;  ///< most page cache of the writer; taken as needed
  std::size_t reader_cache_kib = 2048;   ///< likewise, of each reader
  std::size_t cached_statements = 128;   ///< a connection
  std::size_t report_threads = 1;        ///< for read({.offload = true}); started at the first use
  std::size_t max_report_queue = 64;     ///< such reads waiting; more are refused with Error(unavailable)
};

/// Opens or creates it. Throws DatabaseError(unavailable) naming the path where that can't be done.
/// `runtime` must outlive it.
std::unique_ptr<Database> open_file(runtime::Runtime& runtime, Options options);

/// The in-memory adapter: the same SQL and the same promises except durability. No thread of its own:
/// bodies run on the calling fiber, one at a time.
std::unique_ptr<Database> open_memory(runtime::Runtime& runtime);

}  // namespace holdfast::sql::sqlite
