#include "holdfast/messaging/redis/internal/log.hpp"

#include <algorithm>
#include <charconv>
#include <tuple>

#include "holdfast/base/error.hpp"
#include "holdfast/messaging/internal/wire.hpp"
#include "holdfast/messaging/redis/internal/check.hpp"
#include "holdfast/messaging/redis/internal/entries.hpp"
#include "holdfast/messaging/redis/internal/reader.hpp"
#include "holdfast/messaging/relay.hpp"
#include "holdfast/runtime/fiber.hpp"

namespace holdfast::messaging::redis_streams {
namespace {

using holdfast::redis::Commands;
using holdfast::redis::Reply;

constexpr int kMarks = 16;  ///< of positions, over `keep`
constexpr Duration kStoreTimeout = std::chrono::seconds(5);

[[noreturn]] void invalid(const char* what) {
  throw Error(ErrorCode::invalid_argument, what).reason("messaging_options_invalid");
}

Options checked(Options options) {
  const bool plain = std::ranges::all_of(options.prefix, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("_-.:").contains(c);
  });
  if (options.prefix.empty() || options.prefix.size() > 128 || !plain)
    invalid("broker.redis.prefix must be letters, digits, '_', '-', '.' or ':'.");
  if (options.max_messages < 1) invalid("broker.redis.max_messages must be at least 1.");
  if (options.max_bytes < 1) invalid("broker.redis.max_bytes must be at least 1.");
  if (options.wait_replicas < 0 || options.wait_replicas > 16)
    invalid("broker.redis.wait_replicas must be 0 to 16.");
  if (options.keep < Duration(0) || options.watch <= Duration(0))
    invalid("The time that messages are kept for can't be negative, and that between looks must be above 0.");
  return options;
}

/// Neither retries nor a breaker: whoever sends and reads tries again by itself, with jitter.
resilience::PipelineOptions pipeline_options(Duration timeout) {
  resilience::PipelineOptions options = holdfast::redis::pipeline_defaults();
  const auto micros = std::chrono::ceil<std::chrono::microseconds>(timeout);
  options.timeout = {.total = micros, .attempt = micros};
  options.breaker.enabled = false;
  options.recovery.enabled = false;
  return options;
}

holdfast::redis::ClientOptions client_options(const Options& options, std::string name, Duration block) {
  holdfast::redis::ClientOptions client;
  client.connection.name = std::move(name);
  client.connection.address = options.address;
  client.connection.ca_file = options.ca_file;
  client.connection.connect_timeout = options.connect_timeout;
  client.connection.answer_timeout = options.request_timeout + block;
  client.connection.reconnect_base = options.reconnect.base;
  client.connection.reconnect_cap = options.reconnect.cap;
  client.connection.max_reply_bytes = kMaxReplyBytes;
  client.connection.max_output_bytes = kMaxReplyBytes;
  return client;
}

Error away(std::string reason, std::string why) {
  return Error(ErrorCode::unavailable, std::move(why)).reason(std::move(reason));
}

}  // namespace

Log::Log(runtime::Runtime& runtime, sql::Database* outbox_of, observe::Metrics& metrics,
         observe::Logger logger, Options options)
    : malformed(metrics.counter("holdfast_redis_streams_malformed_total",
                                "Entries of the streams that this platform did not write; passed over.")),
      read_failures(metrics.counter("holdfast_redis_streams_read_failures_total",
                                    "Reads of the streams that failed; they are made again.")),
      runtime_(runtime),
      outbox_of_(outbox_of),
      metrics_(metrics),
      logger_(std::move(logger)),
      options_(checked(std::move(options))),
      hash_(options_.prefix + ":log"),
      pipeline_("redis-broker", pipeline_options(options_.request_timeout),
                {runtime.clock(), runtime.random(), metrics}, holdfast::redis::judgements()),
      reading_("redis-broker-reads", pipeline_options(std::chrono::hours(1)),
               {runtime.clock(), runtime.random(), metrics}, holdfast::redis::judgements()),
      client_(runtime, client_options(options_, "broker", Duration(0)), pipeline_, metrics, logger_),
      connected_(
          metrics.gauge("holdfast_redis_streams_connected", "1 while connected and the log is there.")),
      messages_(metrics.gauge("holdfast_redis_streams_messages", "In the streams, of all buckets.")),
      bytes_(metrics.gauge("holdfast_redis_streams_bytes", "Memory of the streams, as Redis estimates it.")),
      duplicates_(metrics.counter("holdfast_redis_streams_duplicates_total",
                                  "Messages sent again that the streams had, by their positions.")),
      trimmed_(metrics.counter("holdfast_redis_streams_trimmed_total", "Handled messages taken out.")),
      refusals_(metrics.counter("holdfast_redis_streams_full_total",
                                "Messages not taken because the streams are at their limit.")) {
  for (int bucket = 0; bucket < kBuckets; ++bucket)
    streams_[static_cast<std::size_t>(bucket)] = options_.prefix + ":" + std::to_string(bucket);
}

std::unique_ptr<holdfast::redis::Client> Log::make_reading_client(Duration block) const {
  return std::make_unique<holdfast::redis::Client>(runtime_, client_options(options_, "broker-reads", block),
                                                   reading_, metrics_, logger_);
}

std::string Log::problem() const {
  const std::lock_guard lock(mutex_);
  return problem_;
}

void Log::set(std::string identity, std::string problem) {
  const bool changed = identity_ != identity;
  if (changed && !identity.empty()) logger_.info("found the log in Redis", {{"log", identity}});
  identity_ = std::move(identity);
  {
    const std::lock_guard lock(mutex_);
    problem_ = std::move(problem);
  }
  connected_.set(identity_.empty() ? 0 : 1);
  if (!changed) return;
  marks_.clear();
  trimmed_to_ = {};
  for (StreamReader* reader : readers_) reader->look_again();
}

/// One script many times, in one journey.
std::vector<Reply> Log::run(const Context& ctx, const holdfast::redis::Script& script, const Calls& calls) {
  Commands commands;
  for (const auto& [keys, arguments] : calls) {
    const std::string count = std::to_string(keys.size());
    std::vector<std::string_view> words{"EVALSHA", script.sha1(), count};
    words.insert(words.end(), keys.begin(), keys.end());
    words.insert(words.end(), arguments.begin(), arguments.end());
    commands.add(words);
  }
  std::vector<Reply> replies = client_.commands(ctx, commands);
  if (std::ranges::any_of(replies, [](const Reply& r) { return r.error_word() == "NOSCRIPT"; })) {
    client_.command(ctx, {"SCRIPT", "LOAD", script.source()});
    replies = client_.commands(ctx, commands);  // none that ran does harm twice
  }
  for (const Reply& reply : replies) {
    if (reply.error()) throw holdfast::redis::to_error(reply);
  }
  return replies;
}

// ---- the log

std::string Log::ask_identity(const Context& ctx) {
  std::vector<std::string> keys{hash_};
  keys.insert(keys.end(), streams_.begin(), streams_.end());
  const std::string fresh = std::to_string(runtime_.random().next());
  const std::vector<Reply> replies =
      run(ctx, scripts_.identify, {{std::move(keys), {fresh, outbox_of_ != nullptr ? "1" : "0"}}});
  const std::vector<Reply>& answer = replies.front().as_array();
  if (answer.size() == 2) {
    refuse(
        "The key " + answer[1].text +
        " of Redis is there already and not of this log: choose another broker.redis.prefix, or delete what "
        "is under this one.");
  }
  if (answer.empty() || answer.front().as_text().empty())
    throw away("redis_log_missing", "There is no log under " + options_.prefix + " in Redis yet.");
  return answer.front().as_text();
}

Positions Log::last_positions(const Context& ctx) {
  const Reply answer = client_.command(ctx, {"HGETALL", hash_}, {.idempotent = true});
  Positions positions{};
  const std::vector<Reply>& fields = answer.as_array();
  for (std::size_t i = 0; i + 1 < fields.size(); i += 2) {
    const std::string& name = fields[i].as_text();
    if (!name.starts_with('b') || name == "bytes") continue;
    const auto bucket = number_of<std::size_t>(std::string_view(name).substr(1));
    const auto position = number_of<std::int64_t>(fields[i + 1].as_text());
    if (bucket && position && *bucket < positions.size()) positions[*bucket] = *position;
  }
  return positions;
}

void Log::add(const Context& ctx, const std::string& identity, const Message& message) {
  const int bucket = bucket_of(message.key);
  std::vector<std::string> arguments{identity, std::to_string(bucket), std::to_string(message.position),
                                     std::to_string(options_.max_messages),
                                     std::to_string(options_.max_bytes)};
  for (auto& [name, value] : to_wire(message)) {
    arguments.push_back(std::move(name));
    arguments.push_back(std::move(value));
  }
  arguments.emplace_back(kBodyField);
  arguments.push_back(message.payload);
  std::string said;
  try {
    said = run(ctx, scripts_.add, {{{hash_, stream(bucket)}, std::move(arguments)}}).front().as_text();
  } catch (const Error&) {
    if (!identity_.empty()) wake_.notify();  // whoever watches is to see it soon
    throw;
  }
  if (said == "known") {
    duplicates_.add();
  } else if (said == "full") {
    full(ctx);
  } else if (said == "foreign") {
    throw away("redis_stream_foreign",
               "Somebody else writes to the stream " + stream(bucket) +
                   " of Redis: stop that, then delete the stream; it is filled again.");
  } else if (said != "added") {
    throw away("redis_log_replaced", "Redis holds another log than the one this was meant for: " + identity);
  }
  if (options_.wait_replicas == 0) return;
  const auto most = std::chrono::duration_cast<std::chrono::milliseconds>(options_.request_timeout / 2);
  const std::int64_t have =
      client_.command(ctx, {"WAIT", std::to_string(options_.wait_replicas), std::to_string(most.count())})
          .as_integer();
  if (have < options_.wait_replicas) {
    throw away("redis_too_few_replicas", "Only " + std::to_string(have) + " replicas have it; " +
                                             std::to_string(options_.wait_replicas) +
                                             " are to (broker.redis.wait_replicas).");
  }
}

void Log::full(const Context& ctx) {
  refusals_.add();
  if (!pressed_) {
    pressed_ = true;
    wake_.notify();
  }
  throw away("redis_log_full",
             "The streams in Redis are full (broker.redis.max_messages, max_bytes): nothing is dropped, the "
             "outbox waits until the slowest group" +
                 slowest_group(ctx) + " has handled more.");
}

// ---- what is looked at once in `watch`

std::string Log::slowest_group(const Context& ctx) {
  if (outbox_of_ == nullptr) return {};
  try {
    const auto group = outbox_of_->query_one<std::string>(
        ctx.with_timeout(kStoreTimeout),
        "select group_name from outbox_leases where group_name <> $1 order by position limit 1", kRelayGroup);
    return group ? ", " + *group + "," : std::string();
  } catch (const Error&) {
    return {};  // it is only said in passing
  }
}

/// Up to where no group of the database needs a bucket's messages any more. None where it has no groups: who
/// comes next may want all that is there.
std::optional<Positions> Log::handled(const Context& ctx) {
  using Row = std::tuple<std::int64_t, std::int64_t>;
  Positions positions{};
  const auto rows = outbox_of_->query<Row>(
      ctx.with_timeout(kStoreTimeout),
      "select bucket, min(position) from outbox_leases where group_name <> $1 group by bucket", kRelayGroup);
  if (rows.empty()) return std::nullopt;
  for (const auto& [bucket, position] : rows) positions.at(static_cast<std::size_t>(bucket)) = position;
  return positions;
}

void Log::measure(const Context& ctx) {
  Commands questions;
  for (const std::string& stream : streams_) questions.add({"MEMORY", "USAGE", stream});
  questions.add({"HGET", hash_, "messages"});
  const std::vector<Reply> answers = client_.commands(ctx, questions);
  std::int64_t bytes = 0;
  for (std::size_t i = 0; i + 1 < answers.size(); ++i)
    bytes += answers[i].kind == Reply::Kind::integer ? answers[i].integer : 0;
  const std::int64_t messages = number_of<std::int64_t>(answers.back().text).value_or(0);
  client_.command(ctx, {"HSET", hash_, "bytes", std::to_string(bytes)}, {.idempotent = true});
  messages_.set(messages);
  bytes_.set(bytes);
  pressed_ = messages > options_.max_messages / 2 || bytes > options_.max_bytes / 2;
}

void Log::trim(const Context& ctx) {
  const Instant now = runtime_.clock().now();
  if (marks_.empty() || now - marks_.back().at >= options_.keep / kMarks)
    marks_.push_back({.at = now, .positions = last_positions(ctx)});
  while (marks_.size() > 1 && now - marks_[1].at >= options_.keep) marks_.pop_front();
  const bool old = now - marks_.front().at >= options_.keep;
  if (!old && !pressed_) return;
  std::optional<Positions> needed = handled(ctx);
  if (!needed) return;
  Calls calls;
  Positions trimmed_to = trimmed_to_;
  for (std::size_t bucket = 0; bucket < needed->size(); ++bucket) {
    std::int64_t to = (*needed)[bucket];
    if (!pressed_) to = std::min(to, marks_.front().positions[bucket]);
    if (to <= trimmed_to[bucket]) continue;
    trimmed_to[bucket] = to;
    calls.push_back({{hash_, streams_[bucket]}, {identity_, std::to_string(to)}});
  }
  if (calls.empty()) return;
  for (const Reply& gone : run(ctx, scripts_.trim, calls))
    trimmed_.add(static_cast<std::uint64_t>(gone.as_integer()));
  trimmed_to_ = trimmed_to;
}

void Log::tell(const Context& ctx) {
  if (recorded_.empty()) return;
  Calls calls;
  const auto told = std::exchange(recorded_, {});
  for (const auto& [where, position] : told) {
    const auto& [group, bucket] = where;
    calls.push_back({{hash_, stream(bucket)}, {std::to_string(bucket), group, std::to_string(position)}});
  }
  run(ctx, scripts_.tell, calls);
}

void Log::look(const Context& ctx) {
  set(ask_identity(ctx), {});
  tell(ctx);
  if (outbox_of_ == nullptr) return;
  measure(ctx);
  trim(ctx);
}

void Log::connect(const Context& ctx) {
  try {
    check_server(ctx.with_timeout(options_.connect_timeout + options_.request_timeout), client_, logger_);
    set(ask_identity(ctx), {});
  } catch (const Error& error) {
    if (error.reason() == "redis_auth_failed")
      refuse(
          "Redis refuses who broker.redis.url says we are: check its user and password, and what the user "
          "may do. (" +
          error.cause() + ")");
    if (error.cause().find("WRONGTYPE") != std::string::npos)
      refuse("The key " + hash_ + " of Redis is somebody else's: choose another broker.redis.prefix.");
    if (error.code() != ErrorCode::unavailable && error.code() != ErrorCode::deadline_exceeded) throw;
    set({}, error.what());
    logger_.warn(ctx, "the broker's Redis can't be used now; it is tried again until it can",
                 {{"error", error.what()}});
  }
  keeping_ = true;
  runtime_.spawn_on(options_.loop, "redis streams", [this] { keep(); });
}

void Log::keep() {
  const Context ctx = runtime_.context();
  for (std::uint32_t tries = 0; !closing_;) {
    const std::uint64_t seen = wake_.version();
    Duration wait = options_.watch;
    try {
      look(ctx.with_timeout(kStoreTimeout));
      tries = 0;
    } catch (const std::exception& error) {
      if (tries == 0 || problem() != error.what())
        logger_.warn(ctx, "the broker's Redis can't be used now; it is tried again until it can",
                     {{"error", error.what()}});
      set({}, error.what());
      wait = std::min(wait, resilience::backoff_delay(options_.reconnect, tries++, runtime_.random()));
    }
    if (!closing_) wake_.wait_past(ctx.with_timeout(wait), seen, "watching the streams in Redis");
  }
  ended_.open();
}

void Log::close(const Context& ctx) noexcept {
  if (closing_) return;
  closing_ = true;
  wake_.notify();
  if (keeping_) ended_.wait(ctx.detached(), "closing the streams in Redis");
  set({}, "It is closed.");
}

}  // namespace holdfast::messaging::redis_streams
