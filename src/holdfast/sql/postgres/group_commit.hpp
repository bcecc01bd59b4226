// A writing lane: one fiber with one connection, which takes the transactions that wait, runs their bodies
// one after the other in one PostgreSQL transaction, commits once, and wakes their callers. What comes
// while it works is the next group; nothing waits for company. With Writers::one_at_a_time each group first
// takes the database's advisory lock, so that groups of all processes follow each other.
//
// A group first runs without savepoints. When a body throws, all is rolled back and the group runs again,
// each body in a savepoint of its own; so do the next few groups. A group that lost its connection before
// the commit, or lost against others, is run again; one whose commit was not answered never is.
//
// Thread-safety: run() from any thread or fiber.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "holdfast/runtime/runtime.hpp"
#include "holdfast/runtime/sync.hpp"
#include "holdfast/runtime/waker.hpp"
#include "holdfast/sql/postgres/connection.hpp"
#include "holdfast/sql/postgres/interleaved.hpp"
#include "holdfast/sql/postgres/open_transaction.hpp"
#include "holdfast/sql/postgres/reconnect.hpp"

namespace holdfast::sql::postgres {

class GroupCommit {
 public:
  /// Its fiber runs on loop `loop`. `notification` tells this process's commits from others'.
  GroupCommit(runtime::Runtime& runtime, std::size_t loop, const Options& options, std::string notification,
              Counters& counters);
  /// On a fiber: runs what is queued, then ends its own.
  ~GroupCommit();
  GroupCommit(const GroupCommit&) = delete;
  GroupCommit& operator=(const GroupCommit&) = delete;

  /// Runs `body` in a transaction and returns once it is durable; see Database::transact().
  void run(const Context& ctx, const char* name, Isolation isolation, FunctionRef<void(Transaction&)> body);

 private:
  /// One caller, on its own stack. Guarded by mutex_ but for what its group's run sets.
  struct Pending {
    const Context& ctx;
    const char* name;
    Isolation isolation;
    FunctionRef<void(Transaction&)> body;
    bool apart = false;      // not to be interleaved: it has to be undone by itself
    runtime::Waker waker{};  // none: a plain thread waits
    enum class Stage : std::uint8_t { queued, taken, done } stage = Stage::queued;
    std::exception_ptr failure{};
    Pending* previous = nullptr;
    Pending* next = nullptr;
  };
  using Group = std::vector<Pending*>;
  enum class Bodies : std::uint8_t { done, run_again, run_again_carefully };

  void push(Pending& pending) noexcept;
  void push_front(Pending& pending) noexcept;
  void unlink(Pending& pending) noexcept;
  void enqueue(Pending& pending);
  void wait_on_fiber(Pending& pending);
  void wait_on_thread(Pending& pending);

  void write_until_closed();
  void write_group();
  void begin();
  void connect();
  void take_group();
  void drop_expired();
  std::string begin_script() const;
  void note_lock(const DatabaseError& failure) noexcept;
  void run_group();
  void attempt(bool& careful);
  Bodies run_bodies(bool careful);
  bool run_interleaved(std::size_t count);
  void limit_interleaved(std::size_t count, Duration took);
  std::size_t interleavable_first();
  void set_all_apart() noexcept;
  void run_again();
  bool runs_differently(const char* name) const;
  bool run_body(Pending& pending, bool careful);
  void put_back_from(std::size_t first);
  void commit();
  void count_commit(Duration took);
  bool worth_another(const DatabaseError& failure);
  void pause_before(std::size_t attempt, Duration took);
  std::string commit_script();
  Context context_of(std::span<Pending* const> some) const;
  void fail_all(const std::exception_ptr& failure) noexcept;
  void roll_back() noexcept;
  void wake_callers() noexcept;
  void wake(Group& callers) noexcept;
  void notify_if_owed() noexcept;

  runtime::Runtime& runtime_;
  const Options& options_;
  const std::string notification_;
  Counters& counters_;
  Reconnect reconnect_;
  runtime::Signal work_;
  runtime::Latch ended_;

  std::mutex mutex_;
  std::condition_variable done_;  // for callers that are plain threads
  Pending* first_ = nullptr;
  Pending* last_ = nullptr;
  std::size_t queued_ = 0;
  bool closing_ = false;

  // The lane's own.
  std::unique_ptr<Connection> connection_;
  std::optional<OpenTransaction> transaction_;
  std::optional<Interleaved> interleaved_;
  Group group_;    // taken, in order
  Group dropped_;  // of it, those not run
  std::vector<runtime::Waker> wakers_;
  std::size_t most_interleaved_;                   // as many as take no longer than max_group_time
  std::size_t careful_groups_ = 0;                 // how many more run with savepoints from the start
  std::set<std::string, std::less<>> goes_on_;     // names of bodies that go on after a failed statement
  std::set<std::string, std::less<>> rolls_back_;  // and of those that roll back a savepoint
  Instant locks_until_{};                          // until then waits for locks are short
  bool notification_owed_ = false;
  Instant notified_at_{};
};

}  // namespace holdfast::sql::postgres
