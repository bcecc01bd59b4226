// Consumer: one group's work in this process. One fiber reads the log ahead into a queue a bucket; up to
// `concurrency` fibers take whole buckets, a batch at a time, and handle their messages one after the
// other. So messages of a key come in order, and a slow bucket holds up no other. Progress outside of
// transactions is recorded by one more fiber, for all buckets at once, while they go on.
//
// Which buckets are here is decided by membership.hpp, through give() and the verbs after it.
// Thread-safety: all of it on one loop; only wake() from elsewhere.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "holdfast/messaging/engine/internal/leases.hpp"
#include "holdfast/messaging/engine/internal/parking.hpp"
#include "holdfast/messaging/engine/internal/worker_state.hpp"
#include "holdfast/messaging/source.hpp"
#include "holdfast/messaging/subscription.hpp"
#include "holdfast/runtime/cancellation.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/sync.hpp"

namespace holdfast::messaging::engine {

class Consumer {
 public:
  /// `worker` must outlive it.
  Consumer(WorkerState& worker, SubscriptionOptions options, Handler handler);

  const SubscriptionOptions& options() const noexcept { return options_; }

  /// Starts its fibers in `fibers`, which must outlive them; they end after WorkerState::stopping was set
  /// and wake() called.
  void spawn(runtime::FiberGroup& fibers);
  void wake() noexcept;
  /// The dispatcher looks at its buckets again.
  void look_again() noexcept { reader_->changed().notify(); }
  /// Records what is handled and not recorded yet. Throws what the database throws.
  void record_progress(const Context& ctx);

  // Leases, for Membership.

  std::int64_t bucket_count() const noexcept;
  BucketMask buckets() const noexcept;
  /// The bucket is this process's from now on.
  void give(const TakenLease& lease, std::vector<ParkedKey> parked, std::int64_t parked_rows);
  /// The bucket is somebody else's: its handlers are cancelled, what they did is not recorded.
  void lose(int bucket);
  void lose_all();
  /// Drops all buckets but those of `held` with the same fence.
  void keep_only(const std::vector<HeldLease>& held);
  /// Stops handling `count` buckets; they turn up in take_released() when nothing of them runs.
  void give_up(std::int64_t count);
  struct Released {
    Lease lease;
    std::int64_t handled_to = 0;
  };
  std::vector<Released> take_released();
  /// Keys whose messages were redriven.
  void adopt(const std::vector<ParkedKey>& keys);
  /// Buckets that have nothing to do and were read further than is recorded.
  std::vector<Cohort> idle_progress() const;
  void idle_progress_recorded(const std::vector<Cohort>& cohorts);
  struct Cursor {
    Lease lease;
    std::string cursor;
  };
  /// Tells the reader what is recorded; what it would go on from, where that has changed.
  std::vector<Cursor> cursors();
  void export_gauges() const;
  /// A worker that has lived for so long was not ended by a message of this group: longer than any message
  /// waits for its next attempt.
  Duration calm() const noexcept;

 private:
  struct Bucket {
    TakenLease lease;              // with the position that is recorded
    std::int64_t read_to = 0;      // everything up to here was put into `queue`
    std::int64_t handled_to = 0;   // everything up to here is handled or parked
    std::uint64_t unrecorded = 0;  // messages handled between lease.position and handled_to
    std::deque<Message> queue;
    std::map<std::string, WallTime, std::less<>> parked;  // key → when its first message is due
    std::int64_t parked_rows = 0;
    std::optional<WallTime> next_due;  // the earliest of `parked`
    std::uint32_t store_failures = 0;  // in a row
    // Until then its messages are handled alone, each attempt written down before it is made.
    std::optional<Instant> suspect_until;
    bool busy = false;
    bool queued = false;  // in ready_
    bool lost = false;
    bool releasing = false;
    runtime::CancellationSource cancellation;
    std::string cursor;  // as it was stored last

    Bucket(const TakenLease& taken, const runtime::CancellationToken& parent)
        : lease(taken),
          read_to(taken.position),
          handled_to(taken.position),
          cancellation(parent),
          cursor(taken.cursor) {}

    bool suspect(Instant now) const noexcept { return suspect_until && now < *suspect_until; }
  };

  // Reading ahead.
  void dispatch(const Context& ctx);
  bool read_ahead(const Context& ctx);
  std::vector<Cohort> cohorts() const;
  void distribute(const Cohort& cohort, ReadResult&& result);
  std::optional<WallTime> next_due() const noexcept;

  // Recording, of external handlers.
  void run_recorder(const Context& ctx);

  // Handling.
  void start_workers() noexcept;
  void work(const Context& ctx);
  void release_now(Bucket& bucket);
  void drop(int bucket) noexcept;
  bool has_work(const Bucket& bucket, WallTime now) const noexcept;
  void make_ready(Bucket& bucket);
  Bucket* take_ready() noexcept;
  void serve(const Context& ctx, Bucket& bucket);
  void serve_suspect(const Context& ctx, Bucket& bucket);
  std::vector<Item> take_items(const Context& ctx, Bucket& bucket, std::size_t most);
  void handle(const Context& ctx, Bucket& bucket, std::vector<Item>& items);
  bool count_attempt(const Context& ctx, Bucket& bucket, Item& item);
  void put_back(Bucket& bucket, std::vector<Item>&& items, const std::vector<Result>& results);
  void handle_in_transaction(const Context& ctx, Bucket& bucket, std::vector<Item>& items);
  void handle_outside(const Context& ctx, Bucket& bucket, std::vector<Item>& items);
  std::vector<Result> run_outside(const Context& ctx, Bucket& bucket, std::vector<Item>& items);
  void record_outside(const Context& ctx, Bucket& bucket, const std::vector<Item>& items,
                      const std::vector<Result>& results);
  void apply(Bucket& bucket, const std::vector<Item>& items, const std::vector<Result>& results,
             const Recorded& recorded);
  void store_failed(const Context& ctx, Bucket& bucket, const std::exception& error);
  void refused(Bucket& bucket);
  void set_due(Bucket& bucket, const std::string& key, std::optional<WallTime> due);
  void after_serving(Bucket& bucket);

  Lease lease_of(const Bucket& bucket) const noexcept {
    return {.group = options_.group, .bucket = bucket.lease.bucket, .fence = bucket.lease.fence};
  }
  RecordSettings record_settings() const noexcept;
  Context handler_context(const Context& ctx, const Bucket& bucket, const Message& message) const;
  void observe_start(const Message& message) const;
  bool incomplete(const Message& message) const {
    return options_.completion.incomplete && options_.completion.incomplete(message);
  }
  std::shared_ptr<const Message> whole(const Context& ctx, const Bucket& bucket,
                                       const Message& message) const;

  WorkerState& worker_;
  const SubscriptionOptions options_;
  const Handler handler_;
  const std::unique_ptr<Reader> reader_;
  GroupMetrics metrics_;
  std::array<std::unique_ptr<Bucket>, kBuckets> buckets_;
  std::deque<int> ready_;
  runtime::FiberGroup* fibers_ = nullptr;
  std::size_t working_ = 0;   // fibers in work()
  runtime::Signal progress_;  // something is handled and not recorded
  std::vector<Released> released_;
  std::int64_t head_ = 0;  // the last position of all, as last seen
};

}  // namespace holdfast::messaging::engine
