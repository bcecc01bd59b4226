#include "holdfast/messaging/nats/internal/reader.hpp"

#include <algorithm>
#include <charconv>

#include "holdfast/base/error.hpp"
#include "holdfast/messaging/nats/internal/delivery.hpp"
#include "holdfast/runtime/fiber.hpp"

namespace holdfast::messaging::nats {
namespace {

constexpr std::size_t kMadeAtOnce = 8;                      ///< consumers
constexpr Duration kAskFor = std::chrono::seconds(15);      ///< the server keeps a request for so long
constexpr Duration kSilence = std::chrono::seconds(20);     ///< neither a message nor the request's end
constexpr Duration kForgetAfter = std::chrono::minutes(5);  ///< the server drops a consumer nobody asks
constexpr Duration kRemakeAfter = std::chrono::minutes(4);
constexpr Duration kPauseAfterFailure = std::chrono::seconds(1);
constexpr std::int64_t kLeastBytes = 2 * 1024 * 1024;  ///< a request's most, unless a message may be larger

std::int64_t nanoseconds(Duration d) {
  return static_cast<std::int64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(d).count());
}

/// Names of consumers have no dots.
std::string undotted(std::string text) {
  std::ranges::replace(text, '.', '_');
  return text;
}

}  // namespace

OrderedReader::OrderedReader(Stream& stream, const SubscriptionOptions& options)
    : stream_(stream), options_(options) {
  stream_.add_listener(&changed_);
}

OrderedReader::~OrderedReader() {
  stream_.remove_listener(&changed_);
  for (int bucket = 0; bucket < kBuckets; ++bucket) close(bucket);
}

void OrderedReader::open(int number, std::int64_t position, const std::string& cursor) {
  auto bucket = std::make_unique<Bucket>(
      Bucket{.number = number, .passed = position, .identity = {}, .sequence = 0, .recorded = 0});
  const std::size_t colon = cursor.rfind(':');
  if (colon != std::string::npos) {
    bucket->identity = cursor.substr(0, colon);
    std::from_chars(cursor.data() + colon + 1, cursor.data() + cursor.size(), bucket->sequence);
    bucket->recorded = bucket->sequence;
  }
  buckets_[static_cast<std::size_t>(number)] = std::move(bucket);
  changed_.notify();
}

void OrderedReader::close(int number) noexcept {
  auto& bucket = buckets_[static_cast<std::size_t>(number)];
  if (!bucket) return;
  drop_consumer(*bucket, nullptr);
  bucket.reset();
}

void OrderedReader::drop_consumer(Bucket& bucket, const char* why) noexcept {
  const std::unique_ptr<Consumer> dropped = std::move(bucket.consumer);
  if (!dropped) return;
  Client& client = stream_.client();
  client.close_mailbox(dropped->address);
  try {
    if (why != nullptr) {
      stream_.resets.add();
      stream_.logger().info("a reader is made anew", {{"group", options_.group},
                                                      {"bucket", bucket.number},
                                                      {"why", why},
                                                      {"sequence", bucket.sequence}});
    }
    // A courtesy; without it the server forgets the consumer by itself.
    static_cast<void>(client.publish(
        "$JS.API.CONSUMER.DELETE." + stream_.options().stream + "." + dropped->name, dropped->address, ""));
  } catch (const std::exception&) {
    // see above
  }
}

bool OrderedReader::wanted(const std::string& topic) const noexcept {
  return options_.topics.front() == kEveryTopic ||
         std::ranges::find(options_.topics, topic) != options_.topics.end();
}

// ---- what arrives

void OrderedReader::pass_over(Bucket& bucket, std::uint64_t sequence) {
  if (!bucket.waiting.empty()) {
    bucket.waiting.back().sequence = sequence;
  } else if (!bucket.given.empty()) {
    bucket.given.back().sequence = sequence;
  } else {
    bucket.recorded = sequence;
  }
}

/// False where the consumer is of no use any more.
bool OrderedReader::collect_one(Bucket& bucket, Incoming&& incoming, std::int64_t& head) {
  Consumer& consumer = *bucket.consumer;
  const auto delivery = parse_delivery(incoming.reply);
  if (!delivery) {  // 408, 409 …: the end of a request
    consumer.asked = 0;
    return incoming.status != 503 && !incoming.description.starts_with("Consumer");
  }
  if (delivery->consumer_sequence != consumer.delivered + 1)
    return false;  // something was dropped on the way
  ++consumer.delivered;
  consumer.asked -= std::min<std::size_t>(consumer.asked, 1);
  bucket.sequence = delivery->stream_sequence;
  try {
    Message message = from_wire(incoming.headers, std::move(incoming.body));
    if (bucket_of(message.key) != bucket.number)
      throw Error(ErrorCode::invalid_argument, "It is in the wrong bucket.");
    head = std::max(head, message.position);
    if (message.position > bucket.passed) {
      bucket.passed = message.position;
      if (wanted(message.topic)) {
        bucket.waiting.push_back({.message = std::move(message), .sequence = bucket.sequence});
        return true;
      }
    }
  } catch (const Error& error) {
    stream_.malformed.add();
    stream_.logger().warn(
        "a message of the stream is passed over",
        {{"stream", stream_.options().stream}, {"sequence", bucket.sequence}, {"error", error.what()}});
  }
  pass_over(bucket, bucket.sequence);
  return true;
}

void OrderedReader::collect(Bucket& bucket, std::int64_t& head) {
  Consumer& consumer = *bucket.consumer;
  const char* why = consumer.generation != stream_.client().generation() ? "a new connection" : nullptr;
  for (Incoming& incoming : stream_.client().take(*consumer.mailbox)) {
    if (collect_one(bucket, std::move(incoming), head)) continue;
    why = "a gap, or a consumer that is gone";
    break;
  }
  const Duration since = stream_.runtime().clock().now() - consumer.asked_at;
  if (consumer.asked > 0 && since > kSilence) why = "silence";
  if (consumer.asked == 0 && since > kRemakeAfter) why = "a long pause";
  if (why != nullptr) drop_consumer(bucket, why);
}

// ---- asking for more

void OrderedReader::ask(Bucket& bucket) {
  Consumer& consumer = *bucket.consumer;
  if (consumer.asked > 0 || bucket.waiting.size() * 2 > options_.read_ahead) return;
  const std::size_t room = options_.read_ahead - bucket.waiting.size();
  std::string text;
  JsonWriter(text)
      .begin_object()
      .member("batch", static_cast<std::int64_t>(room))
      .member("expires", nanoseconds(kAskFor))
      .member("max_bytes", std::max(kLeastBytes, 2 * stream_.client().max_payload()))
      .end_object();
  const std::string subject = "$JS.API.CONSUMER.MSG.NEXT." + stream_.options().stream + "." + consumer.name;
  if (!stream_.client().publish(subject, consumer.address, text)) return;
  consumer.asked = room;
  consumer.asked_at = stream_.runtime().clock().now();
}

void OrderedReader::make_consumer(const Context& ctx, int number) {
  Bucket* bucket = buckets_[static_cast<std::size_t>(number)].get();
  if (bucket == nullptr || bucket->consumer) return;
  Client& client = stream_.client();
  const std::string identity = stream_.identity();
  if (bucket->identity != identity) {  // another stream's sequences mean nothing in this one
    bucket->identity = identity;
    bucket->sequence = 0;
    bucket->recorded = 0;
    for (Given& one : bucket->given) one.sequence = 0;
    for (Waiting& one : bucket->waiting) one.sequence = 0;
  }
  auto mailbox = std::make_shared<Mailbox>(changed_);
  const std::uint64_t address = client.open_mailbox(mailbox);
  const std::string name = undotted(options_.group) + "-" + std::to_string(number) + "-" +
                           std::string(client.tag()) + "-" + std::to_string(address);
  std::string text;
  JsonWriter(text)
      .begin_object()
      .member("stream_name", stream_.options().stream)
      .key("config")
      .begin_object()
      .member("name", name)
      .member("deliver_policy", "by_start_sequence")
      .member("opt_start_seq", bucket->sequence + 1)
      .member("ack_policy", "none")
      .member("filter_subject", stream_.subject(number, ">"))
      .member("replay_policy", "instant")
      .member("inactive_threshold", nanoseconds(kForgetAfter))
      .member("mem_storage", true)
      .member("num_replicas", 1)
      .end_object()
      .end_object();
  const std::uint64_t generation = client.generation();
  try {
    stream_.ask(ctx, "$JS.API.CONSUMER.CREATE." + stream_.options().stream + "." + name, text);
  } catch (const Error& error) {
    client.close_mailbox(address);
    if (buckets_[static_cast<std::size_t>(number)].get() == bucket)
      bucket->not_before = stream_.runtime().clock().now() + kPauseAfterFailure;
    stream_.logger().warn(ctx, "a consumer could not be made; it is tried again",
                          {{"group", options_.group}, {"bucket", number}, {"error", error.what()}});
    return;
  }
  if (buckets_[static_cast<std::size_t>(number)].get() != bucket)  // closed meanwhile, or another one by now
    return client.close_mailbox(address);
  bucket->consumer = std::make_unique<Consumer>(Consumer{.address = address,
                                                         .mailbox = std::move(mailbox),
                                                         .name = name,
                                                         .generation = generation,
                                                         .asked_at = stream_.runtime().clock().now()});
}

void OrderedReader::make_consumers(const Context& ctx) {
  if (stream_.identity().empty()) return;
  std::vector<int> missing;
  const Instant now = stream_.runtime().clock().now();
  for (const auto& bucket : buckets_) {
    if (bucket && !bucket->consumer && bucket->not_before <= now) missing.push_back(bucket->number);
  }
  if (missing.empty()) return;
  runtime::FiberGroup fibers(ctx);
  std::size_t next = 0;
  for (std::size_t i = 0; i < std::min(kMadeAtOnce, missing.size()); ++i) {
    fibers.spawn("nats consumers", [&](const Context& own) {
      while (next < missing.size() && !stream_.identity().empty()) make_consumer(own, missing[next++]);
    });
  }
  fibers.wait();
}

// ---- the Reader

std::vector<ReadResult> OrderedReader::read(const Context& ctx, const std::vector<Cohort>& cohorts,
                                            std::int64_t& head) {
  make_consumers(ctx);
  for (const auto& bucket : buckets_) {
    if (!bucket || !bucket->consumer) continue;
    collect(*bucket, head);
    if (bucket->consumer) ask(*bucket);
  }
  const std::size_t most = std::max<std::size_t>(1, options_.read_ahead / 2);
  std::vector<ReadResult> results;
  for (const Cohort& cohort : cohorts) {
    ReadResult result;
    for (const auto& bucket : buckets_) {
      if (!bucket || (cohort.buckets & mask_of(bucket->number)) == 0) continue;
      for (std::size_t i = 0; i < most && !bucket->waiting.empty(); ++i) {
        Waiting& first = bucket->waiting.front();
        bucket->given.push_back({.position = first.message.position, .sequence = first.sequence});
        result.messages.push_back(std::move(first.message));
        bucket->waiting.pop_front();
      }
      if (bucket->waiting.empty()) result.passed.emplace_back(bucket->number, bucket->passed);
    }
    results.push_back(std::move(result));
  }
  return results;
}

void OrderedReader::recorded(int number, std::int64_t position) {
  const auto& bucket = buckets_[static_cast<std::size_t>(number)];
  if (!bucket) return;
  while (!bucket->given.empty() && bucket->given.front().position <= position) {
    bucket->recorded = bucket->given.front().sequence;
    bucket->given.pop_front();
  }
}

std::string OrderedReader::cursor(int number) const {
  const auto& bucket = buckets_[static_cast<std::size_t>(number)];
  if (!bucket || bucket->identity.empty() || bucket->recorded == 0) return {};
  return bucket->identity + ":" + std::to_string(bucket->recorded);
}

}  // namespace holdfast::messaging::nats
