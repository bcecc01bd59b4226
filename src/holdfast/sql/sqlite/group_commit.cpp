#include "holdfast/sql/sqlite/group_commit.hpp"

#include <algorithm>
#include <utility>

#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/loop.hpp"
#include "holdfast/runtime/sync.hpp"

namespace holdfast::sql::sqlite {
namespace {

// How many groups go on with savepoints after one in which a body failed.
constexpr std::size_t kCarefulGroups = 32;

// When the queue is full, and each of its transactions takes some 25 µs.
constexpr auto kRetryWhenFull = std::chrono::milliseconds(250);

Connection::Options writer_options(const Options& options) {
  return {.path = options.path,
          .use = Connection::Use::writer,
          .busy_timeout = options.busy_timeout,
          .cache_kib = options.writer_cache_kib,
          .statements = options.cached_statements};
}

/// Holds the turn among processes while it lives.
class Turn {
 public:
  Turn(Turnstile& turnstile, Counters& counters) noexcept : turnstile_(turnstile) {
    if (turnstile_.enter()) counters.busy_waits.add();
  }
  ~Turn() { turnstile_.leave(); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  Turnstile& turnstile_;
};

}  // namespace

GroupCommit::GroupCommit(runtime::Runtime& runtime, const Options& options, Counters& counters)
    : runtime_(runtime), options_(options), counters_(counters), turnstile_(options.path) {
  const Turn turn(turnstile_, counters_);  // so that two processes don't set up one new file at once
  connection_ = std::make_unique<Connection>(writer_options(options_), counters_);
  transaction_.emplace(*connection_);
  data_version_ = connection_->data_version();
  group_.reserve(options_.max_group);
  wakers_.reserve(options_.max_group);
  if (!runtime_.simulated()) thread_ = runtime_.start_thread("sql-writer", [this] { write_until_closed(); });
}

GroupCommit::~GroupCommit() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  work_.notify_one();
  if (thread_.joinable()) thread_.join();
  *alive_ = false;
  if (connection_) connection_->checkpoint_and_truncate();
}

// --- The queue ---------------------------------------------------------------------------------------

void GroupCommit::push(Pending& pending) noexcept {
  pending.previous = last_;
  (last_ != nullptr ? last_->next : first_) = &pending;
  last_ = &pending;
  counters_.queue_depth.set(++queued_);
}

void GroupCommit::unlink(Pending& pending) noexcept {
  (pending.previous != nullptr ? pending.previous->next : first_) = pending.next;
  (pending.next != nullptr ? pending.next->previous : last_) = pending.previous;
  pending.next = pending.previous = nullptr;
  counters_.queue_depth.set(--queued_);
}

void GroupCommit::take_group() {
  group_.clear();
  dropped_.clear();
  const std::lock_guard lock(mutex_);
  while (first_ != nullptr && group_.size() < options_.max_group) {
    Pending& pending = *first_;
    unlink(pending);
    pending.stage = Pending::Stage::taken;
    group_.push_back(&pending);
  }
}

// --- The callers -------------------------------------------------------------------------------------

void GroupCommit::run(const Context& ctx, const char* name, FunctionRef<void(Transaction&)> body) {
  ctx.check(name);
  Pending pending{.ctx = ctx, .name = name, .body = body};
  const bool on_fiber = runtime::on_fiber();
  if (on_fiber || runtime::NoWaitScope::current() != nullptr) {
    pending.waker = runtime::prepare_wait(name);  // refuses, naming both, inside another body
  }
  enqueue(pending);
  on_fiber ? wait_on_fiber(pending) : wait_on_thread(pending);
  if (pending.failure) std::rethrow_exception(std::move(pending.failure));
}

void GroupCommit::enqueue(Pending& pending) {
  bool wake_writer = false;
  bool post_drain = false;
  {
    const std::lock_guard lock(mutex_);
    if (closing_) throw DatabaseError(FailureKind::closed, "The database is being closed.", pending.name);
    if (queued_ >= options_.max_queue) {
      counters_.refused.add();
      throw Error(ErrorCode::unavailable, "Too many writes are waiting; try again.")
          .reason("database_overloaded")
          .cause(std::to_string(queued_) + " transactions queued at '" + pending.name + "'")
          .retry_after(kRetryWhenFull);
    }
    push(pending);
    wake_writer = std::exchange(writer_idle_, false);
    post_drain = runtime_.simulated() && !std::exchange(drain_posted_, true);
  }
  if (wake_writer) work_.notify_one();
  if (post_drain) {
    runtime_.post(0, [this, alive = alive_] {
      if (*alive) drain_on_loop();
    });
  }
}

void GroupCommit::wait_on_fiber(Pending& pending) {
  if (runtime::park(pending.ctx, pending.name) == runtime::Woken::by_event) return;
  for (;;) {
    {
      const std::lock_guard lock(mutex_);
      if (pending.stage == Pending::Stage::done) return;
      if (pending.stage == Pending::Stage::queued) {
        unlink(pending);
        counters_.expired_in_queue.add();
        break;
      }
      // Its body runs, or is about to, and refers to this stack: now only the writer ends the wait.
      pending.waker = runtime::prepare_wait(pending.name);
    }
    runtime::park_uninterruptible(pending.name);
  }
  pending.ctx.check(pending.name);
  throw Error(ErrorCode::deadline_exceeded, "The time for this ran out.").cause(pending.name);
}

// A tool or a test without fibers; in a simulation there is nobody else to drain the queue.
void GroupCommit::wait_on_thread(Pending& pending) {
  if (runtime_.simulated()) return drain_on_loop();
  std::unique_lock lock(mutex_);
  done_.wait(lock, [&] { return pending.stage == Pending::Stage::done; });
}

// --- The writer --------------------------------------------------------------------------------------

void GroupCommit::write_until_closed() {
  for (;;) {
    bool has_work = false;
    bool look_outside = false;
    {
      std::unique_lock lock(mutex_);
      writer_idle_ = first_ == nullptr;
      work_.wait(lock, [this] { return first_ != nullptr || look_outside_ || closing_; });
      writer_idle_ = false;
      has_work = first_ != nullptr;
      look_outside = std::exchange(look_outside_, false);
      if (!has_work && closing_) return;
    }
    if (has_work) write_group();
    if (look_outside) compare_data_version();
  }
}

void GroupCommit::drain_on_loop() {
  for (;;) {
    bool has_work = false;
    bool look_outside = false;
    {
      const std::lock_guard lock(mutex_);
      drain_posted_ = false;
      has_work = first_ != nullptr;
      look_outside = std::exchange(look_outside_, false);
    }
    if (has_work) write_group();
    if (look_outside) compare_data_version();
    if (!has_work) return;
  }
}

void GroupCommit::write_group() {
  {
    const Turn turn(turnstile_, counters_);
    const std::exception_ptr refused = begin();
    // Taken only now, so that a caller whose time runs out while another process writes can still leave.
    take_group();
    drop_expired();
    try {
      if (refused) std::rethrow_exception(refused);
      group_.empty() ? roll_back() : run_group();
    } catch (const Error& error) {
      counters_.write_failure.set(error.cause().empty() ? error.detail() : error.cause());
      roll_back();
      fail_all(std::current_exception());
    } catch (...) {
      roll_back();
      fail_all(std::current_exception());
    }
  }
  wake_callers();
  checkpoint_if_due();
}

std::exception_ptr GroupCommit::begin() noexcept {
  try {
    reopen_if_needed();
    connection_->frame(Connection::Frame::begin_immediate);
    return nullptr;
  } catch (...) {
    return std::current_exception();
  }
}

// The callers of these have given up, or are about to: doing the work would be for nobody.
void GroupCommit::drop_expired() {
  const Instant now = runtime_.clock().now();
  const auto live = std::stable_partition(group_.begin(), group_.end(), [&](const Pending* pending) {
    return pending->ctx.deadline() > now && !pending->ctx.cancelled();
  });
  for (auto expired = live; expired != group_.end(); ++expired) {
    counters_.expired_in_queue.add();
    try {
      (*expired)->ctx.check((*expired)->name);
      throw Error(ErrorCode::deadline_exceeded, "The time for this ran out.").cause((*expired)->name);
    } catch (...) {
      (*expired)->failure = std::current_exception();
    }
  }
  dropped_.assign(live, group_.end());
  group_.erase(live, group_.end());
}

void GroupCommit::run_group() {
  const bool careful = group_.size() > 1 && careful_groups_ > 0;
  if (careful) --careful_groups_;
  if (!try_bodies(careful)) {
    careful_groups_ = kCarefulGroups;
    if (group_.size() == 1) {  // its failure is known, and there is nobody else
      roll_back();
      counters_.rolled_back.add();
      return;
    }
    counters_.group_reruns.add();
    roll_back();
    connection_->frame(Connection::Frame::begin_immediate);
    try_bodies(true);
  }
  commit();
}

bool GroupCommit::try_bodies(bool own_savepoints) {
  for (Pending* pending : group_) {
    pending->failure = nullptr;
    try {
      transaction_->run_body(pending->name, pending->body, own_savepoints);
    } catch (...) {
      pending->failure = std::current_exception();
    }
    if (!connection_->in_transaction()) {
      // SQLite gave up the whole of it (disk full, I/O error): nothing of this group is left.
      if (pending->failure) std::rethrow_exception(pending->failure);
      throw DatabaseError(FailureKind::unavailable, "The database can't take this now; try again.",
                          std::string("the transaction was lost in '") + pending->name + "'");
    }
    if (pending->failure && !own_savepoints) return false;
  }
  return true;
}

void GroupCommit::commit() {
  const Instant began = runtime_.clock().now();
  const int code = connection_->try_frame(Connection::Frame::commit);
  if (code != 0) {
    counters_.failed_commits.add();
    throw connection_->failure(code, "committing");
  }
  const auto took = static_cast<std::uint64_t>((runtime_.clock().now() - began).count());
  std::uint64_t failed = 0;
  for (const Pending* pending : group_) failed += pending->failure ? 1 : 0;
  counters_.rolled_back.add(failed);
  counters_.transactions.add(group_.size() - failed);
  counters_.groups.add();
  counters_.write_failure.clear();
  counters_.largest_group.raise_to(group_.size());
  counters_.commit_nanoseconds.add(took);
  counters_.longest_commit_nanoseconds.raise_to(took);
  counters_.wal_pages.set(connection_->wal_pages());
  transaction_->committed();
}

// A body that threw had seen what is now undone, so it too is told of what undid it.
void GroupCommit::fail_all(const std::exception_ptr& failure) noexcept {
  for (Pending* pending : group_) pending->failure = failure;
}

void GroupCommit::roll_back() noexcept {
  if (connection_ && connection_->in_transaction()) {
    static_cast<void>(connection_->try_frame(Connection::Frame::rollback));
  }
  if (transaction_) transaction_->forget();
}

// Once a Pending is done its caller may be gone, stack and all: only the copies of the wakers are used.
void GroupCommit::wake_callers() noexcept {
  wakers_.clear();
  bool threads_wait = false;
  {
    const std::lock_guard lock(mutex_);
    for (const Group* callers : {&group_, &dropped_}) {
      for (Pending* pending : *callers) {
        pending->stage = Pending::Stage::done;
        if (pending->waker) {
          wakers_.push_back(pending->waker);
        } else {
          threads_wait = true;
        }
      }
    }
  }
  if (!wakers_.empty()) runtime::wake_all(wakers_);
  if (threads_wait) done_.notify_all();
}

// After the callers were woken, so that nobody's answer waits for it; what queues meanwhile does.
void GroupCommit::checkpoint_if_due() noexcept {
  if (connection_ && connection_->pages_to_checkpoint() >= options_.checkpoint_pages)
    connection_->checkpoint();
}

void GroupCommit::reopen_if_needed() {
  if (connection_ && !connection_->needs_reopening()) return;
  transaction_.reset();
  connection_.reset();
  connection_ = std::make_unique<Connection>(writer_options(options_), counters_);
  transaction_.emplace(*connection_);
  data_version_ = 0;  // unknown: the next look tells the watchers
}

// --- Other processes ---------------------------------------------------------------------------------

void GroupCommit::look_for_external_changes() {
  {
    const std::lock_guard lock(mutex_);
    look_outside_ = true;
    writer_idle_ = false;
  }
  if (runtime_.simulated()) {
    drain_on_loop();
  } else {
    work_.notify_one();
  }
}

void GroupCommit::compare_data_version() noexcept {
  try {
    reopen_if_needed();
    const std::int64_t version = connection_->data_version();
    if (version == std::exchange(data_version_, version)) return;
  } catch (...) {
    return;  // counted by kind; the next look tries again
  }
  counters_.external_changes.add();
  const std::lock_guard lock(mutex_);
  for (runtime::Signal* signal : watchers_) signal->notify();
}

void GroupCommit::add_watcher(runtime::Signal& signal) {
  const std::lock_guard lock(mutex_);
  watchers_.push_back(&signal);
}

void GroupCommit::remove_watcher(runtime::Signal& signal) {
  const std::lock_guard lock(mutex_);
  const auto found = std::find(watchers_.begin(), watchers_.end(), &signal);
  if (found != watchers_.end()) watchers_.erase(found);
}

bool GroupCommit::watched() const {
  const std::lock_guard lock(mutex_);
  return !watchers_.empty();
}

}  // namespace holdfast::sql::sqlite
