#include "holdfast/messaging/kafka/internal/topic_log.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include "holdfast/messaging/relay.hpp"
#include "holdfast/runtime/fiber.hpp"

namespace holdfast::messaging::kafka {
namespace {

constexpr Duration kLookAgain = std::chrono::milliseconds(50);
constexpr int kMostLooks = 20;                       ///< for a topic that was just made
constexpr int kLooksBefore = 3;                      ///< it is made: servers that just began know of none yet
constexpr Duration kRemark = std::chrono::hours(1);  ///< Kafka forgets offsets that are a week old
constexpr std::string_view kHexDigits = "0123456789abcdef";

void require_names(const Options& options) {
  const auto token = [](const std::string& text) {
    return !text.empty() && text.size() <= 200 && text != "." && text != ".." &&
           std::ranges::all_of(text, [](char c) {
             return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    std::string_view("._-").contains(c);
           });
  };
  const auto bad = [](const char* what) {
    throw Error(ErrorCode::invalid_argument, what).reason("messaging_options_invalid");
  };
  if (options.servers.empty()) bad("broker.kafka.servers must name a server.");
  for (const std::string& server : options.servers) {
    if (server.empty() || server.contains(',') || server.contains('/') || server.contains('@'))
      bad("broker.kafka.servers must be host:port each, without a scheme or credentials.");
  }
  if (!token(options.topic)) bad("broker.kafka.topic must be letters, digits, '.', '_' or '-', at most 200.");
  if (options.partitions < 1 || options.partitions > kBuckets)
    bad("broker.kafka.partitions must be 1 to 64: there are as many buckets.");
  if (options.replication == 0 || options.replication < -1 || options.replication > 32)
    bad("broker.kafka.replication must be 1 to 32, or -1 for the cluster's default.");
  if (options.max_message_bytes < 1024 || options.max_message_bytes > 100'000'000)
    bad("broker.kafka.max_message_bytes must be 1024 to 100000000.");
  const std::string& mechanism = options.sasl.mechanism;
  if (!mechanism.empty() && mechanism != "PLAIN" && mechanism != "SCRAM-SHA-256" &&
      mechanism != "SCRAM-SHA-512")
    bad("broker.kafka.sasl.mechanism must be PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.");
  if (mechanism.empty() != options.sasl.user.empty())
    bad("broker.kafka.sasl.mechanism and user belong together.");
  if (options.tls.certificate_file.empty() != options.tls.key_file.empty())
    bad("broker.kafka.tls.certificate_file and key_file belong together.");
}

/// "<partitions>-<random>"; 0 for anything else.
int partitions_in(std::string_view mark) {
  int partitions = 0;
  const auto [end, error] = std::from_chars(mark.data(), mark.data() + mark.size(), partitions);
  const bool ours = error == std::errc() && end != mark.data() + mark.size() && *end == '-' &&
                    partitions >= 1 && partitions <= kBuckets;
  return ours ? partitions : 0;
}

std::string make_mark(int partitions, Random& random) {
  std::string mark = std::to_string(partitions) + "-";
  for (std::uint64_t bits = random.next(), digits = 0; digits < 16; ++digits, bits >>= 4)
    mark += kHexDigits[bits & 15];
  return mark;
}

}  // namespace

TopicLog::TopicLog(runtime::Runtime& runtime, observe::Metrics& metrics, observe::Logger logger,
                   Options options)
    : malformed(metrics.counter("holdfast_kafka_malformed_total",
                                "Records of the topic that this platform did not write; passed over.")),
      stale(metrics.counter("holdfast_kafka_stale_total",
                            "Records meant for a topic of the same name that is gone; passed over.")),
      resets(
          metrics.counter("holdfast_kafka_reader_resets_total",
                          "Partitions that a reader began anew: another log, or an error of the server's.")),
      doubted(metrics.counter("holdfast_kafka_doubted_total",
                              "Records that came without the one before, for which the topic was checked.")),
      runtime_(runtime),
      logger_(std::move(logger)),
      options_(std::move(options)),
      client_(runtime, metrics, logger_, options_, group_name(kRelayGroup)),
      connected_(metrics.gauge("holdfast_kafka_connected", "1 while connected and the topic is there.")),
      connections_(
          metrics.counter("holdfast_kafka_connections_total", "Times the cluster was reached anew.")) {
  require_names(options_);
}

std::string TopicLog::problem() const {
  const std::lock_guard lock(mutex_);
  return problem_;
}

int TopicLog::require_topic(const Context& ctx) {
  for (int looks = 0; looks < kLooksBefore; ++looks) {
    if (looks > 0) runtime::sleep_for(ctx, kLookAgain);
    if (const int partitions = client_.count_partitions(ctx); partitions > 0) return partitions;
  }
  if (!options_.own_outbox)
    throw Error(ErrorCode::unavailable, "Kafka has no topic " + options_.topic + " (broker.kafka.topic).")
        .reason("kafka_no_topic");
  client_.create_topic(ctx);
  for (int looks = 0; looks < kMostLooks; ++looks) {
    if (const int partitions = client_.count_partitions(ctx); partitions > 0) {
      logger_.info(ctx, "made the topic", {{"topic", options_.topic}, {"partitions", partitions}});
      return partitions;
    }
    runtime::sleep_for(ctx, kLookAgain);
  }
  throw Error(ErrorCode::unavailable, "The topic " + options_.topic + " was made, and is not there yet.")
      .reason("kafka_no_topic");
}

std::string TopicLog::agree_on_mark(const Context& ctx, int partitions) {
  const auto valid = [&](const std::string& mark) {
    return partitions_in(mark) > 0 && partitions_in(mark) <= partitions;
  };
  std::string mark = client_.note(ctx);
  const Instant now = runtime_.clock().now();
  if (valid(mark)) {
    if (options_.own_outbox && (marked_at_ == Instant{} || now - marked_at_ > kRemark)) {
      client_.commit_note(ctx, mark);
      marked_at_ = now;
    }
    return mark;
  }
  if (!options_.own_outbox)
    throw Error(ErrorCode::unavailable, "Nobody has begun to send to the topic " + options_.topic + " yet.")
        .reason("kafka_no_log");
  client_.commit_note(ctx, make_mark(std::min(partitions, kBuckets), runtime_.random()));
  marked_at_ = now;
  runtime::sleep_for(ctx, kLookAgain);  // another process may have done the same; the last one counts
  mark = client_.note(ctx);
  if (!valid(mark))
    throw Error(ErrorCode::unavailable, "The topic's mark is not there yet.").reason("kafka_no_log");
  logger_.info(ctx, "a new log begins", {{"topic", options_.topic}, {"mark", mark}});
  return mark;
}

void TopicLog::check(const Context& ctx) {
  const std::uint64_t number = ++checks_begun_;
  client_.renew_if_broken();
  const std::string mark = agree_on_mark(ctx, require_topic(ctx));
  checks_done_ = number;
  if (mark == mark_ && !identity_.empty()) return notify_listeners();
  if (identity_.empty()) {
    connections_.add();
    logger_.info(ctx, "connected to Kafka", {{"topic", options_.topic}, {"mark", mark}});
  }
  set_identity(mark, {});
}

std::uint64_t TopicLog::demand_check() {
  demanded_ = checks_begun_ + 1;
  client_.changed().notify();
  return demanded_;
}

void TopicLog::notify_listeners() noexcept {
  for (runtime::Signal* listener : listeners_) listener->notify();
}

void TopicLog::set_identity(const std::string& mark, std::string problem) {
  if (!mark.empty() && mark != mark_) {
    client_.forget_flights();  // they were meant for another log
    mark_ = mark;
    partitions_ = partitions_in(mark);
  }
  identity_ = mark.empty() ? std::string() : options_.topic + "@" + mark;
  notify_listeners();
  const std::lock_guard lock(mutex_);
  problem_ = std::move(problem);
  connected_.set(identity_.empty() ? 0 : 1);
}

void TopicLog::connect(const Context& ctx) {
  client_.start();
  try {
    check(ctx);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::unavailable) {
      client_.stop(ctx);
      throw;
    }
    set_identity({}, error.what());
    logger_.warn(ctx, "Kafka can't be reached; it is tried again until it can", {{"error", error.what()}});
  }
  keeping_ = true;
  runtime_.spawn_on(options_.loop, "kafka topic", [this] { keep(); });
}

void TopicLog::keep() {
  const Context ctx = runtime_.context();
  for (std::uint32_t tries = 0; !closing_;) {
    if (!identity_.empty()) {
      tries = 0;
      const std::uint64_t seen = client_.changed().version();
      runtime::Woken woken = runtime::Woken::by_event;
      if (demanded_ <= checks_begun_) {
        woken = client_.changed().wait_past(ctx.with_timeout(options_.check_interval), seen,
                                            "waiting for Kafka to be lost");
      }
      if (closing_) break;
      if (client_.down()) {
        set_identity({}, "Kafka is not connected: " + client_.last_error() + ".");
        logger_.warn(ctx, "the connection to Kafka was lost", {{"error", client_.last_error()}});
        continue;
      }
      const bool demanded = demanded_ > checks_begun_;
      if (woken == runtime::Woken::by_event && !client_.broken() && !demanded) continue;
    } else {
      const Duration wait = resilience::backoff_delay(options_.reconnect, tries, runtime_.random());
      const std::uint64_t seen = wake_.version();
      if (!closing_) wake_.wait_past(ctx.with_timeout(wait), seen, "waiting to connect to Kafka");
      if (closing_) break;
    }
    try {
      check(ctx);
    } catch (const std::exception& error) {
      if (closing_) break;
      if (tries++ == 0 || problem() != error.what())
        logger_.warn(ctx, "Kafka can't be used now; it is tried again until it can",
                     {{"error", error.what()}});
      set_identity({}, error.what());
    }
  }
  ended_.open();
}

void TopicLog::close(const Context& ctx) noexcept {
  if (closing_) return;
  closing_ = true;
  wake_.notify();
  client_.changed().notify();
  if (keeping_) ended_.wait(ctx.detached(), "closing the connection to Kafka");
  client_.stop(ctx);
  set_identity({}, "It is closed.");
}

}  // namespace holdfast::messaging::kafka
