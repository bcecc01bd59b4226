#include "holdfast/sql/postgres/group_commit.hpp"

#include <algorithm>
#include <utility>

#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/loop.hpp"
#include "holdfast/sql/postgres/classify.hpp"

namespace holdfast::sql::postgres {
namespace {

// How many groups go on with savepoints after one in which a body failed.
constexpr std::size_t kCarefulGroups = 32;

// Names remembered of bodies that go on after a failed statement; they are literals, so few.
constexpr std::size_t kMaxNames = 256;

// A single body gains nothing from a fiber of its own.
constexpr std::size_t kFewestInterleaved = 2;

// How often a group is run interleaved, each time without those found to need a run of their own.
constexpr std::size_t kMaxInterleavings = 3;

// When the queue is full.
constexpr auto kRetryWhenFull = std::chrono::milliseconds(250);

// The pause before a group that lost is run again: up to this, or to what the attempt took, doubled each
// time.
constexpr Duration kFirstPause = std::chrono::milliseconds(2);
constexpr Duration kLongestPause = std::chrono::milliseconds(250);

// Once somebody was found to hold a lock: who needs it fails so soon, and the others of its group go on.
constexpr Duration kShortLockWait = std::chrono::milliseconds(50);
constexpr Duration kLockSuspected = std::chrono::seconds(2);

// "holdfast" in ASCII: every process's groups take turns at it, however long that takes. What waits for other
// locks from then on waits for somebody who takes no turns.
constexpr const char* kBeginInTurn =
    "begin; select pg_advisory_xact_lock(7525352680829580148), set_config('lock_timeout', '";

std::exception_ptr expired(const Context& ctx, const char* name) {
  try {
    ctx.check(name);
    throw Error(ErrorCode::deadline_exceeded, "The time for this ran out.").cause(name);
  } catch (...) {
    return std::current_exception();
  }
}

bool over(const Context& ctx) { return ctx.cancelled() || ctx.deadline() <= ctx.now(); }

}  // namespace

GroupCommit::GroupCommit(runtime::Runtime& runtime, std::size_t loop, const Options& options,
                         std::string notification, Counters& counters)
    : runtime_(runtime),
      options_(options),
      notification_(std::move(notification)),
      counters_(counters),
      reconnect_(options, runtime.clock(), runtime.random()),
      most_interleaved_(options.max_interleaved) {
  runtime_.spawn_on(loop, "sql writer", [this] { write_until_closed(); });
}

GroupCommit::~GroupCommit() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  work_.notify();
  if (runtime::on_fiber()) ended_.wait(runtime_.context(), "the last transactions");
}

// --- The queue ---------------------------------------------------------------------------------------

void GroupCommit::push(Pending& pending) noexcept {
  pending.previous = last_;
  (last_ != nullptr ? last_->next : first_) = &pending;
  last_ = &pending;
  counters_.queue_depth.set(++queued_);
}

void GroupCommit::push_front(Pending& pending) noexcept {
  pending.next = first_;
  (first_ != nullptr ? first_->previous : last_) = &pending;
  first_ = &pending;
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
  while (first_ != nullptr) {
    Pending& pending = *first_;
    const bool serial = pending.isolation == Isolation::serial;
    if (group_.size() >= (serial ? options_.max_group : most_interleaved_)) break;
    unlink(pending);
    pending.stage = Pending::Stage::taken;
    group_.push_back(&pending);
  }
}

// A group that takes long, or is too large, leaves the rest to the next one. Those stay `taken`, as the lane
// alone ends their wait from here on.
void GroupCommit::put_back_from(std::size_t first) {
  const std::lock_guard lock(mutex_);
  while (group_.size() > first) {
    group_.back()->apart = false;
    push_front(*group_.back());
    group_.pop_back();
  }
}

// --- The callers -------------------------------------------------------------------------------------

void GroupCommit::run(const Context& ctx, const char* name, Isolation isolation,
                      FunctionRef<void(Transaction&)> body) {
  ctx.check(name);
  Pending pending{.ctx = ctx, .name = name, .isolation = isolation, .body = body};
  const bool on_fiber = runtime::on_fiber();
  if (on_fiber || runtime::NoWaitScope::current() != nullptr) {
    pending.waker = runtime::prepare_wait(name);  // refuses, naming both, inside another body
  }
  enqueue(pending);
  on_fiber ? wait_on_fiber(pending) : wait_on_thread(pending);
  if (pending.failure) std::rethrow_exception(std::move(pending.failure));
}

void GroupCommit::enqueue(Pending& pending) {
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
    if (queued_ > 1) return;  // whoever queued the first has told the lane
  }
  work_.notify();
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
      // Its body runs, or is about to, and refers to this stack: now only the lane ends the wait.
      pending.waker = runtime::prepare_wait(pending.name);
    }
    runtime::park_uninterruptible(pending.name);
  }
  std::rethrow_exception(expired(pending.ctx, pending.name));
}

void GroupCommit::wait_on_thread(Pending& pending) {
  std::unique_lock lock(mutex_);
  done_.wait(lock, [&] { return pending.stage == Pending::Stage::done; });
}

// --- The lane ----------------------------------------------------------------------------------------

void GroupCommit::write_until_closed() {
  const Context ctx = runtime_.context();
  for (;;) {
    const std::uint64_t seen = work_.version();
    bool has_work = false;
    {
      const std::lock_guard lock(mutex_);
      has_work = first_ != nullptr;
      if (!has_work && closing_) break;
    }
    if (has_work) {
      write_group();
    } else {
      notify_if_owed();
      work_.wait_past(ctx, seen, "transactions to commit");
    }
  }
  interleaved_.reset();
  transaction_.reset();
  connection_.reset();
  ended_.open();
}

void GroupCommit::write_group() {
  std::exception_ptr refused;
  try {
    begin();
  } catch (...) {
    refused = std::current_exception();
  }
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
  wake_callers();
}

void GroupCommit::connect() {
  if (connection_ != nullptr && !connection_->broken() && !connection_->expired(runtime_.clock().now()))
    return;
  interleaved_.reset();
  transaction_.reset();
  connection_.reset();
  reconnect_.require_due();
  try {
    connection_ = Connection::open(runtime_.context(), options_, Connection::Use::writer, counters_);
    reconnect_.connected();
  } catch (const DatabaseError& failure) {
    reconnect_.failed(failure);
    throw;
  }
  transaction_.emplace(*connection_);
  interleaved_.emplace(*connection_);
}

// A connection that was lost while it was idle is replaced once, unseen.
void GroupCommit::begin() {
  const bool used_before = connection_ != nullptr && !connection_->broken();
  for (bool again = used_before;; again = false) {
    connect();
    transaction_->forget();
    try {
      connection_->run_script(runtime_.context().with_timeout(options_.turn_timeout), begin_script());
      return;
    } catch (const DatabaseError&) {
      if (!again || !connection_->broken()) throw;
    } catch (const Error&) {
      throw lost("waiting for this process's turn to write", "it did not come within turn_timeout");
    }
  }
}

std::string GroupCommit::begin_script() const {
  if (options_.writers == Writers::side_by_side) return "begin";
  const bool suspected = runtime_.clock().now() < locks_until_;
  const Duration wait = suspected ? std::min(kShortLockWait, options_.lock_timeout) : options_.lock_timeout;
  return kBeginInTurn + std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(wait).count()) +
         "', true)";
}

void GroupCommit::note_lock(const DatabaseError& failure) noexcept {
  if (waited_for_lock(failure)) locks_until_ = runtime_.clock().now() + kLockSuspected;
}

// The callers of these have given up, or are about to: doing the work would be for nobody, and they need not
// wait for the others' end.
void GroupCommit::drop_expired() {
  const auto live = std::stable_partition(group_.begin(), group_.end(),
                                          [](const Pending* pending) { return !over(pending->ctx); });
  for (auto dropped = live; dropped != group_.end(); ++dropped) {
    counters_.expired_in_queue.add();
    (*dropped)->failure = expired((*dropped)->ctx, (*dropped)->name);
  }
  dropped_.assign(live, group_.end());
  group_.erase(live, group_.end());
  wake(dropped_);
}

void GroupCommit::run_group() {
  bool careful = group_.size() > 1 && careful_groups_ > 0;
  if (careful) --careful_groups_;
  for (std::size_t tried = 1;; ++tried) {
    const Instant began = runtime_.clock().now();
    try {
      return attempt(careful);
    } catch (const DatabaseError& failure) {
      if (tried >= options_.max_attempts || !worth_another(failure)) throw;
    }
    counters_.group_reruns.add();
    roll_back();
    pause_before(tried, runtime_.clock().now() - began);
    drop_expired();
    if (group_.empty()) return;
    begin();
  }
}

void GroupCommit::attempt(bool& careful) {
  std::size_t again = 0;
  for (Bodies how = run_bodies(careful); how != Bodies::done; how = run_bodies(careful)) {
    if (how == Bodies::run_again_carefully) {
      if (group_.size() == 1 && !runs_differently(group_.front()->name)) {
        roll_back();  // its failure is known, and there is nobody else
        counters_.rolled_back.add();
        return;
      }
      careful = true;
      careful_groups_ = kCarefulGroups;
    } else if (++again >= kMaxInterleavings) {
      set_all_apart();
    }
    run_again();
    if (group_.empty()) return roll_back();
  }
  try {
    commit();
  } catch (const DatabaseError& failure) {
    // A deferred constraint of one of them.
    const bool of_a_body = failure.kind() == FailureKind::foreign_key ||
                           failure.kind() == FailureKind::unique || failure.kind() == FailureKind::check;
    const bool alone = group_.size() == 1 || (careful && interleavable_first() < kFewestInterleaved);
    if (alone || !of_a_body) throw;
    careful = true;
    set_all_apart();
    run_again();
    if (group_.empty()) return roll_back();
    static_cast<void>(run_bodies(careful));
    commit();
  }
}

void GroupCommit::run_again() {
  counters_.group_reruns.add();
  roll_back();
  drop_expired();
  // A savepoint each: more of them are slow to look up.
  const std::size_t alone = group_.size() - interleavable_first();
  if (alone > options_.max_group) put_back_from(group_.size() - (alone - options_.max_group));
  begin();
}

GroupCommit::Bodies GroupCommit::run_bodies(bool careful) {
  const Instant began = runtime_.clock().now();
  std::size_t first = interleavable_first();
  if (first < kFewestInterleaved) {
    first = 0;
  } else {
    const bool well = run_interleaved(first);
    limit_interleaved(first, runtime_.clock().now() - began);
    if (!well) return Bodies::run_again;
  }
  for (std::size_t i = first; i < group_.size(); ++i) {
    const bool own_savepoint = careful || group_[i]->apart;
    const bool well = run_body(*group_[i], own_savepoint);
    if (connection_->broken()) throw lost("running a transaction", "the connection was lost");
    if (transaction_->lost_race()) {
      throw DatabaseError(FailureKind::serialization, "It lost against a concurrent change; try again.",
                          group_[i]->name);
    }
    if (!well && !own_savepoint) return Bodies::run_again_carefully;
    if (runtime_.clock().now() - began > options_.max_group_time) put_back_from(i + 1);
  }
  return Bodies::done;
}

// What runs side by side can't be left to the next group once it has begun: where it took too long, the next
// ones are smaller.
void GroupCommit::limit_interleaved(std::size_t count, Duration took) {
  if (took > options_.max_group_time)
    most_interleaved_ = std::max(kFewestInterleaved, count / 2);
  else if (took < options_.max_group_time / 2)
    most_interleaved_ = std::min(options_.max_interleaved, most_interleaved_ * 2);
}

// How many may be interleaved; they come first.
std::size_t GroupCommit::interleavable_first() {
  const auto others = std::stable_partition(group_.begin(), group_.end(), [](const Pending* pending) {
    return pending->isolation == Isolation::read_committed && !pending->apart;
  });
  return static_cast<std::size_t>(others - group_.begin());
}

void GroupCommit::set_all_apart() noexcept {
  for (Pending* pending : group_) pending->apart = true;
}

// False where some have to be run by themselves, hence all again. Which one's statement failed is not always
// known, so none of them is tried together again.
bool GroupCommit::run_interleaved(std::size_t count) {
  std::vector<Interleaved::Guest> guests;
  guests.reserve(count);
  for (std::size_t i = 0; i < count; ++i)
    guests.push_back({.name = group_[i]->name, .body = group_[i]->body});
  try {
    interleaved_->run(context_of(std::span(group_).first(count)), guests, *transaction_);
  } catch (const DatabaseError& failure) {
    if (connection_->broken() || failure.kind() == FailureKind::serialization ||
        failure.kind() == FailureKind::deadlock) {
      throw;
    }
    note_lock(failure);
    for (std::size_t i = 0; i < count; ++i) group_[i]->apart = true;
    return false;
  } catch (const Error&) {
    // Their time was over, and the statement stopped; that of the others in the group is not.
    if (connection_->broken() || runtime_.context().cancelled()) throw;
    for (std::size_t i = 0; i < count; ++i) group_[i]->apart = true;
    return false;
  }
  bool all = true;
  for (std::size_t i = 0; i < count; ++i) {
    group_[i]->failure = std::move(guests[i].failure);
    group_[i]->apart = guests[i].apart;
    all = all && !guests[i].apart;
  }
  return all;
}

// Whether it is known how a body of this name has to be run, which may be another way than it was.
bool GroupCommit::runs_differently(const char* name) const {
  return goes_on_.contains(name) || rolls_back_.contains(name);
}

// False where it failed; its failure is kept.
bool GroupCommit::run_body(Pending& pending, bool careful) {
  pending.failure = nullptr;
  if (over(pending.ctx)) {
    pending.failure = expired(pending.ctx, pending.name);
    return careful;
  }
  try {
    for (;;) {
      const bool each_statement = goes_on_.contains(pending.name);
      const bool savepoints = careful || each_statement || rolls_back_.contains(pending.name);
      const OpenTransaction::Mode mode{
          .own_savepoint = careful, .savepoints = savepoints, .each_statement = each_statement};
      const OpenTransaction::Ending ending =
          transaction_->run_body(pending.ctx, pending.name, pending.body, mode);
      if (ending == OpenTransaction::Ending::well) return true;
      const bool went_on = ending == OpenTransaction::Ending::went_on;
      if (connection_->broken() || (went_on ? each_statement : savepoints)) {
        throw DatabaseError(FailureKind::other, "A statement failed.",
                            std::string("the transaction was lost in '") + pending.name + "'");
      }
      auto& names = went_on ? goes_on_ : rolls_back_;
      if (names.size() >= kMaxNames) names.clear();
      names.insert(pending.name);
      if (!careful) return false;
    }
  } catch (const DatabaseError& failure) {
    note_lock(failure);
    pending.failure = std::current_exception();
  } catch (...) {
    pending.failure = std::current_exception();
  }
  return false;
}

// A connection lost before the commit was sent, or a race lost: nothing of it is there.
bool GroupCommit::worth_another(const DatabaseError& failure) {
  if (failure.kind() == FailureKind::serialization || failure.kind() == FailureKind::deadlock) return true;
  return failure.kind() == FailureKind::unavailable && connection_ != nullptr && connection_->broken();
}

// In proportion to the attempt: on a machine that is slow, short pauses would bring the same ones together.
void GroupCommit::pause_before(std::size_t attempt, Duration took) {
  const Duration most =
      std::min(kLongestPause, std::max(kFirstPause, took) * (1 << std::min<std::size_t>(attempt, 6)));
  const auto nanoseconds = runtime_.random().below(static_cast<std::uint64_t>(most.count()));
  runtime::sleep_for(runtime_.context(), Duration(static_cast<std::int64_t>(nanoseconds)));
}

// --- The commit --------------------------------------------------------------------------------------

// Until the last of them has no more time: past it nobody waits for the answer.
Context GroupCommit::context_of(std::span<Pending* const> some) const {
  Instant latest{};
  for (const Pending* pending : some) latest = std::max(latest, pending->ctx.deadline());
  return runtime_.context().with_deadline(latest);
}

// Under load one notification an interval; before a lull always, so that none is missed.
std::string GroupCommit::commit_script() {
  const Instant now = runtime_.clock().now();
  bool last = false;
  {
    const std::lock_guard lock(mutex_);
    last = first_ == nullptr;
  }
  notification_owed_ = true;
  if (!last && now - notified_at_ < options_.notify_interval) return "commit";
  notified_at_ = now;
  return notification_ + "; commit";
}

void GroupCommit::commit() {
  const Instant began = runtime_.clock().now();
  const std::string script = commit_script();
  std::string tag;
  try {
    tag = connection_->commit(context_of(group_), script);
  } catch (const DatabaseError& failure) {
    counters_.failed_commits.add();
    if (!connection_->broken()) throw;
    throw DatabaseError(FailureKind::commit_unknown,
                        "Whether this was done is not known; look before trying again.", failure.cause());
  } catch (const Error& error) {
    counters_.failed_commits.add();
    throw DatabaseError(FailureKind::commit_unknown,
                        "Whether this was done is not known; look before trying again.", error.what());
  }
  if (tag != "COMMIT") {
    counters_.failed_commits.add();
    throw DatabaseError(FailureKind::other, "A statement failed.", "the commit was answered with " + tag);
  }
  if (script.size() > sizeof("commit")) notification_owed_ = false;
  count_commit(runtime_.clock().now() - began);
  transaction_->committed();
}

void GroupCommit::count_commit(Duration took) {
  std::uint64_t failed = 0;
  for (const Pending* pending : group_) failed += pending->failure ? 1 : 0;
  counters_.rolled_back.add(failed);
  counters_.transactions.add(group_.size() - failed);
  counters_.groups.add();
  counters_.write_failure.clear();
  counters_.largest_group.raise_to(group_.size());
  counters_.commit_nanoseconds.add(static_cast<std::uint64_t>(took.count()));
  counters_.longest_commit_nanoseconds.raise_to(static_cast<std::uint64_t>(took.count()));
}

// Where a later group that was to tell the others has failed.
void GroupCommit::notify_if_owed() noexcept {
  if (!notification_owed_ || connection_ == nullptr || connection_->broken()) return;
  notification_owed_ = false;
  try {
    connection_->run_script(runtime_.context(), notification_);
  } catch (...) {  // the others' slow look finds it
  }
}

// A body that threw had seen what is now undone, so it too is told of what undid it.
void GroupCommit::fail_all(const std::exception_ptr& failure) noexcept {
  for (Pending* pending : group_) pending->failure = failure;
}

void GroupCommit::roll_back() noexcept {
  if (transaction_) transaction_->forget();
  if (connection_ == nullptr || connection_->broken() || !connection_->in_transaction()) return;
  try {
    connection_->run_script(runtime_.context(), "rollback");
  } catch (...) {
    interleaved_.reset();
    transaction_.reset();
    connection_.reset();
  }
}

void GroupCommit::wake_callers() noexcept { wake(group_); }

// Once a Pending is done its caller may be gone, stack and all: only the copies of the wakers are used.
void GroupCommit::wake(Group& callers) noexcept {
  wakers_.clear();
  bool threads_wait = false;
  {
    const std::lock_guard lock(mutex_);
    for (Pending* pending : callers) {
      pending->stage = Pending::Stage::done;
      if (pending->waker) {
        wakers_.push_back(pending->waker);
      } else {
        threads_wait = true;
      }
    }
    callers.clear();
  }
  if (!wakers_.empty()) runtime::wake_all(wakers_);
  if (threads_wait) done_.notify_all();
}

}  // namespace holdfast::sql::postgres
