#include "holdfast/messaging/nats/jetstream.hpp"

#include <utility>

#include "holdfast/base/error.hpp"
#include "holdfast/messaging/nats/internal/reader.hpp"
#include "holdfast/messaging/nats/internal/stream.hpp"

namespace holdfast::messaging::nats {
namespace {

const JsonValue& number_in(const JsonValue& value, std::string_view name) {
  static constexpr JsonValue kNone;
  const JsonValue* found = value.is_object() ? value.find(name) : nullptr;
  return found != nullptr && found->kind() == JsonKind::int64 ? *found : kNone;
}

std::size_t size_of(const WireHeaders& headers) {
  std::size_t size = 16;  // "NATS/1.0\r\n" and the empty line
  for (const auto& [name, value] : headers) size += name.size() + value.size() + 4;
  return size;
}

}  // namespace

struct JetStream::State {
  State(runtime::Runtime& runtime, observe::Metrics& metrics, observe::Logger logger, Options options)
      : stream(runtime, metrics, std::move(logger), std::move(options)),
        duplicates(metrics.counter("holdfast_nats_duplicates_total",
                                   "Messages sent again that the stream knew already, by their id.")) {}

  Stream stream;
  observe::Counter duplicates;
};

JetStream::JetStream(runtime::Runtime& runtime, observe::Metrics& metrics, observe::Logger logger,
                     Options options)
    : state_(std::make_unique<State>(runtime, metrics, std::move(logger), std::move(options))) {}

JetStream::~JetStream() = default;

void JetStream::connect(const Context& ctx) { state_->stream.connect(ctx); }
void JetStream::close(const Context& ctx) noexcept { state_->stream.close(ctx); }
bool JetStream::connected() const { return state_->stream.problem().empty(); }
std::string JetStream::problem() const { return state_->stream.problem(); }

void JetStream::send(const Context& ctx, const std::string& log, const Message& message) {
  Stream& stream = state_->stream;
  if (stream.identity() != log || log.empty())
    throw Error(ErrorCode::unavailable, "NATS is not connected: " + stream.problem())
        .reason("nats_unavailable");
  WireHeaders headers = to_wire(message);
  headers.emplace_back("Nats-Msg-Id", message.id);
  const auto size = static_cast<std::int64_t>(size_of(headers) + message.payload.size());
  if (size > stream.client().max_payload()) {
    throw Error(ErrorCode::too_large, "The message has " + std::to_string(size) + " bytes; NATS takes " +
                                          std::to_string(stream.client().max_payload()) +
                                          " (its max_payload). Raise that, or use a claim check.")
        .reason("message_too_large");
  }
  const Incoming answer = stream.client().request(ctx, stream.subject(bucket_of(message.key), message.topic),
                                                  headers, message.payload);
  const JsonDocument ack = JsonDocument::parse(answer.body);
  if (number_in(ack.root(), "seq").as_int64() <= 0)
    throw Error(ErrorCode::unavailable, "JetStream does not take the message now.")
        .reason("nats_refused")
        .cause(answer.body);
  if (const JsonValue* duplicate = ack.root().find("duplicate"); duplicate != nullptr && duplicate->as_bool())
    state_->duplicates.add();
}

std::string JetStream::log_identity(const Context& /*ctx*/) {
  const Stream& stream = state_->stream;
  if (stream.identity().empty())
    throw Error(ErrorCode::unavailable, "NATS is not connected: " + stream.problem())
        .reason("nats_unavailable");
  return stream.identity();
}

std::int64_t JetStream::last_position(const Context& ctx) {
  Stream& stream = state_->stream;
  const JsonDocument info = stream.ask(ctx, "$JS.API.STREAM.INFO." + stream.options().stream, "");
  const JsonValue* state = info.root().find("state");
  if (state == nullptr || number_in(*state, "messages").as_int64() == 0) return 0;
  const std::string last = std::to_string(number_in(*state, "last_seq").as_int64());
  Incoming answer =
      stream.client().request(ctx.with_timeout(stream.options().request_timeout),
                              "$JS.API.DIRECT.GET." + stream.options().stream, {}, R"({"seq":)" + last + "}");
  try {
    return from_wire(answer.headers, {}).position;
  } catch (const Error&) {
    return 0;  // deleted meanwhile, or none of ours
  }
}

std::unique_ptr<Reader> JetStream::reader(const SubscriptionOptions& options) {
  return std::make_unique<OrderedReader>(state_->stream, options);
}

std::optional<std::int64_t> JetStream::end(const Context& ctx) {
  if (state_->stream.options().own_outbox) return std::nullopt;  // the outbox itself knows better
  return last_position(ctx);
}

}  // namespace holdfast::messaging::nats
