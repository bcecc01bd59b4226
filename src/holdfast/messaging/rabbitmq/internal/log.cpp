#include "holdfast/messaging/rabbitmq/internal/log.hpp"

#include <algorithm>
#include <utility>

#include "holdfast/base/error.hpp"
#include "holdfast/runtime/fiber.hpp"

namespace holdfast::messaging::rabbitmq {
namespace {

constexpr Duration kFirstOfRoll = std::chrono::milliseconds(150);  ///< comes as soon as it is asked for
constexpr Duration kQuietRoll = std::chrono::milliseconds(20);
constexpr Duration kNoteEvery = std::chrono::hours(1);
constexpr std::int64_t kSegmentBytes = 8'000'000;  ///< whole ones are dropped when they are old
constexpr int kMostRounds = 8;                     ///< in which processes agree on a log
constexpr const char* kRollConsumer = "roll";

[[noreturn]] void refuse(std::string what, std::string cause = {}) {
  throw Error(ErrorCode::failed_precondition, std::move(what))
      .reason("rabbitmq_refused")
      .cause(std::move(cause));
}

void require_valid(const Options& options) {
  const auto bad = [](const char* what) {
    throw Error(ErrorCode::invalid_argument, what).reason("messaging_options_invalid");
  };
  const bool plain = !options.prefix.empty() && std::ranges::all_of(options.prefix, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
  if (options.servers.empty()) bad("broker.rabbitmq.servers must name a server.");
  if (!plain || options.prefix.size() > 100)
    bad("broker.rabbitmq.prefix must be at most 100 letters, digits, '_' or '-'.");
  if (options.vhost.empty() || options.vhost.size() > 255)
    bad("broker.rabbitmq.vhost must have 1 to 255 bytes.");
  if (options.heartbeat < std::chrono::seconds(1) || options.heartbeat > std::chrono::minutes(10))
    bad("broker.rabbitmq's heartbeat must be between a second and ten minutes.");
  if (options.max_age < std::chrono::minutes(1)) bad("Streams must keep messages for at least a minute.");
}

std::vector<ServerAddress> addresses_of(const Options& options) {
  require_valid(options);
  std::vector<ServerAddress> servers;
  for (const std::string& url : options.servers) {
    ServerAddress server = parse_server(url);
    if (options.tls.required && !server.tls) {
      if (!url.substr(url.find("//") + 2).contains(':')) server.port = 5671;
      server.tls = true;
    }
    servers.push_back(std::move(server));
  }
  return servers;
}

Table stream_arguments(const Options& options) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(options.max_age).count();
  return {{"x-queue-type", std::string("stream")},
          {"x-max-age", std::to_string(seconds) + "s"},
          {"x-stream-max-segment-size-bytes", kSegmentBytes}};
}

/// A name for a log: short, of a consonant-rich alphabet so that it spells nothing.
std::string new_name(Random& random) {
  constexpr std::string_view kLetters = "bcdfghjkmnpqrstvwxz23456789";
  std::string name;
  for (int i = 0; i < 8; ++i) name += kLetters[random.below(kLetters.size())];
  return name;
}

}  // namespace

Log::Log(runtime::Runtime& runtime, observe::Metrics& metrics, observe::Logger logger, Options options)
    : malformed(metrics.counter("holdfast_rabbitmq_malformed_total",
                                "Messages of the streams that this platform did not write; passed over.")),
      resets(metrics.counter("holdfast_rabbitmq_reader_resets_total",
                             "Readers made anew after a lost consumer or channel.")),
      runtime_(runtime),
      logger_(std::move(logger)),
      options_(std::move(options)),
      servers_(addresses_of(options_)),
      resolver_(runtime, {.name = "rabbitmq-dns", .threads = 1, .max_queue = 4}),
      publishing_(runtime.loop(options_.loop), options_, "publishing", changed_),
      reading_(runtime.loop(options_.loop), options_, "reading", changed_),
      connected_(
          metrics.gauge("holdfast_rabbitmq_connected", "1 while connected and the streams are there.")),
      blocked_(metrics.gauge("holdfast_rabbitmq_blocked",
                             "1 while the server takes no messages: low on memory or disk.")),
      connections_(metrics.counter("holdfast_rabbitmq_connections_total", "Pairs of connections made.")),
      unrouted_(metrics.counter("holdfast_rabbitmq_unrouted_total",
                                "Messages returned because their stream was gone; they are sent again.")) {}

std::string Log::problem() const {
  const std::lock_guard lock(mutex_);
  return problem_;
}

const std::string& Log::identity() const noexcept {
  static const std::string kNone;
  return publishing_.open() && reading_.open() ? identity_ : kNone;
}

std::string Log::stream(const std::string& log, int bucket) const {
  return options_.prefix + "." + log + "." + std::to_string(bucket);
}

std::string Log::stream(int bucket) const { return stream(log_, bucket); }

std::string Log::key(int bucket, const std::string& topic) const {
  return log_ + "." + std::to_string(bucket) + "." + topic;
}

void Log::publish(const Context& ctx, int bucket, const std::string& topic, const Content& content) {
  try {
    if (publisher_->publish(ctx, exchange(), key(bucket, topic), content)) return;
  } catch (const Error&) {
    if (!publisher_->open()) suspect();  // another channel is needed
    throw;
  }
  unrouted_.add();
  suspect();
  throw Error(ErrorCode::unavailable, "A stream of RabbitMQ is gone.").reason("rabbitmq_unrouted");
}

void Log::passed(const Context& ctx, std::int64_t position) {
  highest_ = std::max(highest_, position);
  const Instant now = runtime_.clock().now();
  if (noted_ > 0 && now - noted_at_ < kNoteEvery) return;
  noted_ = highest_;
  noted_at_ = now;
  try {
    append(ctx, RollEntry::Kind::position, log_, noted_);
  } catch (const Error&) {
    noted_ = 0;  // with the next one
  }
}

void Log::suspect() noexcept {
  suspected_ = true;
  changed_.notify();
}

void Log::abandon() noexcept {
  if (options_.own_outbox) useless_ = true;
  suspect();
}

// ---- the roll

void Log::append(const Context& ctx, RollEntry::Kind kind, const std::string& log, std::int64_t position) {
  const std::string text = RollEntry{.kind = kind, .log = log, .position = position}.text();
  const bool routed = publisher_->publish(ctx.with_timeout(options_.request_timeout), "",
                                          options_.prefix + ".log", {.type = "holdfast.log", .body = text});
  if (routed) return;
  suspect();
  throw Error(ErrorCode::unavailable, "The stream " + options_.prefix + ".log of RabbitMQ is gone.")
      .reason("rabbitmq_unrouted");
}

void Log::read_roll() {
  if (!roll_box_) return;
  for (; !roll_box_->arrived.empty(); roll_box_->arrived.pop_front()) {
    const Delivery& delivery = roll_box_->arrived.front();
    if (!roll_.add(delivery.body)) malformed.add();
    std::string ack;
    write_ack(ack, control_->id(), delivery.tag);
    control_->post(ack);
  }
}

void Log::wait_for_roll(const Context& ctx, const std::function<bool()>& holds) {
  for (;;) {
    const std::uint64_t seen = changed_.version();
    read_roll();
    if (holds()) return;
    if (!control_->open() || roll_box_->gone)
      throw Error(ErrorCode::unavailable, "The connection to RabbitMQ was lost.").reason("rabbitmq_lost");
    runtime::throw_unless_event(changed_.wait_past(ctx, seen, "reading RabbitMQ's roll"),
                                "reading RabbitMQ's roll");
  }
}

void Log::open_roll(const Context& ctx) {
  const std::string name = options_.prefix + ".log";
  std::string frames;
  write_exchange_declare(frames, control_->id(), exchange(), "topic");
  control_->call(ctx, frames, Method::exchange_declare_ok);
  frames.clear();
  write_queue_declare(
      frames, control_->id(), name,
      {{"x-queue-type", std::string("stream")}, {"x-stream-max-segment-size-bytes", kSegmentBytes}});
  control_->call(ctx, frames, Method::queue_declare_ok);
  roll_ = {};
  roll_box_ = std::make_shared<Mailbox>(changed_);
  control_->attach(kRollConsumer, roll_box_);
  frames.clear();
  write_qos(frames, control_->id(), 1000);
  control_->call(ctx, frames, Method::basic_qos_ok);
  frames.clear();
  write_consume(frames, control_->id(), name, kRollConsumer, {{"x-stream-offset", std::string("first")}});
  control_->call(ctx, frames, Method::basic_consume_ok);
  // A stream does not say where it ends. Where nothing comes, an entry of our own comes after all others.
  Duration patience = kFirstOfRoll;
  for (std::size_t before = 0;; before = roll_.size(), patience = kQuietRoll) {
    try {
      wait_for_roll(ctx.with_timeout(patience), [&] { return roll_.size() > before; });
    } catch (const Error& error) {
      if (error.code() != ErrorCode::deadline_exceeded) throw;
      if (roll_.size() > 0) return;
      const std::string hello = new_name(runtime_.random());
      append(ctx, RollEntry::Kind::hello, hello);
      return wait_for_roll(ctx, [&] { return roll_.heard(hello); });
    }
  }
}

void Log::make_streams(const Context& ctx, const std::string& log) {
  std::string frames;
  for (int bucket = 0; bucket < kBuckets; ++bucket)
    write_queue_declare(frames, control_->id(), stream(log, bucket), stream_arguments(options_));
  control_->call(ctx, frames, Method::queue_declare_ok, kBuckets);
  if (!streams_are_there(ctx, log))
    throw Error(ErrorCode::unavailable, "A stream of RabbitMQ is gone as soon as it is made.")
        .reason("rabbitmq_unrouted");
  logger_.info(ctx, "made the streams", {{"exchange", exchange()}, {"log", log}, {"streams", kBuckets}});
}

/// Binds each to the exchange, which does nothing where it is bound and fails where it is not there.
bool Log::streams_are_there(const Context& ctx, const std::string& log) {
  std::string frames;
  for (int bucket = 0; bucket < kBuckets; ++bucket) {
    write_queue_bind(frames, control_->id(), stream(log, bucket), exchange(),
                     log + "." + std::to_string(bucket) + ".#");
  }
  try {
    control_->call(ctx, frames, Method::queue_bind_ok, kBuckets);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::not_found) throw;
    return false;
  }
  return true;
}

void Log::open_publisher(const Context& ctx) {
  publisher_ = publishing_.open_channel(ctx);
  std::string frames;
  write_confirm_select(frames, publisher_->id());
  publisher_->call(ctx, frames, Method::confirm_select_ok);
}

void Log::check(const Context& ctx) {
  if (!publisher_ || !publisher_->open()) open_publisher(ctx);
  for (int round = 0; round < kMostRounds; ++round) {
    if (!control_ || !control_->open() || roll_box_->gone) {
      reading_.close_channel(control_);
      control_ = reading_.open_channel(ctx);
      open_roll(ctx);
    }
    read_roll();
    const std::string log = roll_.current();
    if (log.empty()) {
      const std::string made = new_name(runtime_.random());
      append(ctx, RollEntry::Kind::made, made);
      wait_for_roll(ctx, [&] { return !roll_.current().empty(); });
    } else if (!roll_.ready()) {
      make_streams(ctx, log);
      append(ctx, RollEntry::Kind::ready, log);
      wait_for_roll(ctx, [&] { return roll_.ready() || roll_.current() != log; });
    } else if (!useless_ && streams_are_there(ctx, log)) {
      log_ = log;
      return set_identity(options_.prefix + "@" + log, {});
    } else {
      logger_.error(ctx, "a stream of RabbitMQ is gone: a new log is made, and filled again from the outbox",
                    {{"log", log}});
      if (!control_->open()) {  // for saying so
        control_ = reading_.open_channel(ctx);
        open_roll(ctx);
      }
      append(ctx, RollEntry::Kind::lost, log);
      useless_ = false;
      wait_for_roll(ctx, [&] { return roll_.current() != log; });
      std::string frames;  // what is left of it
      for (int bucket = 0; bucket < kBuckets; ++bucket)
        write_queue_delete(frames, control_->id(), stream(log, bucket));
      control_->call(ctx, frames, Method::queue_delete_ok, kBuckets);
    }
  }
  throw Error(ErrorCode::unavailable, "The processes can't agree on a log; it is tried again.")
      .reason("rabbitmq_unsettled");
}

// ---- the connections

void Log::connect_to_any(const Context& ctx) {
  for (std::size_t tries = 0;; ++tries) {
    const ServerAddress& server = servers_[next_server_];
    try {
      publishing_.connect(ctx, server, tls_, resolver_);
      return reading_.connect(ctx, server, tls_, resolver_);
    } catch (const Error& error) {
      next_server_ = (next_server_ + 1) % servers_.size();
      if (error.code() != ErrorCode::unavailable || tries + 1 >= servers_.size()) throw;
    }
  }
}

void Log::establish(const Context& ctx) {
  connect_to_any(ctx);
  ++generation_;
  const Context bounded = ctx.with_timeout(options_.request_timeout);
  try {
    publisher_.reset();
    control_.reset();
    suspected_ = false;
    check(bounded);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::permission_denied) {
      refuse("RabbitMQ does not let " + options_.user + " make or use what begins with " + options_.prefix +
                 ": check the user's permissions in broker.rabbitmq.vhost.",
             error.cause());
    }
    if (error.code() == ErrorCode::failed_precondition && error.reason() == "amqp_406")
      refuse("RabbitMQ has an exchange or queue of another kind under a name that begins with " +
                 options_.prefix + ": choose another broker.rabbitmq.prefix, or delete it.",
             error.cause());
    if (error.code() == ErrorCode::deadline_exceeded)
      throw Error(ErrorCode::unavailable, "RabbitMQ does not answer in time.").reason("rabbitmq_silent");
    throw;
  }
  connections_.add();
  for (runtime::Signal* listener : listeners_) listener->notify();
  logger_.info(ctx, "connected to RabbitMQ", {{"log", identity_}});
}

void Log::disconnect(const Context& ctx) noexcept {
  publishing_.close(ctx);
  reading_.close(ctx);
}

void Log::set_identity(std::string identity, std::string problem) {
  const bool other = identity != identity_;
  identity_ = std::move(identity);
  {
    const std::lock_guard lock(mutex_);
    problem_ = std::move(problem);
  }
  connected_.set(identity_.empty() ? 0 : 1);
  if (other) {
    highest_ = noted_ = 0;
    for (runtime::Signal* listener : listeners_) listener->notify();
  }
}

void Log::connect(const Context& ctx) {
  if (!tls_ && std::ranges::any_of(servers_, &ServerAddress::tls)) {
    try {
      tls_ = runtime::make_tls_context({.authorities = options_.tls.ca_file,
                                        .certificate = options_.tls.certificate_file,
                                        .key = options_.tls.key_file});
    } catch (const Error& error) {
      refuse("The files of broker.rabbitmq.tls (ca_file, certificate_file, key_file) can't be used. " +
                 error.detail(),
             error.cause());
    }
  }
  try {
    establish(ctx);
  } catch (const Error& error) {
    disconnect(ctx);
    if (error.code() != ErrorCode::unavailable) throw;
    set_identity({}, error.what());
    logger_.warn(ctx, "RabbitMQ can't be reached; it is tried again until it can", {{"error", error.what()}});
  }
  keeping_ = true;
  runtime_.spawn_on(options_.loop, "rabbitmq connection", [this] { keep(); });
}

/// Once in a while, and when something looks wrong: is all that is published still kept?
void Log::look_after(const Context& ctx) {
  const std::string before = identity_;
  try {
    suspected_ = false;
    check(ctx.with_timeout(options_.request_timeout));
  } catch (const std::exception& error) {
    logger_.warn(ctx, "the streams of RabbitMQ could not be checked; it is connected anew",
                 {{"error", error.what()}});
    disconnect(ctx);
    return set_identity({}, error.what());
  }
  if (identity_ != before) logger_.info(ctx, "another log", {{"was", before}, {"is", identity_}});
}

void Log::keep() {
  const Context ctx = runtime_.context();
  Instant look_at = runtime_.clock().now() + options_.verify_every;
  for (std::uint32_t tries = 0; !closing_;) {
    const std::uint64_t seen = changed_.version();
    blocked_.set(publishing_.blocked().empty() ? 0 : 1);
    if (!identity().empty()) {
      tries = 0;
      read_roll();
      const bool elsewhere = roll_.current() != log_ || !control_->open() || roll_box_->gone;
      if (suspected_ || elsewhere || runtime_.clock().now() >= look_at) {
        look_at = runtime_.clock().now() + options_.verify_every;
        look_after(ctx);
        continue;
      }
      changed_.wait_past(ctx.with_deadline(look_at), seen, "waiting for RabbitMQ to be lost");
      continue;
    }
    if (!identity_.empty()) {
      set_identity({}, "The connection was lost.");
      logger_.warn(ctx, "the connection to RabbitMQ was lost", {});
      disconnect(ctx);
      continue;
    }
    const Duration wait = resilience::backoff_delay(options_.reconnect, tries, runtime_.random());
    changed_.wait_past(ctx.with_timeout(wait), seen, "waiting to connect to RabbitMQ");
    if (closing_) break;
    try {
      establish(ctx);
    } catch (const std::exception& error) {
      disconnect(ctx);
      if (tries++ == 0 || problem() != error.what())
        logger_.warn(ctx, "RabbitMQ can't be reached; it is tried again until it can",
                     {{"error", error.what()}});
      set_identity({}, error.what());
    }
  }
  ended_.open();
}

void Log::close(const Context& ctx) noexcept {
  if (closing_) return;
  closing_ = true;
  changed_.notify();
  if (keeping_) ended_.wait(ctx.detached(), "closing the connection to RabbitMQ");
  try {
    if (!identity().empty() && highest_ > noted_)
      append(ctx.detached().with_timeout(std::chrono::seconds(1)), RollEntry::Kind::position, log_, highest_);
  } catch (const std::exception&) {
    // it is a hint for whoever restores a database
  }
  disconnect(ctx);
  set_identity({}, "It is closed.");
}

}  // namespace holdfast::messaging::rabbitmq
