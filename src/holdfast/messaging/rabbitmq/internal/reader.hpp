// StreamReader: one group's reader. For each bucket that is open it has a consumer on the bucket's stream,
// from the offset before what is next, which must be there; all are on one channel, with manual
// acknowledgements, which on a stream say nothing but that there is room for more. Offsets have no gaps;
// where one is missing, the server has dropped what was too old. After a lost connection, channel or consumer
// another one goes on behind the last message that came.
//
// Everything happens in read(). Thread-safety: one loop.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "holdfast/messaging/rabbitmq/internal/log.hpp"
#include "holdfast/messaging/subscription.hpp"

namespace holdfast::messaging::rabbitmq {

class StreamReader final : public Reader {
 public:
  /// Both outlive it.
  StreamReader(Log& log, const SubscriptionOptions& options);
  ~StreamReader() override;

  void open(int bucket, std::int64_t position, const std::string& cursor) override;
  void close(int bucket) noexcept override;
  std::vector<ReadResult> read(const Context& ctx, const std::vector<Cohort>& cohorts,
                               std::int64_t& head) override;
  void recorded(int bucket, std::int64_t position) override;
  std::string cursor(int bucket) const override;
  bool contiguous() const noexcept override { return false; }
  runtime::Signal& changed() noexcept override { return changed_; }

 private:
  /// A message on its way, and the offset behind it or behind the last one that was passed over after it.
  struct Waiting {
    Message message;
    std::int64_t next;
    std::uint64_t tag;
  };
  struct Given {
    std::int64_t position;
    std::int64_t next;
  };
  struct Consumer {
    std::string name;
    std::shared_ptr<Mailbox> mailbox;  // shared with the channel, which fills it
    Instant made_at;
    bool begun = false;  // something has come
  };
  struct Bucket {
    int number;
    std::int64_t passed;         // the position of the last message that was taken
    std::string identity;        // the log's, that the offsets are of
    std::int64_t next = -1;      // the offset behind the last message that came; -1: nothing is known
    std::int64_t recorded = -1;  // everything before this offset is recorded
    std::deque<Waiting> waiting;
    std::deque<Given> given;  // to the broker, and not recorded
    std::unique_ptr<Consumer> consumer;
  };

  void make_channel(const Context& ctx);
  void make_consumers(const Context& ctx);
  void start_consumer(Bucket& bucket, std::string& frames);
  void collect(Bucket& bucket, std::int64_t& head, std::string& acks);
  bool collect_one(Bucket& bucket, Delivery&& delivery, std::int64_t& head, std::string& acks);
  void pass_over(Bucket& bucket, std::int64_t next);
  void drop_consumer(Bucket& bucket, const char* why) noexcept;
  void drop_channel(const char* why) noexcept;
  bool wanted(const std::string& topic) const noexcept;

  Log& log_;
  const SubscriptionOptions& options_;
  runtime::Signal changed_;
  std::shared_ptr<Channel> channel_;
  std::uint64_t generation_ = 0;  // of the connection that channel_ is on
  std::uint64_t consumers_ = 0;   // made so far: their names
  Instant not_before_{};          // after a failure
  std::array<std::unique_ptr<Bucket>, kBuckets> buckets_;
};

}  // namespace holdfast::messaging::rabbitmq
