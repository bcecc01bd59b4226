// Instances of librdkafka (rd_kafka_t) and what belongs to them, owned. An instance has threads of its own
// that do all the network's work; what they have for us waits in queues, which call back, from those
// threads, when something comes into an empty one. So a fiber waits for a Signal and then takes what is
// there.
//
// Thread-safety: as librdkafka's: calls from any thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "holdfast/base/error.hpp"
#include "holdfast/messaging/kafka/topic.hpp"
#include "holdfast/runtime/sync.hpp"

struct rd_kafka_s;
struct rd_kafka_op_s;
struct rd_kafka_queue_s;
struct rd_kafka_topic_s;

namespace holdfast::messaging::kafka {

struct Freed {
  void operator()(rd_kafka_s* instance) const noexcept;  ///< waits for its threads: not on a loop
  void operator()(rd_kafka_queue_s* queue) const noexcept;
  void operator()(rd_kafka_topic_s* topic) const noexcept;
  void operator()(rd_kafka_op_s* event) const noexcept;
};
using InstanceHandle = std::unique_ptr<rd_kafka_s, Freed>;
using QueueHandle = std::unique_ptr<rd_kafka_queue_s, Freed>;
using TopicHandle = std::unique_ptr<rd_kafka_topic_s, Freed>;
using EventHandle = std::unique_ptr<rd_kafka_op_s, Freed>;

/// Properties by librdkafka's names, beside those of the connection.
using Properties = std::map<std::string, std::string>;

Properties producer_properties(const Options& options);
Properties consumer_properties(const Options& options, int partitions);

/// Throws Error(failed_precondition), naming our setting, for what librdkafka does not take.
InstanceHandle make_instance(const Options& options, bool producer, const Properties& properties);

/// `signal` is notified when something comes into the empty queue, until silence().
void notify(rd_kafka_queue_s& queue, runtime::Signal& signal);
/// After it returns, the queue's callback does not run and will not.
void silence(rd_kafka_queue_s& queue) noexcept;

/// "Local: Broker transport failure" …
std::string text_of(int error);
std::string joined(const std::vector<std::string>& texts);
int milliseconds(Duration duration);

}  // namespace holdfast::messaging::kafka
