#include "holdfast/messaging/kafka/topic.hpp"

#include <array>
#include <utility>

#include "holdfast/base/error.hpp"
#include "holdfast/messaging/kafka/internal/reader.hpp"
#include "holdfast/messaging/kafka/internal/tail.hpp"
#include "holdfast/messaging/kafka/internal/topic_log.hpp"

namespace holdfast::messaging::kafka {
namespace {

constexpr std::size_t kBatchOverhead = 100;  ///< of a batch and of a record in it (KIP-98), and to spare

std::size_t size_of(const WireHeaders& headers) {
  std::size_t size = 0;
  for (const auto& [name, value] : headers) size += name.size() + value.size() + 6;
  return size;
}

}  // namespace

struct Topic::State {
  State(runtime::Runtime& runtime, observe::Metrics& metrics, observe::Logger logger, Options options)
      : log(runtime, metrics, std::move(logger), std::move(options)) {}

  void require(const std::string& identity) const {
    if (!identity.empty() && log.identity() == identity) return;
    throw Error(ErrorCode::unavailable, "Kafka is not connected: " + log.problem())
        .reason("kafka_unavailable");
  }

  TopicLog log;
  // By bucket, what was acknowledged here last.
  std::array<std::int64_t, kBuckets> sent{};
  std::string sent_to;  // the log's mark that `sent` is of
};

Topic::Topic(runtime::Runtime& runtime, observe::Metrics& metrics, observe::Logger logger, Options options)
    : state_(std::make_unique<State>(runtime, metrics, std::move(logger), std::move(options))) {}

Topic::~Topic() = default;

void Topic::connect(const Context& ctx) { state_->log.connect(ctx); }
void Topic::close(const Context& ctx) noexcept { state_->log.close(ctx); }
bool Topic::connected() const { return state_->log.problem().empty(); }
std::string Topic::problem() const { return state_->log.problem(); }

void Topic::send(const Context& ctx, const std::string& log, const Message& message) {
  TopicLog& to = state_->log;
  state_->require(log);
  WireHeaders headers = to_wire(message);
  headers.emplace_back(kMarkHeader, to.mark());
  const int bucket = bucket_of(message.key);
  std::int64_t& previous = state_->sent[static_cast<std::size_t>(bucket)];
  if (std::exchange(state_->sent_to, to.mark()) != to.mark()) state_->sent.fill(0);
  if (previous > 0) headers.emplace_back(kPreviousHeader, std::to_string(previous));
  const std::size_t size = size_of(headers) + message.key.size() + message.payload.size() + kBatchOverhead;
  if (size > to.options().max_message_bytes) {
    throw Error(ErrorCode::too_large,
                "The message has " + std::to_string(size) + " bytes; broker.kafka.max_message_bytes is " +
                    std::to_string(to.options().max_message_bytes) +
                    ". Raise that and the topic's max.message.bytes, or use a claim check.")
        .reason("message_too_large");
  }
  const auto partition = static_cast<std::int32_t>(bucket % to.partitions());
  to.client().produce(
      ctx, message.position,
      {.partition = partition, .key = message.key, .payload = message.payload, .headers = headers});
  state_->require(log);  // what was acknowledged meanwhile may be in another
  previous = message.position;
}

std::string Topic::log_identity(const Context& /*ctx*/) {
  state_->require(state_->log.identity());
  return state_->log.identity();
}

std::int64_t Topic::last_position(const Context& ctx) {
  TopicLog& log = state_->log;
  state_->require(log.identity());
  std::int64_t position = 0;
  const std::string mark = log.mark();
  const int partitions = log.partitions();
  log.client().pool().run(ctx, [&] { position = highest_position(log.options(), mark, partitions); });
  return position;
}

std::unique_ptr<Reader> Topic::reader(const SubscriptionOptions& options) {
  return std::make_unique<PartitionReader>(state_->log, options);
}

std::optional<std::int64_t> Topic::end(const Context& ctx) {
  if (state_->log.options().own_outbox) return std::nullopt;  // the outbox itself knows better
  return last_position(ctx);
}

}  // namespace holdfast::messaging::kafka
