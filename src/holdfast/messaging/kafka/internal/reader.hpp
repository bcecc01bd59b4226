// PartitionReader: one group's reader of a topic, with a consumer instance of its own. The partitions of the
// buckets that are open are assigned to it by us, each with a queue of its own, from the offset that the
// lease's row names: there is no group to join and nothing to rebalance. A queue that is not emptied is
// filled no further, so what is not looked at is bounded.
//
// Everything happens in read(): partitions are started and stopped on a thread of the client's pool, for
// librdkafka waits there; then what has come is taken. Thread-safety: one loop.
#pragma once

#include <array>
#include <atomic>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "holdfast/messaging/kafka/internal/topic_log.hpp"
#include "holdfast/messaging/subscription.hpp"

namespace holdfast::messaging::kafka {

class PartitionReader final : public Reader {
 public:
  /// Both outlive it.
  PartitionReader(TopicLog& log, const SubscriptionOptions& options);
  ~PartitionReader() override;

  void open(int bucket, std::int64_t position, const std::string& cursor) override;
  void close(int bucket) noexcept override;
  std::vector<ReadResult> read(const Context& ctx, const std::vector<Cohort>& cohorts,
                               std::int64_t& head) override;
  void recorded(int bucket, std::int64_t position) override;
  std::string cursor(int bucket) const override;
  bool contiguous() const noexcept override { return false; }
  runtime::Signal& changed() noexcept override { return changed_; }

 private:
  struct Waiting {
    Message message;
    std::int64_t offset;
  };
  struct Given {
    std::int64_t position;
    std::int64_t offset;
  };
  struct Bucket {
    int number;
    std::int64_t passed;   // the position of the last message that was taken
    std::string identity;  // the log's, that the offsets are of
    std::int64_t from;     // where it begins, until it is placed
    bool placed = false;   // its partition is read from there on
    std::deque<Waiting> waiting = {};
    std::deque<Given> given = {};  // to the broker, and not recorded
  };
  /// What came without the one before, which is either no more than a dead letter, or of another log.
  struct Doubted {
    Waiting record;
    std::uint64_t check;  // of the log, which it waits for
  };
  struct Partition {
    QueueHandle queue;
    std::int64_t next = 0;  // all before it were taken
    bool started = false;
    bool more = false;  // there is more at once
    std::optional<Doubted> doubted = {};
  };
  struct Move {
    int partition;
    bool stop;
    std::optional<std::int64_t> start_at;
  };
  struct Consumer;

  void adopt_log();
  void move_partitions(const Context& ctx);
  std::vector<Move> planned_moves();
  void take(int partition, std::int64_t& head);
  bool take_record(Partition& partition, const rd_kafka_message_s& record, std::int64_t& head);
  bool still_doubted(Partition& partition);
  bool keep(Bucket& bucket, Waiting&& record);
  std::size_t room_in(int partition) const noexcept;
  std::int64_t next_offset(const Bucket& bucket) const noexcept;
  void commit_offsets();
  void drop_consumer() noexcept;
  int partition_of(int bucket) const noexcept { return bucket % partitions_; }
  bool wanted(const std::string& topic) const noexcept;

  TopicLog& log_;
  const SubscriptionOptions& options_;
  runtime::Signal changed_;
  std::string identity_;  // the log's that is read
  std::string mark_;
  int partitions_ = 1;
  std::shared_ptr<Consumer> consumer_;
  std::array<std::unique_ptr<Bucket>, kBuckets> buckets_;
  Instant committed_at_{};
  Offsets committed_;
};

}  // namespace holdfast::messaging::kafka
