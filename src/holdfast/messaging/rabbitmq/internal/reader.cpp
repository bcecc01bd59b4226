#include "holdfast/messaging/rabbitmq/internal/reader.hpp"

#include <algorithm>
#include <charconv>

#include "holdfast/base/error.hpp"

namespace holdfast::messaging::rabbitmq {
namespace {

constexpr Duration kPauseAfterFailure = std::chrono::milliseconds(500);
constexpr std::size_t kMostPrefetch = 60'000;  ///< AMQP has 16 bits for it

}  // namespace

StreamReader::StreamReader(Log& log, const SubscriptionOptions& options) : log_(log), options_(options) {
  log_.add_listener(&changed_);
}

StreamReader::~StreamReader() {
  log_.remove_listener(&changed_);
  drop_channel(nullptr);
}

void StreamReader::open(int number, std::int64_t position, const std::string& cursor) {
  close(number);
  auto bucket = std::make_unique<Bucket>(Bucket{.number = number, .passed = position, .identity = {}});
  const std::size_t colon = cursor.rfind(':');
  if (colon != std::string::npos) {
    bucket->identity = cursor.substr(0, colon);
    std::from_chars(cursor.data() + colon + 1, cursor.data() + cursor.size(), bucket->next);
    bucket->recorded = bucket->next;
  }
  buckets_[static_cast<std::size_t>(number)] = std::move(bucket);
  changed_.notify();
}

void StreamReader::close(int number) noexcept {
  auto& bucket = buckets_[static_cast<std::size_t>(number)];
  if (!bucket) return;
  drop_consumer(*bucket, nullptr);
  bucket.reset();
}

void StreamReader::drop_consumer(Bucket& bucket, const char* why) noexcept {
  const std::unique_ptr<Consumer> dropped = std::move(bucket.consumer);
  if (!dropped) return;
  for (Waiting& one : bucket.waiting) one.tag = 0;  // nothing to acknowledge any more
  try {
    if (why != nullptr) {
      log_.resets.add();
      log_.logger().info(
          "a reader is made anew",
          {{"group", options_.group}, {"bucket", bucket.number}, {"why", why}, {"offset", bucket.next}});
    }
    if (!channel_ || !channel_->open()) return;
    channel_->detach(dropped->name);
    std::string frames;
    write_cancel(frames, channel_->id(), dropped->name);
    channel_->post(frames);
  } catch (const std::exception&) {
    // the connection is about to be lost, and the consumer with it
  }
}

void StreamReader::drop_channel(const char* why) noexcept {
  for (const auto& bucket : buckets_) {
    if (bucket) drop_consumer(*bucket, why);
  }
  log_.close_channel(channel_);
  channel_.reset();
}

bool StreamReader::wanted(const std::string& topic) const noexcept {
  return options_.topics.front() == kEveryTopic ||
         std::ranges::find(options_.topics, topic) != options_.topics.end();
}

// ---- what arrives

void StreamReader::pass_over(Bucket& bucket, std::int64_t next) {
  if (!bucket.waiting.empty()) {
    bucket.waiting.back().next = next;
  } else if (!bucket.given.empty()) {
    bucket.given.back().next = next;
  } else {
    bucket.recorded = next;
  }
}

/// False where the stream does not have all that is wanted.
bool StreamReader::collect_one(Bucket& bucket, Delivery&& delivery, std::int64_t& head, std::string& acks) {
  Consumer& consumer = *bucket.consumer;
  if (delivery.offset < bucket.next) {  // the one before, asked for to see that it is there
    consumer.begun = true;
    write_ack(acks, channel_->id(), delivery.tag);
    return true;
  }
  if (bucket.next >= 0 && delivery.offset > bucket.next) return false;
  consumer.begun = true;
  bucket.next = delivery.offset + 1;
  try {
    Message message = from_wire(delivery.headers, std::move(delivery.body));
    if (bucket_of(message.key) != bucket.number)
      throw Error(ErrorCode::invalid_argument, "It is in the wrong bucket.");
    head = std::max(head, message.position);
    if (message.position > bucket.passed) {
      bucket.passed = message.position;
      if (wanted(message.topic)) {
        bucket.waiting.push_back({.message = std::move(message), .next = bucket.next, .tag = delivery.tag});
        return true;
      }
    }
  } catch (const Error& error) {
    log_.malformed.add();
    log_.logger().warn(
        "a message of a stream is passed over",
        {{"stream", log_.stream(bucket.number)}, {"offset", delivery.offset}, {"error", error.what()}});
  }
  write_ack(acks, channel_->id(), delivery.tag);
  pass_over(bucket, bucket.next);
  return true;
}

void StreamReader::collect(Bucket& bucket, std::int64_t& head, std::string& acks) {
  const std::shared_ptr<Mailbox> mailbox = bucket.consumer->mailbox;
  for (; !mailbox->arrived.empty(); mailbox->arrived.pop_front()) {
    if (collect_one(bucket, std::move(mailbox->arrived.front()), head, acks)) continue;
    log_.logger().error("the stream has dropped messages that the group has not handled",
                        {{"group", options_.group}, {"bucket", bucket.number}, {"offset", bucket.next}});
    drop_consumer(bucket, "a gap");
    bucket.next = -1;
    return log_.abandon();
  }
  const Duration since = log_.runtime().clock().now() - bucket.consumer->made_at;
  if (!bucket.consumer->begun && bucket.next > 0 && since > log_.options().request_timeout) {
    log_.logger().error("the stream ends before what the group has handled: its server has lost messages",
                        {{"group", options_.group}, {"bucket", bucket.number}, {"offset", bucket.next}});
    drop_consumer(bucket, "a stream that was cut");
    return log_.abandon();
  }
  if (mailbox->gone) {
    drop_consumer(bucket, "its stream is gone");
    log_.suspect();
  } else if (bucket.identity != log_.identity()) {
    drop_consumer(bucket, "another log");
  }
}

// ---- consumers

void StreamReader::make_channel(const Context& ctx) {
  if (channel_ && channel_->open() && generation_ == log_.generation()) return;
  drop_channel("a new connection");
  const std::uint64_t generation = log_.generation();
  channel_ = log_.open_channel(ctx);
  generation_ = generation;
  std::string frames;
  write_qos(frames, channel_->id(),
            static_cast<std::uint16_t>(std::clamp<std::size_t>(options_.read_ahead, 1, kMostPrefetch)));
  channel_->call(ctx, frames, Method::basic_qos_ok);
}

void StreamReader::start_consumer(Bucket& bucket, std::string& frames) {
  if (bucket.identity != log_.identity()) {  // another log's offsets mean nothing in this one
    bucket.identity = log_.identity();
    bucket.next = -1;
    bucket.recorded = -1;
    for (Given& one : bucket.given) one.next = -1;
    for (Waiting& one : bucket.waiting) one.next = -1;
  }
  const std::string name = std::to_string(bucket.number) + "-" + std::to_string(++consumers_);
  bucket.consumer = std::make_unique<Consumer>(Consumer{
      .name = name, .mailbox = std::make_shared<Mailbox>(changed_), .made_at = log_.runtime().clock().now()});
  channel_->attach(name, bucket.consumer->mailbox);
  Table from{{"x-stream-offset", std::string("first")}};
  // From an offset that the stream has not reached it would say nothing, and pass over what comes until then.
  if (bucket.next > 0) from.front().second = bucket.next - 1;
  write_consume(frames, channel_->id(), log_.stream(bucket.number), name, from);
}

void StreamReader::make_consumers(const Context& ctx) {
  if (log_.identity().empty() || log_.runtime().clock().now() < not_before_) return;
  try {
    const Context bounded = ctx.with_timeout(log_.options().request_timeout);
    make_channel(bounded);
    std::string frames;
    std::size_t count = 0;
    for (const auto& bucket : buckets_) {
      if (!bucket || bucket->consumer) continue;
      start_consumer(*bucket, frames);
      ++count;
    }
    if (count > 0) channel_->call(bounded, frames, Method::basic_consume_ok, count);
  } catch (const Error& error) {
    if (ctx.cancelled()) throw;
    not_before_ = log_.runtime().clock().now() + kPauseAfterFailure;
    if (error.code() == ErrorCode::not_found) log_.suspect();
    log_.logger().warn(ctx, "consumers could not be made; it is tried again",
                       {{"group", options_.group}, {"error", error.what()}});
    drop_channel("consumers that could not be made");
  }
}

// ---- the Reader

std::vector<ReadResult> StreamReader::read(const Context& ctx, const std::vector<Cohort>& cohorts,
                                           std::int64_t& head) {
  make_consumers(ctx);
  std::string acks;
  for (const auto& bucket : buckets_) {
    if (bucket && bucket->consumer) collect(*bucket, head, acks);
  }
  const std::size_t most = std::max<std::size_t>(1, options_.read_ahead / 2);
  std::vector<ReadResult> results;
  for (const Cohort& cohort : cohorts) {
    ReadResult result;
    for (const auto& bucket : buckets_) {
      if (!bucket || (cohort.buckets & mask_of(bucket->number)) == 0) continue;
      for (std::size_t i = 0; i < most && !bucket->waiting.empty(); ++i) {
        Waiting& first = bucket->waiting.front();
        bucket->given.push_back({.position = first.message.position, .next = first.next});
        if (first.tag != 0 && channel_) write_ack(acks, channel_->id(), first.tag);
        result.messages.push_back(std::move(first.message));
        bucket->waiting.pop_front();
      }
      if (bucket->waiting.empty()) result.passed.emplace_back(bucket->number, bucket->passed);
    }
    results.push_back(std::move(result));
  }
  if (channel_ && !acks.empty()) channel_->post(acks);
  return results;
}

void StreamReader::recorded(int number, std::int64_t position) {
  const auto& bucket = buckets_[static_cast<std::size_t>(number)];
  if (!bucket) return;
  while (!bucket->given.empty() && bucket->given.front().position <= position) {
    bucket->recorded = bucket->given.front().next;
    bucket->given.pop_front();
  }
}

std::string StreamReader::cursor(int number) const {
  const auto& bucket = buckets_[static_cast<std::size_t>(number)];
  if (!bucket || bucket->identity.empty() || bucket->recorded < 0) return {};
  return bucket->identity + ":" + std::to_string(bucket->recorded);
}

}  // namespace holdfast::messaging::rabbitmq
