#include "holdfast/messaging/kafka/internal/reader.hpp"

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <charconv>
#include <limits>

#include "holdfast/base/error.hpp"
#include "holdfast/messaging/kafka/internal/record.hpp"
#include "holdfast/runtime/fiber.hpp"

namespace holdfast::messaging::kafka {
namespace {

constexpr std::size_t kTakenATurn = 256;  ///< records of a partition

}  // namespace

/// What must be ended off the loop, in the order in which it depends on each other.
struct PartitionReader::Consumer {
  InstanceHandle instance;
  TopicHandle topic;
  QueueHandle main;  // errors that are of no partition
  std::array<Partition, kBuckets> partitions;
};

PartitionReader::PartitionReader(TopicLog& log, const SubscriptionOptions& options)
    : log_(log), options_(options) {
  log_.add_listener(&changed_);
}

PartitionReader::~PartitionReader() {
  log_.remove_listener(&changed_);
  drop_consumer();
}

void PartitionReader::drop_consumer() noexcept {
  if (!consumer_) return;
  silence(*consumer_->main);
  for (Partition& partition : consumer_->partitions) {
    if (partition.queue) silence(*partition.queue);
  }
  // Ending it waits for its threads. Where the pool is full, whoever comes last waits.
  static_cast<void>(log_.client().pool().post([last = std::move(consumer_)]() mutable { last.reset(); }));
}

void PartitionReader::open(int number, std::int64_t position, const std::string& cursor) {
  auto bucket =
      std::make_unique<Bucket>(Bucket{.number = number, .passed = position, .identity = {}, .from = 0});
  const std::size_t colon = cursor.rfind(':');
  if (colon != std::string::npos) {
    bucket->identity = cursor.substr(0, colon);
    std::from_chars(cursor.data() + colon + 1, cursor.data() + cursor.size(), bucket->from);
  }
  buckets_[static_cast<std::size_t>(number)] = std::move(bucket);
  changed_.notify();
}

void PartitionReader::close(int number) noexcept { buckets_[static_cast<std::size_t>(number)].reset(); }

bool PartitionReader::wanted(const std::string& topic) const noexcept {
  return options_.topics.front() == kEveryTopic ||
         std::ranges::find(options_.topics, topic) != options_.topics.end();
}

// ---- which partitions are read, and from where

/// Offsets of another log mean nothing in this one.
void PartitionReader::adopt_log() {
  if (log_.identity().empty() || log_.identity() == identity_) return;
  if (!identity_.empty()) log_.resets.add();
  drop_consumer();
  identity_ = log_.identity();
  mark_ = log_.mark();
  partitions_ = log_.partitions();
  committed_.clear();
  for (const auto& bucket : buckets_) {
    if (!bucket) continue;
    bucket->placed = false;
    if (bucket->identity == identity_) continue;  // of its cursor
    for (Waiting& one : bucket->waiting) one.offset = 0;
    for (Given& one : bucket->given) one.offset = 0;
  }
}

std::vector<PartitionReader::Move> PartitionReader::planned_moves() {
  std::vector<Move> moves;
  for (int number = 0; number < partitions_; ++number) {
    const Partition& partition = consumer_->partitions[static_cast<std::size_t>(number)];
    bool used = false;
    std::optional<std::int64_t> from;
    for (int bucket = number; bucket < kBuckets; bucket += partitions_) {
      const auto& one = buckets_[static_cast<std::size_t>(bucket)];
      if (!one) continue;
      used = true;
      if (one->placed) continue;
      if (one->identity != identity_) {
        one->identity = identity_;
        one->from = 0;
      }
      from = std::min(from.value_or(one->from), one->from);
      one->placed = true;
    }
    if (!used && partition.started) {
      moves.push_back({.partition = number, .stop = true, .start_at = {}});
    } else if (from && !partition.started) {
      moves.push_back({.partition = number, .stop = false, .start_at = from});
    } else if (from && *from < partition.next) {  // the others of it will see some of theirs again
      moves.push_back({.partition = number, .stop = true, .start_at = from});
    }
  }
  return moves;
}

void PartitionReader::move_partitions(const Context& ctx) {
  if (identity_.empty()) return;
  if (!consumer_) {
    if (std::ranges::none_of(buckets_, [](const auto& bucket) { return bucket != nullptr; })) return;
    auto made = std::make_shared<Consumer>();
    log_.client().pool().run(ctx, [&] {
      made->instance = make_instance(log_.options(), false, consumer_properties(log_.options(), partitions_));
      made->topic.reset(rd_kafka_topic_new(made->instance.get(), log_.options().topic.c_str(), nullptr));
      made->main.reset(rd_kafka_queue_get_main(made->instance.get()));
      for (Partition& partition : made->partitions)
        partition.queue.reset(rd_kafka_queue_new(made->instance.get()));
    });
    notify(*made->main, changed_);
    consumer_ = std::move(made);
  }
  const std::vector<Move> moves = planned_moves();
  if (moves.empty()) return;
  for (const Move& move : moves)
    silence(*consumer_->partitions[static_cast<std::size_t>(move.partition)].queue);
  try {
    log_.client().pool().run(ctx.detached(), [&, &consumer = *consumer_] {
      for (const Move& move : moves) {
        if (move.stop) rd_kafka_consume_stop(consumer.topic.get(), move.partition);
        if (!move.start_at) continue;
        // A queue of its own for each start: nothing in it was fetched for a former one.
        QueueHandle& queue = consumer.partitions[static_cast<std::size_t>(move.partition)].queue;
        queue.reset(rd_kafka_queue_new(consumer.instance.get()));
        rd_kafka_consume_start_queue(consumer.topic.get(), move.partition, *move.start_at, queue.get());
      }
    });
  } catch (...) {  // no room in the pool: it is not known what is started, so all is begun anew
    drop_consumer();
    identity_.clear();
    throw;
  }
  for (const Move& move : moves) {
    Partition& partition = consumer_->partitions[static_cast<std::size_t>(move.partition)];
    partition.doubted.reset();
    partition.started = move.start_at.has_value();
    partition.next = move.start_at.value_or(0);
    if (partition.started) notify(*partition.queue, changed_);
  }
}

// ---- what arrives

/// The least room of the partition's buckets: a full one holds up the others of its partition.
std::size_t PartitionReader::room_in(int partition) const noexcept {
  std::size_t room = std::numeric_limits<std::size_t>::max();
  for (int bucket = partition; bucket < kBuckets; bucket += partitions_) {
    const auto& one = buckets_[static_cast<std::size_t>(bucket)];
    if (one) room = std::min(room, options_.read_ahead - std::min(options_.read_ahead, one->waiting.size()));
  }
  return room;
}

/// True where its topic is wanted.
bool PartitionReader::keep(Bucket& bucket, Waiting&& record) {
  bucket.passed = record.message.position;
  if (!wanted(record.message.topic)) return false;
  bucket.waiting.push_back(std::move(record));
  return true;
}

/// A log that is another by now may have begun with what was sent before it was noticed. Whoever reads on at
/// an offset of the former one misses that, and would pass it: so nothing that has missed one before it is
/// taken until the log was checked. Where it is the same still, there was none (a dead letter), or the topic
/// has lost it.
bool PartitionReader::still_doubted(Partition& partition) {
  if (!partition.doubted) return false;
  if (log_.checks() < partition.doubted->check) return true;
  Waiting record = std::move(partition.doubted->record);
  partition.doubted.reset();
  partition.next = record.offset + 1;
  Bucket* bucket = buckets_[static_cast<std::size_t>(bucket_of(record.message.key))].get();
  if (bucket != nullptr && record.message.position > bucket->passed) keep(*bucket, std::move(record));
  return false;
}

/// True where a message was kept.
bool PartitionReader::take_record(Partition& partition, const rd_kafka_message_s& record,
                                  std::int64_t& head) {
  partition.next = record.offset + 1;
  try {
    if (mark_of(record) != mark_) {
      log_.stale.add();
      return false;
    }
    Message message = read_record(record);
    head = std::max(head, message.position);
    const int number = bucket_of(message.key);
    if (partition_of(number) != record.partition)
      throw Error(ErrorCode::invalid_argument, "It is in the wrong partition.");
    Bucket* bucket = buckets_[static_cast<std::size_t>(number)].get();
    if (bucket == nullptr || message.position <= bucket->passed) return false;
    Waiting taken{.message = std::move(message), .offset = record.offset};
    if (previous_of(record) <= bucket->passed) return keep(*bucket, std::move(taken));
    log_.doubted.add();
    partition.next = record.offset;
    partition.doubted = Doubted{.record = std::move(taken), .check = log_.demand_check()};
    return false;
  } catch (const Error& error) {
    log_.malformed.add();
    log_.logger().warn("a record of the topic is passed over", {{"topic", log_.options().topic},
                                                                {"partition", record.partition},
                                                                {"offset", record.offset},
                                                                {"error", error.what()}});
    return false;
  }
}

void PartitionReader::take(int number, std::int64_t& head) {
  Partition& partition = consumer_->partitions[static_cast<std::size_t>(number)];
  std::size_t room = std::min(room_in(number), kTakenATurn);
  partition.more = false;
  for (std::size_t taken = 0; taken < kTakenATurn; ++taken) {
    if (room == 0 || still_doubted(partition)) return;  // read() comes again when there is some
    rd_kafka_message_t* record = rd_kafka_consume_queue(partition.queue.get(), 0);
    if (record == nullptr) return;
    const std::unique_ptr<rd_kafka_message_t, void (*)(rd_kafka_message_t*)> owned(record,
                                                                                   rd_kafka_message_destroy);
    if (record->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
      log_.logger().debug(
          "a partition can't be read now",
          {{"group", options_.group}, {"partition", number}, {"error", text_of(record->err)}});
    } else if (take_record(partition, *record, head)) {
      --room;
    }
  }
  partition.more = true;
}

std::vector<ReadResult> PartitionReader::read(const Context& ctx, const std::vector<Cohort>& cohorts,
                                              std::int64_t& head) {
  adopt_log();
  move_partitions(ctx);
  if (consumer_) {
    while (const EventHandle event{rd_kafka_queue_poll(consumer_->main.get(), 0)}) {
      // errors and lines of its log: the client sees the same
    }
    for (int number = 0; number < partitions_; ++number) {
      if (consumer_->partitions[static_cast<std::size_t>(number)].started) take(number, head);
    }
  }
  const std::size_t most = std::max<std::size_t>(1, options_.read_ahead / 2);
  std::vector<ReadResult> results;
  for (const Cohort& cohort : cohorts) {
    ReadResult result;
    for (const auto& bucket : buckets_) {
      if (!bucket || (cohort.buckets & mask_of(bucket->number)) == 0) continue;
      for (std::size_t i = 0; i < most && !bucket->waiting.empty(); ++i) {
        Waiting& first = bucket->waiting.front();
        bucket->given.push_back({.position = first.message.position, .offset = first.offset});
        result.messages.push_back(std::move(first.message));
        bucket->waiting.pop_front();
      }
      if (!bucket->waiting.empty()) continue;
      result.passed.emplace_back(bucket->number, bucket->passed);
      result.more =
          result.more ||
          (consumer_ && consumer_->partitions[static_cast<std::size_t>(partition_of(bucket->number))].more);
    }
    results.push_back(std::move(result));
  }
  commit_offsets();
  return results;
}

// ---- how far it is

void PartitionReader::recorded(int number, std::int64_t position) {
  const auto& bucket = buckets_[static_cast<std::size_t>(number)];
  if (!bucket) return;
  while (!bucket->given.empty() && bucket->given.front().position <= position) bucket->given.pop_front();
}

/// The first that is not recorded; where there is none, whatever comes next.
std::int64_t PartitionReader::next_offset(const Bucket& bucket) const noexcept {
  if (!bucket.given.empty()) return bucket.given.front().offset;
  if (!bucket.waiting.empty()) return bucket.waiting.front().offset;
  if (!bucket.placed || !consumer_) return bucket.from;
  return consumer_->partitions[static_cast<std::size_t>(partition_of(bucket.number))].next;
}

std::string PartitionReader::cursor(int number) const {
  const auto& bucket = buckets_[static_cast<std::size_t>(number)];
  if (!bucket || identity_.empty() || bucket->identity != identity_) return {};
  const std::int64_t offset = next_offset(*bucket);
  return offset == 0 ? std::string() : identity_ + ":" + std::to_string(offset);
}

void PartitionReader::commit_offsets() {
  const Instant now = log_.runtime().clock().now();
  if (!consumer_ || now - committed_at_ < log_.options().commit_interval) return;
  Offsets offsets;
  for (int number = 0; number < partitions_; ++number) {
    std::optional<std::int64_t> next;
    for (int bucket = number; bucket < kBuckets; bucket += partitions_) {
      const auto& one = buckets_[static_cast<std::size_t>(bucket)];
      if (one && one->placed) next = std::min(next.value_or(next_offset(*one)), next_offset(*one));
    }
    if (next && *next > 0) offsets.emplace_back(number, *next);
  }
  if (offsets == committed_) return;
  committed_at_ = now;
  committed_ = offsets;
  log_.client().commit_later(log_.group_name(options_.group), offsets);
}

}  // namespace holdfast::messaging::kafka
