// The handling half of Consumer: batches of one bucket through the handler, and what became of them.
#include <algorithm>
#include <limits>
#include <set>
#include <utility>

#include "holdfast/base/fault.hpp"
#include "holdfast/base/utf8.hpp"
#include "holdfast/messaging/engine/internal/consumer.hpp"
#include "holdfast/messaging/inbox.hpp"

namespace holdfast::messaging::engine {
namespace {

constexpr std::size_t kMaxErrorBytes = 2000;
constexpr std::string_view kEndedMeanwhile = "The process ended during this attempt.";
constexpr Duration kStoreTimeout = std::chrono::seconds(10);         ///< one try of recording
constexpr Duration kBetweenRecords = std::chrono::milliseconds(10);  ///< of a group; more messages a commit
constexpr resilience::BackoffOptions kStoreBackoff{.base = std::chrono::milliseconds(50),
                                                   .cap = std::chrono::seconds(2),
                                                   .jitter = resilience::Jitter::equal};

std::string shortened(std::string_view text) { return std::string(utf8_prefix(text, kMaxErrorBytes)); }

/// Whether the transaction itself is in trouble, rather than what the handler did in it.
bool concerns_transaction(const sql::DatabaseError& error) noexcept {
  switch (error.kind()) {
    case sql::FailureKind::serialization:
    case sql::FailureKind::deadlock:
    case sql::FailureKind::unavailable:
    case sql::FailureKind::closed:
    case sql::FailureKind::commit_unknown: return true;
    default: return false;
  }
}

/// Keys that wait for an earlier message: those parked, and those that fail in this very batch.
class Waiting {
 public:
  explicit Waiting(const std::map<std::string, WallTime, std::less<>>& parked) : parked_(parked) {}
  bool contains(std::string_view key) const { return parked_.contains(key) || failed_.contains(key); }
  void add(std::string_view key) { failed_.insert(key); }

 private:
  const std::map<std::string, WallTime, std::less<>>& parked_;
  std::set<std::string_view, std::less<>> failed_;
};

/// The last position of the log among what was begun; 0 where nothing of the log was.
std::int64_t handled_to(const std::vector<Item>& items, const std::vector<Result>& results) {
  std::int64_t position = 0;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (!items[i].parked && results[i].outcome != Outcome::untouched) position = items[i].message.position;
  }
  return position;
}

}  // namespace

// Handling fibers are started when there is work and end when there is none: an idle group has none, and
// nobody is woken for nothing.
void Consumer::start_workers() noexcept {
  // Transactional handlers run one at a time anyway, on the database's thread; the more batches are
  // under way, the more of them share a commit.
  const std::size_t most = std::holds_alternative<TransactionalHandler>(handler_)
                               ? kBuckets
                               : std::min<std::size_t>(options_.concurrency, kBuckets);
  while (working_ < std::min(most, ready_.size()) && !worker_.stopping && !worker_.stalled) {
    try {
      fibers_->spawn("message handler", [this](const Context& ctx) { work(ctx); });
      ++working_;
    } catch (const Error&) {
      return;  // no stack left; the dispatcher comes back to it
    }
  }
}

void Consumer::work(const Context& ctx) {
  while (!worker_.stopping && !worker_.stalled && !ctx.cancelled()) {
    Bucket* bucket = take_ready();
    if (bucket == nullptr) break;
    bucket->busy = true;
    try {
      serve(ctx, *bucket);
    } catch (const std::exception& error) {
      store_failed(ctx, *bucket, error);
    }
    bucket->busy = false;
    after_serving(*bucket);
    runtime::yield();
  }
  --working_;
}

bool Consumer::has_work(const Bucket& bucket, WallTime now) const noexcept {
  if (bucket.lost || bucket.releasing) return false;
  if (bucket.next_due && *bucket.next_due <= now) return true;
  const bool paused = bucket.parked_rows >= static_cast<std::int64_t>(options_.max_parked_per_bucket);
  return !bucket.queue.empty() && !paused;
}

void Consumer::make_ready(Bucket& bucket) {
  if (bucket.busy || bucket.queued) return;
  bucket.queued = true;
  ready_.push_back(bucket.lease.bucket);
  start_workers();
}

Consumer::Bucket* Consumer::take_ready() noexcept {
  while (!ready_.empty()) {
    Bucket* bucket = buckets_[static_cast<std::size_t>(ready_.front())].get();
    ready_.pop_front();
    if (bucket == nullptr || !bucket->queued) continue;  // it went, or came back under another lease
    bucket->queued = false;
    if (!bucket->busy && !bucket->lost && !bucket->releasing) return bucket;
  }
  return nullptr;
}

void Consumer::serve(const Context& ctx, Bucket& bucket) {
  if (worker_.lapsed()) return lose(bucket.lease.bucket);
  if (bucket.suspect(worker_.clock().now())) return serve_suspect(ctx, bucket);
  std::vector<Item> items = take_items(ctx, bucket, options_.batch);
  if (items.empty()) return;
  if (items.front().crashes < kSuspectAfter || options_.whole_bucket_in_order)
    return handle(ctx, bucket, items);
  // It stays parked until it is recorded, so there is nothing to put back where this throws or returns.
  const runtime::Permit alone(worker_.suspects, ctx, "waiting to handle a suspect message");
  if (bucket.lost || bucket.releasing || worker_.stopping) return;
  if (count_attempt(ctx, bucket, items.front())) handle(ctx, bucket, items);
}

/// Whether a handler ends its process shows only afterwards, when nobody is left to write it down: so it is
/// written down before. Alone, since all that ran beside it would be blamed as well.
void Consumer::serve_suspect(const Context& ctx, Bucket& bucket) {
  const runtime::Permit alone(worker_.suspects, ctx, "waiting to handle a suspect message");
  if (bucket.lost || bucket.releasing || worker_.stopping) return;
  std::vector<Item> items = take_items(ctx, bucket, 1);
  if (items.empty()) return;
  // One whose key waits for an earlier message is not handled now, only parked behind it.
  const bool behind = !items.front().parked && bucket.parked.contains(items.front().message.key);
  if (behind || count_attempt(ctx, bucket, items.front())) handle(ctx, bucket, items);
}

void Consumer::handle(const Context& ctx, Bucket& bucket, std::vector<Item>& items) {
  if (std::holds_alternative<TransactionalHandler>(handler_)) {
    handle_in_transaction(ctx, bucket, items);
  } else {
    handle_outside(ctx, bucket, items);
  }
}

/// One parked message that is due, or else up to `most` of the queue.
std::vector<Item> Consumer::take_items(const Context& ctx, Bucket& bucket, std::size_t most) {
  std::vector<Item> items;
  const WallTime now = worker_.wall_now();
  if (bucket.next_due && *bucket.next_due <= now) {
    const auto due =
        std::ranges::find_if(bucket.parked, [&](const auto& entry) { return entry.second <= now; });
    const std::string key = due->first;
    WallTime at{};
    auto first = worker_.database.read(
        ctx, [&](sql::Snapshot& snapshot) { return first_parked(snapshot, lease_of(bucket), key, at); });
    if (first && at <= now) {
      if (options_.whole_bucket_in_order) ++first->message.attempt;
      items.push_back(std::move(*first));
      return items;
    }
    set_due(bucket, key, first ? std::optional(at) : std::nullopt);
  }
  if (bucket.parked_rows >= static_cast<std::int64_t>(options_.max_parked_per_bucket)) return items;
  while (!bucket.queue.empty() && items.size() < most) {
    const bool alone = incomplete(bucket.queue.front());
    if (alone && !items.empty()) break;
    if (alone) most = 1;
    items.push_back({.message = std::move(bucket.queue.front())});
    bucket.queue.pop_front();
  }
  return items;
}

/// Writes the attempt down as failed before it is made: should it end the process, it counts. False where
/// it would be one too many: the message has become a dead letter.
bool Consumer::count_attempt(const Context& ctx, Bucket& bucket, Item& item) {
  const Lease lease = lease_of(bucket);
  const std::vector<Result> presumed{{.outcome = Outcome::failed, .error = std::string(kEndedMeanwhile)}};
  // One that ended the process in its last attempt was written down as failed before: this comes after.
  const bool one_too_many = item.parked && item.message.attempt > options_.max_attempts;
  Recorded recorded;
  try {
    recorded = worker_.database.transact(
        ctx.with_timeout(kStoreTimeout), "begin an attempt", [&](sql::Transaction& tx) {
          if (worker_.abandoned) throw Error(ErrorCode::cancelled, "The worker was abandoned.");
          advance(tx, lease, item.parked ? 0 : item.message.position);
          RecordSettings settings = record_settings();
          settings.crashes = kSuspectAfter;  // until a worker lives through an attempt
          if (!one_too_many) settings.max_attempts = std::numeric_limits<int>::max();
          return record(tx, lease, {item}, presumed, settings, worker_.wall_now());
        });
  } catch (const FenceRefused&) {
    refused(bucket);
    return false;
  } catch (...) {
    if (!item.parked) bucket.queue.push_front(std::move(item.message));
    throw;
  }
  if (!one_too_many) recorded.retried = 0;  // it has not failed yet
  apply(bucket, {item},
        one_too_many ? presumed : std::vector<Result>{{.outcome = Outcome::behind, .error = {}}}, recorded);
  item.parked = true;
  return !one_too_many;
}

/// What the handler is given: the message itself, or the whole of it. Throws what completing it throws.
std::shared_ptr<const Message> Consumer::whole(const Context& ctx, const Bucket& bucket,
                                               const Message& message) const {
  if (!incomplete(message)) return {std::shared_ptr<void>(), &message};  // not owned: it outlives the handler
  return options_.completion.complete(handler_context(ctx, bucket, message), message);
}

void Consumer::put_back(Bucket& bucket, std::vector<Item>&& items, const std::vector<Result>& results) {
  for (std::size_t i = items.size(); i-- > 0;) {
    if (!items[i].parked && results[i].outcome == Outcome::untouched)
      bucket.queue.push_front(std::move(items[i].message));
  }
}

// ---- effects in the database: one transaction a batch, a savepoint a message. Its beginning, the same for
// every batch, guards itself; from the first handler on it is alone.

void Consumer::handle_in_transaction(const Context& ctx, Bucket& bucket, std::vector<Item>& items) {
  const auto& handle = std::get<TransactionalHandler>(handler_).handle;
  struct Done {
    std::vector<Result> results;
    Recorded recorded;
  };
  const Lease lease = lease_of(bucket);
  const WallTime now = worker_.wall_now();
  for (const Item& item : items) observe_start(item.message);
  std::shared_ptr<const Message> completed;  // of one that came alone
  Result incomplete_still;
  if (incomplete(items.front().message)) {
    try {
      completed = whole(ctx, bucket, items.front().message);
    } catch (const std::exception& error) {
      if (bucket.cancellation.token().cancelled()) throw;  // told to stop, which is no failure
      incomplete_still = {.outcome = Outcome::failed, .error = shortened(error.what())};
    }
  }
  const auto handle_one = [&](sql::Transaction& tx, const Message& message, Result& result) {
    try {
      tx.savepoint([&] { handle(handler_context(ctx, bucket, message), tx, message); });
      result.outcome = Outcome::handled;
    } catch (const sql::DatabaseError& error) {
      if (concerns_transaction(error)) throw;
      result = {.outcome = Outcome::failed, .error = shortened(error.what())};
    } catch (const std::exception& error) {
      if (bucket.cancellation.token().cancelled()) throw;  // told to stop, which is no failure
      result = {.outcome = Outcome::failed, .error = shortened(error.what())};
    }
  };
  try {
    // Nothing of the bucket's memory changes while the body runs on another thread: busy is set.
    const Done done = worker_.database.transact(
        ctx.with_timeout(kStoreTimeout), "handle messages", sql::Isolation::read_committed,
        [&](sql::Transaction& tx) {
          if (worker_.abandoned) throw Error(ErrorCode::cancelled, "The worker was abandoned.");
          Done doing{.results = std::vector<Result>(items.size()), .recorded = {}};
          Waiting waiting(bucket.parked);
          const auto behind = [&](const Item& item) {
            return !item.parked && waiting.contains(item.message.key);
          };
          advance(tx, lease, items.back().parked ? 0 : items.back().message.position);
          std::vector<std::string_view> entering;
          for (const Item& item : items)
            if (!behind(item) && incomplete_still.outcome != Outcome::failed)
              entering.push_back(item.message.id);
          const std::vector<bool> entered = inbox::enter_all(tx, options_.group, entering, now);
          tx.alone();
          std::size_t next = 0;
          for (std::size_t i = 0; i < items.size(); ++i) {
            const Message& message = items[i].message;
            Result& result = doing.results[i];
            const bool has_entered = next < entering.size() && entering[next].data() == message.id.data();
            const bool is_first = has_entered && entered[next];
            next += has_entered ? 1 : 0;
            if (behind(items[i])) {
              result.outcome = Outcome::behind;
            } else if (incomplete_still.outcome == Outcome::failed) {
              result = incomplete_still;
            } else if (!is_first) {
              result.outcome = Outcome::duplicate;
            } else {
              handle_one(tx, completed ? *completed : message, result);
            }
            const bool handled = result.outcome == Outcome::handled;
            if (is_first && !handled) inbox::leave(tx, options_.group, message.id);
            if (result.outcome == Outcome::failed) waiting.add(message.key);
          }
          HOLDFAST_FAULT("messaging.after_handlers");
          doing.recorded = record(tx, lease, items, doing.results, record_settings(), now);
          HOLDFAST_FAULT("messaging.before_commit");
          return doing;
        });
    HOLDFAST_FAULT("messaging.after_commit");
    apply(bucket, items, done.results, done.recorded);
  } catch (const FenceRefused&) {
    refused(bucket);
  } catch (...) {
    put_back(bucket, std::move(items), std::vector<Result>(items.size()));
    throw;
  }
}

// ---- effects elsewhere: handle, then record

void Consumer::handle_outside(const Context& ctx, Bucket& bucket, std::vector<Item>& items) {
  const std::vector<Result> results = run_outside(ctx, bucket, items);
  if (worker_.abandoned || bucket.lost) return;
  const bool plain = !items.front().parked && std::ranges::all_of(results, [](const Result& result) {
    return result.outcome == Outcome::handled || result.outcome == Outcome::untouched;
  });
  if (plain) {
    // Nothing but a position to record: the bucket need not wait for it.
    bucket.handled_to = std::max(bucket.handled_to, handled_to(items, results));
    bucket.unrecorded +=
        static_cast<std::uint64_t>(std::ranges::count(results, Outcome::handled, &Result::outcome));
    progress_.notify();
  } else {
    record_outside(ctx, bucket, items, results);
  }
  if (!bucket.lost) put_back(bucket, std::move(items), results);
}

void Consumer::run_recorder(const Context& ctx) {
  for (std::uint32_t failures = 0; !worker_.stopping && !ctx.cancelled();) {
    const std::uint64_t seen = progress_.version();
    const Instant next = worker_.clock().now() + kBetweenRecords;
    try {
      record_progress(ctx);
      failures = 0;
      progress_.wait_past(ctx, seen, "waiting for progress to record");
      if (!worker_.stopping) runtime::park(ctx.with_deadline(next), "gathering progress to record");
    } catch (const Error& error) {
      if (ctx.cancelled()) return;
      metrics_.store_failures.add();
      worker_.logger.warn(ctx, "progress could not be recorded; it is tried again",
                          {{"group", options_.group}, {"error", error.what()}});
      runtime::park(
          ctx.with_timeout(resilience::backoff_delay(kStoreBackoff, failures++, worker_.runtime.random())),
          "waiting to record progress");
    }
  }
}

void Consumer::record_progress(const Context& ctx) {
  struct Progress {
    Lease lease;
    std::int64_t handled_to;
    std::uint64_t messages;
    bool refused;
  };
  std::vector<Progress> progress;
  for (const auto& bucket : buckets_) {
    if (bucket && !bucket->lost && bucket->handled_to > bucket->lease.position)
      progress.push_back({lease_of(*bucket), bucket->handled_to, bucket->unrecorded, false});
  }
  if (progress.empty()) return;
  progress = worker_.database.transact(ctx.with_timeout(kStoreTimeout), "record handled messages",
                                       [&](sql::Transaction& tx) {
                                         if (worker_.abandoned)
                                           throw Error(ErrorCode::cancelled, "The worker was abandoned.");
                                         std::vector<Progress> recorded = progress;
                                         for (Progress& one : recorded)
                                           one.refused = !try_advance(tx, one.lease, one.handled_to);
                                         return recorded;
                                       });
  HOLDFAST_FAULT("messaging.after_record");
  for (const Progress& one : progress) {
    const auto& bucket = buckets_[static_cast<std::size_t>(one.lease.bucket)];
    if (!bucket || bucket->lost || bucket->lease.fence != one.lease.fence) continue;
    if (one.refused) {
      refused(*bucket);
      continue;
    }
    bucket->lease.position = std::max(bucket->lease.position, one.handled_to);
    bucket->unrecorded -= std::min(bucket->unrecorded, one.messages);
    metrics_.handled.add(one.messages);
  }
}

std::vector<Result> Consumer::run_outside(const Context& ctx, Bucket& bucket, std::vector<Item>& items) {
  const auto& handle = std::get<ExternalHandler>(handler_).handle;
  std::vector<Result> results(items.size());
  Waiting waiting(bucket.parked);
  // What is done is recorded before a takeover would do much of it again.
  const Instant record_by = worker_.clock().now() + worker_.options.lease / 5;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const bool enough = i > 0 && (worker_.clock().now() >= record_by || worker_.stopping);
    if (enough || bucket.lost || worker_.abandoned || worker_.lapsed()) break;
    const Message& message = items[i].message;
    if (!items[i].parked && waiting.contains(message.key)) {
      results[i].outcome = Outcome::behind;
      continue;
    }
    observe_start(message);
    try {
      handle(handler_context(ctx, bucket, message), *whole(ctx, bucket, message));
      results[i].outcome = Outcome::handled;
      HOLDFAST_FAULT("messaging.after_external_handler");
    } catch (const std::exception& error) {
      // A handler that was told to stop has not failed; another worker gets the message.
      if (bucket.cancellation.token().cancelled() || options_.whole_bucket_in_order) break;
      results[i] = {.outcome = Outcome::failed, .error = shortened(error.what())};
      waiting.add(message.key);
    }
  }
  return results;
}

void Consumer::record_outside(const Context& ctx, Bucket& bucket, const std::vector<Item>& items,
                              const std::vector<Result>& results) {
  const bool nothing =
      std::ranges::all_of(results, [](const Result& result) { return result.outcome == Outcome::untouched; });
  if (nothing) return;
  const Lease lease = lease_of(bucket);
  // The effects have happened, so this is tried until it is recorded or the bucket is somebody else's;
  // also after a cancellation, but then not for long.
  for (std::uint32_t failures = 0; !bucket.lost && !worker_.abandoned; ++failures) {
    try {
      const WallTime now = worker_.wall_now();
      const Recorded recorded = worker_.database.transact(
          ctx.detached().with_timeout(kStoreTimeout), "record handled messages", [&](sql::Transaction& tx) {
            if (worker_.abandoned) throw Error(ErrorCode::cancelled, "The worker was abandoned.");
            advance(tx, lease, handled_to(items, results));
            return record(tx, lease, items, results, record_settings(), now);
          });
      HOLDFAST_FAULT("messaging.after_record");
      return apply(bucket, items, results, recorded);
    } catch (const FenceRefused&) {
      return refused(bucket);
    } catch (const Error& error) {
      metrics_.store_failures.add();
      worker_.logger.warn(ctx, "progress could not be recorded; it is tried again",
                          {{"group", options_.group}, {"bucket", lease.bucket}, {"error", error.what()}});
      if (ctx.cancelled()) return lose(bucket.lease.bucket);
      runtime::park(
          ctx.with_timeout(resilience::backoff_delay(kStoreBackoff, failures, worker_.runtime.random())),
          "waiting to record progress");
    }
  }
}

// ---- afterwards

void Consumer::apply(Bucket& bucket, const std::vector<Item>& items, const std::vector<Result>& results,
                     const Recorded& recorded) {
  for (std::size_t i = 0; i < items.size(); ++i) {
    const Message& message = items[i].message;
    metrics_.handled.add(results[i].outcome == Outcome::handled ? 1 : 0);
    metrics_.duplicates.add(results[i].outcome == Outcome::duplicate ? 1 : 0);
    if (results[i].outcome != Outcome::failed) continue;
    metrics_.failed.add();
    const bool last = message.attempt >= options_.max_attempts;
    worker_.logger.warn(last ? "a message became a dead letter" : "a message's handler failed",
                        {{"group", options_.group},
                         {"messageId", message.id},
                         {"type", message.type},
                         {"key", message.key},
                         {"attempt", message.attempt},
                         {"error", results[i].error}});
  }
  metrics_.retries.add(static_cast<std::uint64_t>(recorded.retried));
  metrics_.dead.add(static_cast<std::uint64_t>(recorded.dead));
  bucket.handled_to = std::max(bucket.handled_to, handled_to(items, results));
  bucket.lease.position = bucket.handled_to;
  metrics_.handled.add(std::exchange(bucket.unrecorded, 0));
  bucket.parked_rows = std::max<std::int64_t>(0, bucket.parked_rows + recorded.parked);
  bucket.store_failures = 0;
  for (const KeyDue& key : recorded.keys) set_due(bucket, key.key, key.due);
}

void Consumer::refused(Bucket& bucket) {
  metrics_.fence_refused.add();
  worker_.logger.warn(
      "a completion came too late and was refused: the bucket has another owner",
      {{"group", options_.group}, {"bucket", bucket.lease.bucket}, {"fence", bucket.lease.fence}});
  lose(bucket.lease.bucket);
}

void Consumer::store_failed(const Context& ctx, Bucket& bucket, const std::exception& error) {
  if (ctx.cancelled() || bucket.lost || worker_.abandoned) return;
  metrics_.store_failures.add();
  worker_.logger.warn(ctx, "messages could not be handled now; they are tried again",
                      {{"group", options_.group}, {"bucket", bucket.lease.bucket}, {"error", error.what()}});
  const Duration wait =
      resilience::backoff_delay(kStoreBackoff, bucket.store_failures++, worker_.runtime.random());
  try {
    runtime::sleep_for(ctx, wait);
  } catch (const Error&) {
    return;  // stopping
  }
}

void Consumer::after_serving(Bucket& bucket) {
  if (bucket.lost) return drop(bucket.lease.bucket);
  if (bucket.releasing) {
    release_now(bucket);
    worker_.membership.notify();
    return;
  }
  if (has_work(bucket, worker_.wall_now())) make_ready(bucket);
  const bool full = bucket.queue.size() * 2 > options_.read_ahead;
  const bool behind = bucket.read_to < head_;
  if ((!full && behind) || bucket.next_due) look_again();
}

RecordSettings Consumer::record_settings() const noexcept {
  return {.max_attempts = options_.max_attempts,
          .backoff = options_.backoff,
          .random = &worker_.runtime.random(),
          .ids = &worker_.ids};
}

Context Consumer::handler_context(const Context& ctx, const Bucket& bucket, const Message& message) const {
  return context_for(ctx.with_timeout(options_.handler_timeout), message, worker_.runtime.random(),
                     bucket.cancellation.token());
}

void Consumer::observe_start(const Message& message) const {
  if (message.attempt == 1) metrics_.delivery.observe(Duration(worker_.wall_now() - message.occurred_at));
}

}  // namespace holdfast::messaging::engine
