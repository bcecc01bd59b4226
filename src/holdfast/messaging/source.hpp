// Source: where a broker's messages come from; one adapter a kind of broker (the outbox table itself, NATS
// JetStream …). All that makes handling reliable (leases, fences, parking, dead letters, inbox, progress) is
// above it, once, in broker.hpp; so an adapter is small. Its other half is Sink (sink.hpp).
//
// What an adapter owes, for each bucket of a group:
//  - every message of the group's topics, in the order of their positions (the outbox's, on any broker);
//  - it may give a message twice between two open()s of different processes, but within one open() positions
//    only ever grow: what comes again below that is a duplicate and left out;
//  - after open() it begins at or before the first message above the position that is recorded.
// Thread-safety: everything from the broker's loop only.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "holdfast/messaging/message.hpp"
#include "holdfast/runtime/context.hpp"
#include "holdfast/runtime/sync.hpp"

namespace holdfast::messaging {

struct SubscriptionOptions;

/// A set of buckets: bit b is bucket b.
using BucketMask = std::uint64_t;
static_assert(kBuckets == 64, "a BucketMask has a bit a bucket");

constexpr BucketMask mask_of(int bucket) noexcept { return BucketMask{1} << bucket; }

/// Buckets that have been read equally far.
struct Cohort {
  std::int64_t read_to = 0;
  BucketMask buckets = 0;
};

struct ReadResult {
  std::vector<Message> messages;  ///< in order of position; `group` and `attempt` are not set
  std::int64_t read_to = 0;       ///< everything of the cohort up to here is in `messages`; 0: not known
  bool more = false;              ///< a limit ended it: there is more at once
  /// Of single buckets, where it is not known of the cohort: everything up to here is in `messages`.
  std::vector<std::pair<int, std::int64_t>> passed = {};
};

/// One group's, in one process.
class Reader {
 public:
  virtual ~Reader() = default;
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  /// This process has the bucket's lease: messages after `position` are wanted. `cursor` is the last that
  /// cursor() gave and that was stored, by whichever process; empty where none was.
  virtual void open(int /*bucket*/, std::int64_t /*position*/, const std::string& /*cursor*/) {}
  /// It has it no more, or is done.
  virtual void close(int /*bucket*/) noexcept {}

  /// What has come for `cohorts`, a result each. Of one bucket no more than half of read_ahead at a time.
  /// `head` grows to the highest position known. May wait; throws Error to be asked again.
  virtual std::vector<ReadResult> read(const Context& ctx, const std::vector<Cohort>& cohorts,
                                       std::int64_t& head) = 0;

  /// All up to `position` is recorded: the broker need not keep it for this group. Called when a lease is
  /// renewed, not for each message.
  virtual void recorded(int /*bucket*/, std::int64_t /*position*/) {}
  /// From where a later open() may go on: at or before the first message that is not recorded. It is stored
  /// with the lease, up to a heartbeat later. Empty where the position says it all.
  virtual std::string cursor(int /*bucket*/) const { return {}; }

  /// Whether ReadResult::read_to grows without messages, too. If not, a bucket's position may stay behind
  /// `head` though nothing of it is waiting.
  virtual bool contiguous() const noexcept { return true; }

  /// Notified when there may be something to read.
  virtual runtime::Signal& changed() noexcept = 0;

 protected:
  Reader() = default;
};

class Source {
 public:
  virtual ~Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  /// At subscribe(). `options` outlives the reader.
  virtual std::unique_ptr<Reader> reader(const SubscriptionOptions& options) = 0;

  /// Where a group that wants only what is published from now on begins. None: at the outbox's end.
  virtual std::optional<std::int64_t> end(const Context& /*ctx*/) { return std::nullopt; }

  /// Around the broker's run.
  virtual void start(const Context& /*ctx*/) {}
  virtual void stop() noexcept {}

 protected:
  Source() = default;
};

}  // namespace holdfast::messaging
