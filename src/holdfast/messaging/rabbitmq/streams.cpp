#include "holdfast/messaging/rabbitmq/streams.hpp"

#include <utility>

#include "holdfast/base/error.hpp"
#include "holdfast/messaging/rabbitmq/internal/log.hpp"
#include "holdfast/messaging/rabbitmq/internal/reader.hpp"

namespace holdfast::messaging::rabbitmq {

struct Streams::State {
  State(runtime::Runtime& runtime, observe::Metrics& metrics, observe::Logger logger, Options options)
      : log(runtime, metrics, std::move(logger), std::move(options)) {}

  void require(const std::string& wanted) const {
    if (!wanted.empty() && log.identity() == wanted) return;
    throw Error(ErrorCode::unavailable, "RabbitMQ is not connected: " + log.problem())
        .reason("rabbitmq_unavailable");
  }

  Log log;
};

Streams::Streams(runtime::Runtime& runtime, observe::Metrics& metrics, observe::Logger logger,
                 Options options)
    : state_(std::make_unique<State>(runtime, metrics, std::move(logger), std::move(options))) {}

Streams::~Streams() = default;

void Streams::connect(const Context& ctx) { state_->log.connect(ctx); }
void Streams::close(const Context& ctx) noexcept { state_->log.close(ctx); }
bool Streams::connected() const { return state_->log.problem().empty(); }
std::string Streams::problem() const { return state_->log.problem(); }

void Streams::send(const Context& ctx, const std::string& wanted, const Message& message) {
  Log& log = state_->log;
  state_->require(wanted);
  const auto seconds =
      std::chrono::duration_cast<std::chrono::seconds>(message.occurred_at.time_since_epoch()).count();
  log.publish(ctx, bucket_of(message.key), message.topic,
              {.headers = to_wire(message),
               .message_id = message.id,
               .type = message.type,
               .seconds = static_cast<std::uint64_t>(std::max<std::int64_t>(0, seconds)),
               .body = message.payload});
  log.passed(ctx, message.position);
}

std::string Streams::log_identity(const Context& /*ctx*/) {
  state_->require(state_->log.identity());
  return state_->log.identity();
}

std::int64_t Streams::last_position(const Context& /*ctx*/) { return state_->log.position(); }

std::unique_ptr<Reader> Streams::reader(const SubscriptionOptions& options) {
  return std::make_unique<StreamReader>(state_->log, options);
}

std::optional<std::int64_t> Streams::end(const Context& ctx) {
  if (state_->log.options().own_outbox) return std::nullopt;  // the outbox itself knows better
  return last_position(ctx);
}

}  // namespace holdfast::messaging::rabbitmq
