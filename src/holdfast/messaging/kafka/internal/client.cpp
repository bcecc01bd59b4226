#include "holdfast/messaging/kafka/internal/client.hpp"

#include <librdkafka/rdkafka.h>

#include <cstring>

#include "holdfast/base/invariant.hpp"
#include "holdfast/runtime/fiber.hpp"

namespace holdfast::messaging::kafka {
namespace {

constexpr std::size_t kEventsATurn = 256;
constexpr Duration kAnswerGrace = std::chrono::seconds(1);  ///< librdkafka's own timeout comes first
constexpr std::size_t kErrorText = 512;
constexpr int kStuckAfter = 2;  ///< request timeouts of deliveries that fail

struct FreeList {
  void operator()(rd_kafka_topic_partition_list_t* list) const noexcept {
    rd_kafka_topic_partition_list_destroy(list);
  }
};
using PartitionList = std::unique_ptr<rd_kafka_topic_partition_list_t, FreeList>;

void* to_opaque(std::uint64_t id) noexcept {
  return reinterpret_cast<void*>(static_cast<std::uintptr_t>(id));
}
std::uint64_t from_opaque(void* opaque) noexcept { return reinterpret_cast<std::uintptr_t>(opaque); }

[[noreturn]] void refuse(std::string what, const std::string& cause) {
  throw Error(ErrorCode::failed_precondition, std::move(what)).reason("kafka_refused").cause(cause);
}

bool forbidden(int error) noexcept {
  return error == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
         error == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED ||
         error == RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED;
}

/// Throws unless `error` is none.
void require_answer(int error, const std::string& text, const Options& options) {
  if (error == RD_KAFKA_RESP_ERR_NO_ERROR) return;
  if (forbidden(error)) {
    refuse(
        "Kafka's ACLs forbid it: broker.kafka.sasl.user needs Read, Write, Describe and Create of the "
        "topic " +
            options.topic + ", Read of groups with the prefix " + options.topic +
            ", and IdempotentWrite of the cluster.",
        text_of(error) + ": " + text);
  }
  throw Error(ErrorCode::unavailable, "Kafka does not do it now: " + text_of(error) + ".")
      .reason("kafka_unavailable")
      .cause(text);
}

/// The first group's partitions of an answer, each without an error.
const rd_kafka_topic_partition_list_t* partitions_of(const rd_kafka_group_result_t** groups,
                                                     std::size_t count, const Options& options) {
  if (count == 0) return nullptr;
  if (const rd_kafka_error_t* error = rd_kafka_group_result_error(groups[0]))
    require_answer(rd_kafka_error_code(error), rd_kafka_error_string(error), options);
  const rd_kafka_topic_partition_list_t* list = rd_kafka_group_result_partitions(groups[0]);
  for (int i = 0; list != nullptr && i < list->cnt; ++i)
    require_answer(list->elems[i].err, "of partition " + std::to_string(list->elems[i].partition), options);
  return list;
}

rd_kafka_headers_t* headers_of(const WireHeaders& headers) {
  rd_kafka_headers_t* made = rd_kafka_headers_new(headers.size());
  for (const auto& [name, value] : headers) {
    rd_kafka_header_add(made, name.data(), static_cast<ssize_t>(name.size()), value.data(),
                        static_cast<ssize_t>(value.size()));
  }
  return made;
}

}  // namespace

/// A message between produce() and its delivery report.
struct Client::Flight {
  std::int64_t position = 0;
  std::int32_t partition = 0;
  int error = 0;
  bool alone = false;  // of its partition, with that error
  bool lost = false;
  runtime::Latch landed;
};

struct Client::Asking {
  EventHandle answer;
  runtime::Latch answered;  // or lost, where there is no answer
};

/// In the order in which they depend on each other.
struct Client::Live {
  InstanceHandle instance;
  TopicHandle topic;
  QueueHandle main;
  // Of the group that keeps the note. It never subscribes. (Asked over a producer, this library's version
  // ends the process where the group's coordinator has moved.)
  InstanceHandle member;
};

Client::Client(runtime::Runtime& runtime, observe::Metrics& metrics, observe::Logger logger,
               const Options& options, std::string note_group)
    : runtime_(runtime),
      logger_(std::move(logger)),
      options_(options),
      note_group_(std::move(note_group)),
      renewals_(metrics.counter("holdfast_kafka_producer_renewals_total",
                                "Producers made anew after a fatal error of the former.")),
      commit_failures_(metrics.counter("holdfast_kafka_commit_failures_total",
                                       "Offsets that Kafka did not take; only its own tools miss them.")),
      pool_(runtime, {.name = "kafka", .threads = 2, .max_queue = 256}) {}

Client::~Client() { stop(runtime_.context()); }

void Client::start() {
  auto made = std::make_unique<Live>();
  made->instance = make_instance(options_, true, producer_properties(options_));
  made->topic.reset(rd_kafka_topic_new(made->instance.get(), options_.topic.c_str(), nullptr));
  if (!made->topic)
    refuse("Kafka's library does not take broker.kafka.topic.", text_of(rd_kafka_last_error()));
  made->main.reset(rd_kafka_queue_get_main(made->instance.get()));
  Properties member = consumer_properties(options_, 1);
  member["group.id"] = note_group_;
  made->member = make_instance(options_, false, member);
  live_ = std::move(made);
  broken_ = false;
  notify(*live_->main, events_);
  if (running_) return;
  running_ = true;
  runtime_.spawn_on(options_.loop, "kafka events", [this] { run(); });
}

void Client::stop(const Context& ctx) noexcept {
  if (!stopping_) {
    stopping_ = true;
    events_.notify();
    if (running_) ended_.wait(ctx.detached(), "ending Kafka's events");
  }
  drop_live();
}

void Client::drop_live() noexcept {
  forget_flights();
  for (auto& [id, asking] : asking_) asking->answered.open();
  asking_.clear();
  if (!live_) return;
  silence(*live_->main);
  rd_kafka_purge(live_->instance.get(), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
  // Joins its threads: not on a loop. Shared, since std::function copies.
  static_cast<void>(pool_.post([last = std::shared_ptr<Live>(std::move(live_))]() mutable { last.reset(); }));
}

void Client::renew_if_broken() {
  const bool stuck = failing_since_ && !down_ &&
                     runtime_.clock().now() - *failing_since_ > kStuckAfter * options_.request_timeout;
  if (!broken_ && !stuck) return;
  if (stuck) {
    logger_.warn("Kafka answers, and has taken no message for long; the producer is made anew",
                 {{"error", last_error_}});
  }
  failing_since_.reset();
  renewals_.add();
  drop_live();
  start();
}

Client::Live& Client::live() {
  if (!live_ || broken_) throw_unavailable("Kafka's producer is made anew", last_error_);
  return *live_;
}

void Client::throw_unavailable(const std::string& doing, const std::string& cause) const {
  throw Error(ErrorCode::unavailable,
              doing + ": " + (cause.empty() ? "it is not connected yet" : cause) + ".")
      .reason("kafka_unavailable");
}

// ---- events

void Client::run() {
  const Context ctx = runtime_.context();
  while (!stopping_) {
    const std::uint64_t seen = events_.version();
    if (take_events() == kEventsATurn) {
      runtime::yield();
      continue;
    }
    if (!stopping_) events_.wait_past(ctx, seen, "waiting for Kafka");
  }
  ended_.open();
}

std::size_t Client::take_events() {
  std::size_t taken = 0;
  for (; live_ && taken < kEventsATurn; ++taken) {
    EventHandle event(rd_kafka_queue_poll(live_->main.get(), 0));
    if (!event) break;
    take_event(*event.release());
  }
  return taken;
}

void Client::take_event(rd_kafka_op_s& taken) {
  EventHandle event(&taken);
  switch (rd_kafka_event_type(event.get())) {
    case RD_KAFKA_EVENT_DR: return landed(*event);
    case RD_KAFKA_EVENT_ERROR:
      return failed(rd_kafka_event_error(event.get()), rd_kafka_event_error_string(event.get()));
    case RD_KAFKA_EVENT_LOG: return log_line(*event);
    case RD_KAFKA_EVENT_CREATETOPICS_RESULT:
    case RD_KAFKA_EVENT_ALTERCONSUMERGROUPOFFSETS_RESULT: break;
    default: return;
  }
  const std::uint64_t id = from_opaque(rd_kafka_event_opaque(event.get()));
  if (const auto found = asking_.find(id); found != asking_.end()) {
    found->second->answer = std::move(event);
    found->second->answered.open();
  } else if (id == 0) {  // of commit_later()
    try {
      std::size_t count = 0;
      require_answer(rd_kafka_event_error(event.get()), rd_kafka_event_error_string(event.get()), options_);
      const auto* result = rd_kafka_event_AlterConsumerGroupOffsets_result(event.get());
      partitions_of(rd_kafka_AlterConsumerGroupOffsets_result_groups(result, &count), count, options_);
    } catch (const Error& error) {
      commit_failures_.add();
      logger_.debug("offsets could not be committed", {{"error", error.what()}});
    }
  }
}

void Client::landed(rd_kafka_op_s& event) {
  std::vector<const rd_kafka_message_t*> messages(rd_kafka_event_message_count(&event));
  messages.resize(rd_kafka_event_message_array(&event, messages.data(), messages.size()));
  for (const rd_kafka_message_t* message : messages) {
    const auto found = flights_.find(from_opaque(message->_private));
    if (found == flights_.end()) continue;  // nobody waits for it any more
    const std::shared_ptr<Flight> flight = std::move(found->second);
    flights_.erase(found);
    by_position_.erase(flight->position);
    flight->error = message->err;
    flight->alone = std::ranges::count_if(messages, [&](const rd_kafka_message_t* other) {
                      return other->partition == message->partition && other->err == message->err;
                    }) == 1;
    flight->landed.open();
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
      down_ = false;
      failing_since_.reset();
    } else if (message->err != RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE && !failing_since_) {
      failing_since_ = runtime_.clock().now();
    }
  }
}

void Client::failed(int error, const std::string& text) {
  last_error_ = text.empty() ? text_of(error) : text;
  // What a server in front of none does, too: so it may pass.
  if (text.contains("SSL_HANDSHAKE") || text.contains("security.protocol"))
    last_error_ += ". If that stays so, check broker.kafka.tls.required and sasl.mechanism";
  switch (error) {
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN: down_ = true; break;
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM:
      refusal_ = "Kafka at " + joined(options_.servers) +
                 " refuses who we are: check broker.kafka.sasl.mechanism, user and password. " + last_error_;
      break;
    case RD_KAFKA_RESP_ERR__SSL:
      refusal_ = "TLS with Kafka at " + joined(options_.servers) +
                 " failed: check broker.kafka.tls.required, ca_file, certificate_file and key_file. " +
                 last_error_;
      break;
    case RD_KAFKA_RESP_ERR__FATAL: {
      char why[kErrorText] = "";
      rd_kafka_fatal_error(live_->instance.get(), why, sizeof why);
      last_error_ = why;
      broken_ = true;
      logger_.warn("Kafka's producer had a fatal error; it is made anew", {{"error", last_error_}});
      break;
    }
    default: break;
  }
  changed_.notify();
}

void Client::log_line(rd_kafka_op_s& event) {
  const char* facility = nullptr;
  const char* text = nullptr;
  int level = 0;
  if (rd_kafka_event_log(&event, &facility, &text, &level) == 0)
    logger_.debug("librdkafka", {{"facility", facility}, {"line", text}, {"level", level}});
}

// ---- sending

void Client::forget_flights() noexcept {
  for (auto& [id, flight] : flights_) {
    flight->lost = true;
    flight->landed.open();
  }
  flights_.clear();
  by_position_.clear();
}

std::shared_ptr<Client::Flight> Client::take_off(std::int64_t position, const Record& record) {
  Live& live = this->live();
  auto flight = std::make_shared<Flight>();
  flight->position = position;
  flight->partition = record.partition;
  const std::uint64_t id = next_id_++;
  rd_kafka_headers_t* headers = headers_of(record.headers);
  rd_kafka_vu_t fields[7] = {};
  fields[0].vtype = RD_KAFKA_VTYPE_RKT;
  fields[0].u.rkt = live.topic.get();
  fields[1].vtype = RD_KAFKA_VTYPE_PARTITION;
  fields[1].u.i32 = record.partition;
  fields[2].vtype = RD_KAFKA_VTYPE_KEY;
  fields[2].u.mem.ptr = const_cast<char*>(record.key.data());
  fields[2].u.mem.size = record.key.size();
  fields[3].vtype = RD_KAFKA_VTYPE_VALUE;
  fields[3].u.mem.ptr = const_cast<char*>(record.payload.data());
  fields[3].u.mem.size = record.payload.size();
  fields[4].vtype = RD_KAFKA_VTYPE_HEADERS;
  fields[4].u.headers = headers;
  fields[5].vtype = RD_KAFKA_VTYPE_OPAQUE;
  fields[5].u.ptr = to_opaque(id);
  fields[6].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
  fields[6].u.i = RD_KAFKA_MSG_F_COPY;
  rd_kafka_error_t* error = rd_kafka_produceva(live.instance.get(), fields, std::size(fields));
  if (error == nullptr) {
    flights_.emplace(id, flight);
    by_position_.insert_or_assign(position, flight);
    return flight;
  }
  rd_kafka_headers_destroy(headers);
  const int code = rd_kafka_error_code(error);
  const std::string text = rd_kafka_error_string(error);
  rd_kafka_error_destroy(error);
  if (code == RD_KAFKA_RESP_ERR__FATAL) {
    broken_ = true;
    changed_.notify();
  }
  if (code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE)
    throw Error(ErrorCode::too_large, "Kafka's library does not take so large a message.")
        .reason("message_too_large")
        .cause(text);
  throw_unavailable("Kafka does not take a message", text);
}

void Client::produce(const Context& ctx, std::int64_t position, const Record& record) {
  const auto known = by_position_.find(position);
  const std::shared_ptr<Flight> flight =
      known != by_position_.end() ? known->second : take_off(position, record);
  try {
    flight->landed.wait(ctx, "waiting for Kafka to have a message");
  } catch (const Error& error) {
    if (error.code() != ErrorCode::deadline_exceeded) throw;
    throw_unavailable("Kafka does not acknowledge a message in time", last_error_);
  }
  if (flight->lost) throw_unavailable("A message may be lost on its way to Kafka", last_error_);
  if (flight->error == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE && flight->alone) {
    throw Error(ErrorCode::too_large,
                "Kafka does not take a message of " + std::to_string(record.payload.size()) +
                    " bytes: raise max.message.bytes of the topic, or use a claim check.")
        .reason("message_too_large");
  }
  if (flight->error != RD_KAFKA_RESP_ERR_NO_ERROR)
    throw_unavailable("Kafka does not take a message: " + text_of(flight->error), last_error_);
}

// ---- asking

int Client::count_partitions(const Context& ctx) {
  Live& live = this->live();
  const rd_kafka_metadata_t* metadata = nullptr;
  rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_NO_ERROR;
  const int timeout = milliseconds(options_.connect_timeout);
  pool_.run(ctx,
            [&] { error = rd_kafka_metadata(live.instance.get(), 0, live.topic.get(), &metadata, timeout); });
  const std::unique_ptr<const rd_kafka_metadata_t, void (*)(const rd_kafka_metadata_t*)> owned(
      metadata, rd_kafka_metadata_destroy);
  take_events();  // they say why
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
    if (!refusal_.empty()) refuse(std::exchange(refusal_, {}), last_error_);
    throw_unavailable("Kafka at " + joined(options_.servers) + " can't be reached (broker.kafka.servers)",
                      last_error_.empty() ? text_of(error) : last_error_);
  }
  down_ = false;
  refusal_.clear();
  if (metadata->topic_cnt == 0) return 0;
  const rd_kafka_metadata_topic_t& topic = metadata->topics[0];
  if (topic.err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || topic.err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC)
    return 0;
  require_answer(topic.err, "of the topic " + options_.topic, options_);
  return topic.partition_cnt;
}

EventHandle Client::ask(const Context& ctx, int operation,
                        const std::function<void(rd_kafka_AdminOptions_s*, rd_kafka_queue_s*)>& start) {
  Live& live = this->live();
  const std::uint64_t id = next_id_++;
  const auto asking = std::make_shared<Asking>();
  rd_kafka_AdminOptions_t* options =
      rd_kafka_AdminOptions_new(live.instance.get(), static_cast<rd_kafka_admin_op_t>(operation));
  char error[kErrorText] = "";
  rd_kafka_AdminOptions_set_request_timeout(options, milliseconds(options_.request_timeout), error,
                                            sizeof error);
  rd_kafka_AdminOptions_set_opaque(options, to_opaque(id));
  asking_.emplace(id, asking);
  start(options, live.main.get());
  rd_kafka_AdminOptions_destroy(options);
  try {
    asking->answered.wait(ctx.with_timeout(options_.request_timeout + kAnswerGrace), "asking Kafka");
  } catch (const Error&) {
    asking_.erase(id);
    if (ctx.cancelled()) throw;
    throw_unavailable("Kafka does not answer in time", last_error_);
  }
  asking_.erase(id);
  if (!asking->answer) throw_unavailable("Kafka's answer was lost", last_error_);
  require_answer(rd_kafka_event_error(asking->answer.get()),
                 rd_kafka_event_error_string(asking->answer.get()), options_);
  return std::move(asking->answer);
}

void Client::create_topic(const Context& ctx) {
  char error[kErrorText] = "";
  rd_kafka_NewTopic_t* topic = rd_kafka_NewTopic_new(options_.topic.c_str(), options_.partitions,
                                                     options_.replication, error, sizeof error);
  if (topic == nullptr)
    refuse("Kafka's library does not take broker.kafka.partitions or replication.", error);
  const auto age = std::chrono::duration_cast<std::chrono::milliseconds>(options_.max_age).count();
  rd_kafka_NewTopic_set_config(topic, "cleanup.policy", "delete");
  rd_kafka_NewTopic_set_config(topic, "retention.ms", std::to_string(age).c_str());
  rd_kafka_NewTopic_set_config(topic, "max.message.bytes",
                               std::to_string(options_.max_message_bytes).c_str());
  if (options_.replication >= 3) rd_kafka_NewTopic_set_config(topic, "min.insync.replicas", "2");
  const std::unique_ptr<rd_kafka_NewTopic_t, void (*)(rd_kafka_NewTopic_t*)> owned(topic,
                                                                                   rd_kafka_NewTopic_destroy);
  const EventHandle answer = ask(ctx, RD_KAFKA_ADMIN_OP_CREATETOPICS, [&](auto* options, auto* queue) {
    rd_kafka_CreateTopics(live_->instance.get(), &topic, 1, options, queue);
  });
  std::size_t count = 0;
  const rd_kafka_topic_result_t** topics =
      rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(answer.get()), &count);
  if (count == 0) return;
  const rd_kafka_resp_err_t code = rd_kafka_topic_result_error(topics[0]);
  const char* text = rd_kafka_topic_result_error_string(topics[0]);
  switch (code) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
    case RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS: return;
    case RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR:
    case RD_KAFKA_RESP_ERR_INVALID_PARTITIONS:
    case RD_KAFKA_RESP_ERR_INVALID_CONFIG:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
    case RD_KAFKA_RESP_ERR_INVALID_REQUEST:
      refuse("Kafka does not make the topic " + options_.topic +
                 ": check broker.kafka.partitions, replication and max_message_bytes, or make it yourself. " +
                 (text == nullptr ? text_of(code) : text),
             text_of(code));
    default: require_answer(code, text == nullptr ? "" : text, options_);
  }
}

std::string Client::note(const Context& ctx) {
  rd_kafka_t* member = live().member.get();
  const PartitionList asked(rd_kafka_topic_partition_list_new(1));
  rd_kafka_topic_partition_t* one = rd_kafka_topic_partition_list_add(asked.get(), options_.topic.c_str(), 0);
  rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_NO_ERROR;
  pool_.run(ctx,
            [&] { error = rd_kafka_committed(member, asked.get(), milliseconds(options_.request_timeout)); });
  require_answer(error != RD_KAFKA_RESP_ERR_NO_ERROR ? error : one->err,
                 "asking for the offset of " + note_group_, options_);
  if (one->metadata == nullptr) return {};
  return {static_cast<const char*>(one->metadata), one->metadata_size};
}

void Client::commit_note(const Context& ctx, const std::string& note) {
  rd_kafka_t* member = live().member.get();
  const PartitionList list(rd_kafka_topic_partition_list_new(1));
  rd_kafka_topic_partition_t* one = rd_kafka_topic_partition_list_add(list.get(), options_.topic.c_str(), 0);
  one->offset = 0;
  one->metadata = rd_kafka_mem_malloc(member, note.size());
  one->metadata_size = note.size();
  std::memcpy(one->metadata, note.data(), note.size());
  rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_NO_ERROR;
  pool_.run(ctx, [&] { error = rd_kafka_commit(member, list.get(), 0); });
  require_answer(error != RD_KAFKA_RESP_ERR_NO_ERROR ? error : one->err,
                 "committing the offset of " + note_group_, options_);
}

/// librdkafka 2.0.2 has a fault here: where the server is lost in the very moment that a request of this kind
/// is under way, it may end the process (`rd_kafka_enq_once_del_source_return: Assertion`; seen twice in some
/// hundred kills with a commit every 50 ms). Hence not often.
void Client::commit_later(const std::string& group, const Offsets& offsets) {
  if (offsets.empty() || !live_ || broken_ || down_) return;
  const PartitionList list(rd_kafka_topic_partition_list_new(static_cast<int>(offsets.size())));
  for (const auto& [partition, offset] : offsets)
    rd_kafka_topic_partition_list_add(list.get(), options_.topic.c_str(), partition)->offset = offset;
  rd_kafka_AlterConsumerGroupOffsets_t* change =
      rd_kafka_AlterConsumerGroupOffsets_new(group.c_str(), list.get());
  rd_kafka_AlterConsumerGroupOffsets(live_->instance.get(), &change, 1, nullptr, live_->main.get());
  rd_kafka_AlterConsumerGroupOffsets_destroy(change);
}

}  // namespace holdfast::messaging::kafka
