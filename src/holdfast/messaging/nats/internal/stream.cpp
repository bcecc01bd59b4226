#include "holdfast/messaging/nats/internal/stream.hpp"

#include <algorithm>
#include <utility>

#include "holdfast/base/error.hpp"
#include "holdfast/runtime/fiber.hpp"

namespace holdfast::messaging::nats {
namespace {

constexpr std::int64_t kNoSuchStream = 10059;

[[noreturn]] void refuse(std::string what) {
  throw Error(ErrorCode::failed_precondition, std::move(what)).reason("nats_refused");
}

void require_names(const Options& options) {
  const auto token = [](const std::string& text, std::string_view more) {
    return !text.empty() && std::ranges::all_of(text, [&](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || more.contains(c);
    });
  };
  const auto bad = [](const char* what) {
    throw Error(ErrorCode::invalid_argument, what).reason("messaging_options_invalid");
  };
  if (options.servers.empty()) bad("broker.nats.servers must name a server.");
  for (const std::string& server : options.servers) {
    if (server.contains('@'))  // URLs are shown
      bad("broker.nats.servers must not carry credentials: put them into user, password, token.");
  }
  if (!token(options.stream, "_-")) bad("broker.nats.stream must be letters, digits, '_' or '-'.");
  if (!token(options.prefix, "_-.") || options.prefix.front() == '.' || options.prefix.back() == '.')
    bad("broker.nats.prefix must be letters, digits, '_', '-', and '.' between them.");
  if (options.replicas < 1 || options.replicas > 5) bad("broker.nats.replicas must be 1 to 5.");
}

std::string stream_config(const Options& options) {
  std::string text;
  JsonWriter json(text);
  const auto nanoseconds = [](Duration d) {
    return static_cast<std::int64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(d).count());
  };
  json.begin_object().member("name", options.stream).key("subjects").begin_array();
  json.value(options.prefix + ".>");
  json.end_array();
  json.member("description", "An outbox of Holdfast's; one database writes to it.")
      .member("retention", "limits")
      .member("storage", "file")
      .member("discard", "new")  // rather none at all than without those before
      .member("max_age", nanoseconds(options.max_age))
      .member("max_bytes", options.max_bytes)
      .member("max_msgs", -1)
      .member("max_msg_size", -1)
      .member("max_consumers", -1)
      .member("num_replicas", options.replicas)
      .member("duplicate_window", nanoseconds(std::min(options.duplicate_window, options.max_age)))
      .member("allow_direct", true)
      .end_object();
  return text;
}

const JsonValue& member(const JsonValue& value, std::string_view name) {
  static constexpr JsonValue kNone;
  const JsonValue* found = value.find(name);
  return found == nullptr ? kNone : *found;
}

}  // namespace

Stream::Stream(runtime::Runtime& runtime, observe::Metrics& metrics, observe::Logger logger, Options options)
    : malformed(metrics.counter("holdfast_nats_malformed_total",
                                "Messages of the stream that this platform did not write; passed over.")),
      resets(metrics.counter("holdfast_nats_reader_resets_total",
                             "Readers made anew after a gap, a silence or a lost consumer.")),
      runtime_(runtime),
      logger_(std::move(logger)),
      options_(std::move(options)),
      client_(runtime, options_),
      connected_(metrics.gauge("holdfast_nats_connected", "1 while connected and the stream is there.")),
      connections_(metrics.counter("holdfast_nats_connections_total", "Connections made.")) {
  require_names(options_);
}

std::string Stream::problem() const {
  const std::lock_guard lock(mutex_);
  return problem_;
}

const std::string& Stream::identity() const noexcept {
  static const std::string kNone;
  return client_.connected() && checked_ == client_.generation() ? identity_ : kNone;
}

std::string Stream::subject(int bucket, std::string_view topic) const {
  return options_.prefix + "." + std::to_string(bucket) + "." + std::string(topic);
}

JsonDocument Stream::ask(const Context& ctx, const std::string& subject, std::string_view body) {
  const Incoming answer = client_.request(ctx.with_timeout(options_.request_timeout), subject, {}, body);
  JsonDocument document = JsonDocument::parse(answer.body);
  const JsonValue& error = member(document.root(), "error");
  if (!error.is_object()) return document;
  const JsonValue& code = member(error, "err_code");
  throw Error(ErrorCode::unavailable, "JetStream refuses " + subject + ".")
      .reason("jetstream_" + std::to_string(code.kind() == JsonKind::int64 ? code.as_int64() : 0))
      .cause(answer.body);
}

void Stream::check(const Context& ctx) {
  const auto created = [&](const JsonDocument& info) {
    const JsonValue& config = member(info.root(), "config");
    const JsonValue& subjects = member(config, "subjects");
    const bool ours = subjects.is_array() && subjects.items().size() == 1 &&
                      subjects.items()[0].is_string() &&
                      subjects.items()[0].as_string() == options_.prefix + ".>";
    const JsonValue& direct = member(config, "allow_direct");
    if (!ours || direct.kind() != JsonKind::boolean || !direct.as_bool()) {
      refuse("The stream " + options_.stream + " of NATS has other subjects than " + options_.prefix +
             ".>, or no direct access: choose another broker.nats.stream, or `nats stream edit` it.");
    }
    const JsonValue& at = member(info.root(), "created");
    return options_.stream + "@" + std::string(at.is_string() ? at.as_string() : "");
  };
  try {
    try {
      set_identity(created(ask(ctx, "$JS.API.STREAM.INFO." + options_.stream, "")), {});
    } catch (const Error& error) {
      if (error.reason() != "jetstream_" + std::to_string(kNoSuchStream)) throw;
      set_identity(created(ask(ctx, "$JS.API.STREAM.CREATE." + options_.stream, stream_config(options_))),
                   {});
      logger_.info(ctx, "made the stream",
                   {{"stream", options_.stream}, {"subjects", options_.prefix + ".>"}});
    }
  } catch (const Error& error) {
    if (error.reason() == "nats_no_responders")
      refuse(
          "NATS has no JetStream for this account: start nats-server with -js, or enable it for the "
          "account.");
    if (error.reason() == "jetstream_10065" || error.reason() == "jetstream_10058")
      refuse("The subjects " + options_.prefix + ".> are another stream's, or the stream " + options_.stream +
             " is configured otherwise: choose another broker.nats.prefix or broker.nats.stream.");
    throw;
  }
  checked_ = client_.generation();
}

void Stream::establish(const Context& ctx) {
  client_.connect(ctx);
  check(ctx);
  connections_.add();
  for (runtime::Signal* listener : listeners_) listener->notify();
  logger_.info(ctx, "connected to NATS", {{"stream", identity_}});
}

void Stream::set_identity(std::string identity, std::string problem) {
  identity_ = std::move(identity);
  const std::lock_guard lock(mutex_);
  problem_ = std::move(problem);
  connected_.set(identity_.empty() ? 0 : 1);
}

void Stream::connect(const Context& ctx) {
  try {
    establish(ctx);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::unavailable) {
      client_.disconnect();
      throw;
    }
    set_identity({}, error.what());
    logger_.warn(ctx, "NATS can't be reached; it is tried again until it can", {{"error", error.what()}});
  }
  keeping_ = true;
  runtime_.spawn_on(options_.loop, "nats connection", [this] { keep(); });
}

void Stream::keep() {
  const Context ctx = runtime_.context();
  for (std::uint32_t tries = 0; !closing_;) {
    const std::uint64_t seen = client_.changed().version();
    if (!identity().empty()) {
      tries = 0;
      client_.changed().wait_past(ctx, seen, "waiting for NATS to be lost");
      if (!closing_ && identity().empty()) {
        set_identity({}, "The connection was lost.");
        logger_.warn(ctx, "the connection to NATS was lost", {});
      }
      continue;
    }
    const Duration wait = resilience::backoff_delay(options_.reconnect, tries, runtime_.random());
    client_.changed().wait_past(ctx.with_timeout(wait), seen, "waiting to connect to NATS");
    if (closing_) break;
    try {
      establish(ctx);
    } catch (const std::exception& error) {
      if (tries++ == 0 || problem() != error.what())
        logger_.warn(ctx, "NATS can't be reached; it is tried again until it can", {{"error", error.what()}});
      set_identity({}, error.what());
    }
  }
  ended_.open();
}

void Stream::close(const Context& ctx) noexcept {
  if (closing_) return;
  closing_ = true;
  client_.changed().notify();
  if (keeping_) ended_.wait(ctx.detached(), "closing the connection to NATS");
  client_.disconnect();
  set_identity({}, "It is closed.");
}

}  // namespace holdfast::messaging::nats
