// The writer of a database: one thread that takes the transactions that wait, runs their bodies one
// after the other in one SQLite transaction, commits once, and wakes their callers with one
// notification a loop. What comes while it commits is the next group; nothing waits for company.
// (LevelDB, DBImpl::BuildBatchGroup.)
//
// A group first runs without savepoints, which cost a copy of each page they touch. When a body throws,
// all is rolled back and the group runs again, each body in a savepoint of its own; the next few groups
// too, so that a burst of failures costs one extra run, not one a group.
//
// In a simulated runtime there is no thread: groups run as work posted to the loop.
// Thread-safety: any thread or fiber.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "holdfast/runtime/runtime.hpp"
#include "holdfast/runtime/waker.hpp"
#include "holdfast/sql/sqlite/connection.hpp"
#include "holdfast/sql/sqlite/database.hpp"
#include "holdfast/sql/sqlite/open_transaction.hpp"
#include "holdfast/sql/sqlite/turnstile.hpp"

namespace holdfast::sql::sqlite {

class GroupCommit {
 public:
  /// Opens the writing connection, which creates the file. `counters` must outlive it.
  GroupCommit(runtime::Runtime& runtime, const Options& options, Counters& counters);
  /// Runs what is queued, empties the log into the database, joins the thread.
  ~GroupCommit();
  GroupCommit(const GroupCommit&) = delete;
  GroupCommit& operator=(const GroupCommit&) = delete;

  /// Runs `body` in a transaction and returns once it is durable; see Database::transact().
  void run(const Context& ctx, const char* name, FunctionRef<void(Transaction&)> body);

  /// Has the writer compare SQLite's data_version soon and notify the watchers of a change.
  void look_for_external_changes();
  void add_watcher(runtime::Signal& signal);
  void remove_watcher(runtime::Signal& signal);
  bool watched() const;

 private:
  /// One caller, on its own stack. Guarded by mutex_ but for what its group's run sets.
  struct Pending {
    const Context& ctx;
    const char* name;
    FunctionRef<void(Transaction&)> body;
    runtime::Waker waker{};  // none: a plain thread waits
    enum class Stage : std::uint8_t { queued, taken, done } stage = Stage::queued;
    std::exception_ptr failure{};
    Pending* previous = nullptr;
    Pending* next = nullptr;
  };
  using Group = std::vector<Pending*>;

  // The queue: intrusive, so that a caller whose time is over leaves it at once. Both under mutex_.
  void push(Pending& pending) noexcept;
  void unlink(Pending& pending) noexcept;

  void enqueue(Pending& pending);
  void wait_on_fiber(Pending& pending);
  void wait_on_thread(Pending& pending);
  void finish(Pending& pending);

  void write_until_closed();
  void drain_on_loop();
  void write_group();
  /// Begins the group's transaction; returns what stood in the way.
  std::exception_ptr begin() noexcept;
  void take_group();
  void drop_expired();
  void run_group();
  /// False where the group must be run again, with savepoints.
  bool try_bodies(bool own_savepoints);
  void commit();
  void fail_all(const std::exception_ptr& failure) noexcept;
  void roll_back() noexcept;
  void wake_callers() noexcept;
  void checkpoint_if_due() noexcept;
  void reopen_if_needed();
  void compare_data_version() noexcept;

  runtime::Runtime& runtime_;
  const Options options_;
  Counters& counters_;
  Turnstile turnstile_;

  mutable std::mutex mutex_;
  std::condition_variable work_;  // for the writer
  std::condition_variable done_;  // for callers that are plain threads
  Pending* first_ = nullptr;
  Pending* last_ = nullptr;
  std::size_t queued_ = 0;
  bool writer_idle_ = false;
  bool drain_posted_ = false;  // simulated runtimes
  bool look_outside_ = false;
  bool closing_ = false;
  std::vector<runtime::Signal*> watchers_;

  // The writer's own, whichever thread it is on.
  std::unique_ptr<Connection> connection_;
  std::optional<OpenTransaction> transaction_;
  Group group_;    // taken, in order
  Group dropped_;  // of it, those not run
  std::vector<runtime::Waker> wakers_;
  std::size_t careful_groups_ = 0;  // how many more run with savepoints from the start
  std::int64_t data_version_ = 0;

  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // of posted drains; loop thread only
  std::thread thread_;
};

}  // namespace holdfast::sql::sqlite
