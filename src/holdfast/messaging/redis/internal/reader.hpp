// StreamReader: one group's reader of a log. A fiber of its own asks XREAD for what comes behind each open
// bucket's last message, on a connection of its own: at once where there is something, else blocking, until
// there is. What came waits in a queue a bucket for read(). Where the buckets to ask for change meanwhile,
// CLIENT UNBLOCK ends the wait.
//
// Thread-safety: one loop.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "holdfast/messaging/redis/internal/log.hpp"
#include "holdfast/messaging/subscription.hpp"
#include "holdfast/runtime/cancellation.hpp"

namespace holdfast::messaging::redis_streams {

class StreamReader final : public Reader {
 public:
  /// Both outlive it.
  StreamReader(Log& log, const SubscriptionOptions& options);
  ~StreamReader() override;

  /// Around the broker's run.
  void start();
  void stop() noexcept;
  /// The log is another one.
  void look_again() noexcept { wake_.notify(); }

  void open(int bucket, std::int64_t position, const std::string& cursor) override;
  void close(int bucket) noexcept override;
  std::vector<ReadResult> read(const Context& ctx, const std::vector<Cohort>& cohorts,
                               std::int64_t& head) override;
  void recorded(int bucket, std::int64_t position) override;
  bool contiguous() const noexcept override { return false; }
  runtime::Signal& changed() noexcept override { return changed_; }

 private:
  struct Bucket {
    int number;
    std::uint64_t opening;   // which open() it is of
    std::int64_t passed;     // the position of the last message that was taken
    std::string after;       // the id behind which reading goes on
    std::int64_t told;       // to the log, as recorded
    std::string identity{};  // the log's, that `after` is of
    std::deque<Message> waiting{};
    bool left_out = false;  // not asked for, since it has enough
  };
  struct Asked {
    int number;
    std::uint64_t opening;
    std::string after;
  };

  void run();
  void run_unblocker(const Context& ctx);
  bool read_some(const Context& ctx, holdfast::redis::Client& client, std::uint64_t seen);
  std::vector<Asked> choose();
  std::vector<holdfast::redis::Reply> ask(const Context& ctx, holdfast::redis::Client& client,
                                          const std::vector<Asked>& asked, Duration block);
  bool take(const holdfast::redis::Reply& reply, const std::vector<Asked>& asked);
  bool take_one(Bucket& bucket, const holdfast::redis::Reply& entry);
  bool wanted(const std::string& topic) const noexcept;

  Log& log_;
  const SubscriptionOptions& options_;
  runtime::Signal changed_;
  runtime::Signal wake_;  // other buckets are to be asked for
  std::array<std::unique_ptr<Bucket>, kBuckets> buckets_;
  std::uint64_t openings_ = 0;
  std::int64_t head_ = 0;
  std::size_t entries_ = 0;         // most of one answer: fewer once answers were too large
  int turn_ = 0;                    // the bucket that is asked for first, where not all can be
  std::int64_t blocked_as_ = 0;     // the connection's id at the server, while it waits there
  std::uint64_t blocked_seen_ = 0;  // wake_'s version then
  runtime::CancellationSource cancellation_;
  bool started_ = false;
  runtime::Latch ended_;
};

}  // namespace holdfast::messaging::redis_streams
