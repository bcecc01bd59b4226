#include "holdfast/messaging/kafka/internal/instance.hpp"

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <utility>

namespace holdfast::messaging::kafka {
namespace {

constexpr std::size_t kErrorText = 512;

/// Which of our settings a property of librdkafka's is.
std::string setting_of(const std::string& property) {
  static const std::map<std::string, std::string, std::less<>> kSettings = {
      {"bootstrap.servers", "servers"},     {"compression.codec", "compression"},
      {"sasl.mechanism", "sasl.mechanism"}, {"sasl.username", "sasl.user"},
      {"sasl.password", "sasl.password"},   {"security.protocol", "tls.required"},
      {"ssl.ca.location", "tls.ca_file"},   {"ssl.certificate.location", "tls.certificate_file"},
      {"ssl.key.location", "tls.key_file"}, {"ssl.key.password", "tls.key_password"},
  };
  const auto found = kSettings.find(property);
  return "broker.kafka." + (found == kSettings.end() ? property : found->second);
}

[[noreturn]] void refuse(std::string what, std::string cause) {
  throw Error(ErrorCode::failed_precondition, std::move(what))
      .reason("kafka_refused")
      .cause(std::move(cause));
}

/// librdkafka's own words for what it could not load: it names its properties, people know ours.
std::string hint_in(const std::string& text) {
  for (const char* property : {"ssl.ca.location", "ssl.certificate.location", "ssl.key.location",
                               "ssl.key.password", "sasl.mechanism", "sasl.username", "bootstrap.servers"}) {
    if (text.contains(property)) return setting_of(property);
  }
  return text.contains("sasl") ? "broker.kafka.sasl" : "broker.kafka.tls";
}

Properties connection_properties(const Options& options) {
  const bool sasl = !options.sasl.mechanism.empty();
  Properties all{
      {"bootstrap.servers", joined(options.servers)},
      {"client.id", options.client_id},
      {"security.protocol", std::string(sasl ? "sasl_" : "") + (options.tls.required ? "ssl" : "plaintext")},
      {"socket.keepalive.enable", "true"},
      {"socket.timeout.ms", std::to_string(std::max(2000, milliseconds(options.request_timeout)))},
      {"socket.connection.setup.timeout.ms",
       std::to_string(std::max(1000, milliseconds(options.connect_timeout)))},
      {"reconnect.backoff.ms", std::to_string(milliseconds(options.reconnect.base))},
      {"reconnect.backoff.max.ms", std::to_string(milliseconds(options.reconnect.cap))},
      {"retry.backoff.ms", "50"},
      {"topic.metadata.refresh.fast.interval.ms", "100"},
      {"allow.auto.create.topics", "false"},  // with what settings? connect() makes it
      {"log.queue", "true"},
      {"log.connection.close", "false"},
  };
  if (sasl) {
    all["sasl.mechanism"] = options.sasl.mechanism;
    all["sasl.username"] = options.sasl.user;
    all["sasl.password"] = options.sasl.password.reveal();
  }
  if (!options.tls.required) return all;
  if (!options.tls.ca_file.empty()) all["ssl.ca.location"] = options.tls.ca_file;
  if (!options.tls.certificate_file.empty()) all["ssl.certificate.location"] = options.tls.certificate_file;
  if (!options.tls.key_file.empty()) all["ssl.key.location"] = options.tls.key_file;
  if (!options.tls.key_password.empty()) all["ssl.key.password"] = options.tls.key_password.reveal();
  return all;
}

void on_event(rd_kafka_t* /*instance*/, void* signal) { static_cast<runtime::Signal*>(signal)->notify(); }

}  // namespace

void Freed::operator()(rd_kafka_s* instance) const noexcept {
  rd_kafka_destroy_flags(instance, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);  // of no group, nothing to leave
}
void Freed::operator()(rd_kafka_queue_s* queue) const noexcept { rd_kafka_queue_destroy(queue); }
void Freed::operator()(rd_kafka_topic_s* topic) const noexcept { rd_kafka_topic_destroy(topic); }
void Freed::operator()(rd_kafka_op_s* event) const noexcept { rd_kafka_event_destroy(event); }

std::string text_of(int error) { return rd_kafka_err2str(static_cast<rd_kafka_resp_err_t>(error)); }

std::string joined(const std::vector<std::string>& texts) {
  std::string out;
  for (const std::string& text : texts) out += (out.empty() ? "" : ",") + text;
  return out;
}

int milliseconds(Duration duration) {
  return static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
}

Properties producer_properties(const Options& options) {
  return {
      {"enable.idempotence", "true"},  // with acks=all, in order, each once, whatever is retried
      {"acks", "all"},
      {"linger.ms", "0"},
      {"compression.codec", options.compression},
      {"message.timeout.ms", std::to_string(milliseconds(options.request_timeout))},
      {"message.max.bytes", std::to_string(options.max_message_bytes)},
      {"batch.size", std::to_string(std::min<std::size_t>(1'000'000, options.max_message_bytes))},
      {"queue.buffering.max.messages", std::to_string(Topic::kMaxUnsentMessages)},
      {"queue.buffering.max.kbytes", std::to_string(64 * 1024)},
  };
}

Properties consumer_properties(const Options& options, int partitions) {
  const std::size_t each = Topic::kMaxReadAheadBytes / static_cast<std::size_t>(partitions);
  return {
      {"auto.offset.reset", "earliest"},  // positions tell what is known
      {"enable.auto.commit", "false"},
      {"enable.auto.offset.store", "false"},
      {"fetch.wait.max.ms", std::to_string(milliseconds(options.fetch_wait))},
      {"fetch.error.backoff.ms", "50"},
      {"message.max.bytes", std::to_string(options.max_message_bytes)},
      {"fetch.message.max.bytes", std::to_string(options.max_message_bytes)},
      {"queued.max.messages.kbytes", std::to_string(std::max<std::size_t>(each / 1024, 1024))},
  };
}

InstanceHandle make_instance(const Options& options, bool producer, const Properties& properties) {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  char error[kErrorText];
  Properties all = connection_properties(options);
  all.insert(properties.begin(), properties.end());
  for (const auto& [name, value] : all) {
    if (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), error, sizeof error) == RD_KAFKA_CONF_OK)
      continue;
    rd_kafka_conf_destroy(conf);
    refuse("Kafka's library does not take " + setting_of(name) + ".", error);
  }
  rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_LOG);
  rd_kafka_t* made =
      rd_kafka_new(producer ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER, conf, error, sizeof error);
  if (made == nullptr) {
    rd_kafka_conf_destroy(conf);
    refuse("Kafka's library can't start: check " + hint_in(error) + ". " + error, error);
  }
  InstanceHandle handle(made);
  const QueueHandle main(rd_kafka_queue_get_main(made));
  rd_kafka_set_log_queue(made, main.get());
  return handle;
}

void notify(rd_kafka_queue_s& queue, runtime::Signal& signal) {
  rd_kafka_queue_cb_event_enable(&queue, on_event, &signal);
  signal.notify();  // for what was there before
}

void silence(rd_kafka_queue_s& queue) noexcept { rd_kafka_queue_cb_event_enable(&queue, nullptr, nullptr); }

}  // namespace holdfast::messaging::kafka
