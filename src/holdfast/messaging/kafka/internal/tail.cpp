#include "holdfast/messaging/kafka/internal/tail.hpp"

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <vector>

#include "holdfast/messaging/kafka/internal/instance.hpp"
#include "holdfast/messaging/kafka/internal/record.hpp"

namespace holdfast::messaging::kafka {
namespace {

constexpr int kLook = 50;  ///< milliseconds

struct FreeMessage {
  void operator()(rd_kafka_message_t* message) const noexcept { rd_kafka_message_destroy(message); }
};

}  // namespace

std::int64_t highest_position(const Options& options, const std::string& mark, int partitions) {
  Properties properties = consumer_properties(options, partitions);
  properties["enable.partition.eof"] = "true";
  properties["fetch.wait.max.ms"] = "10";
  const InstanceHandle instance = make_instance(options, false, properties);
  const TopicHandle topic(rd_kafka_topic_new(instance.get(), options.topic.c_str(), nullptr));
  const QueueHandle queue(rd_kafka_queue_new(instance.get()));
  // Leaders first: an offset that is counted from the end waits half a second where there is none to ask.
  const rd_kafka_metadata_t* metadata = nullptr;
  if (rd_kafka_metadata(instance.get(), 0, topic.get(), &metadata, milliseconds(options.request_timeout)) ==
      RD_KAFKA_RESP_ERR_NO_ERROR)
    rd_kafka_metadata_destroy(metadata);
  for (int partition = 0; partition < partitions; ++partition)
    rd_kafka_consume_start_queue(topic.get(), partition, RD_KAFKA_OFFSET_TAIL(1), queue.get());
  std::vector<bool> ended(static_cast<std::size_t>(partitions));
  std::int64_t highest = 0;
  // Each partition gives a record and its end; what else comes is an error, or nothing in kLook.
  int looks = 4 * partitions + milliseconds(options.request_timeout) / kLook;
  while (!std::ranges::all_of(ended, [](bool one) { return one; })) {
    if (looks-- == 0)
      throw Error(ErrorCode::unavailable,
                  "The end of the topic " + options.topic + " could not be read in time.")
          .reason("kafka_unavailable");
    const std::unique_ptr<rd_kafka_message_t, FreeMessage> message(
        rd_kafka_consume_queue(queue.get(), kLook));
    if (!message) continue;
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF && message->partition < partitions)
      ended[static_cast<std::size_t>(message->partition)] = true;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR || mark_of(*message) != mark) continue;
    try {
      highest = std::max(highest, read_record(*message).position);
    } catch (const Error&) {
      // none of ours
    }
  }
  for (int partition = 0; partition < partitions; ++partition) rd_kafka_consume_stop(topic.get(), partition);
  return highest;
}

}  // namespace holdfast::messaging::kafka
