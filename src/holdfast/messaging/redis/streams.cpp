#include "holdfast/messaging/redis/streams.hpp"

#include <algorithm>
#include <utility>

#include "holdfast/messaging/redis/internal/log.hpp"
#include "holdfast/messaging/redis/internal/reader.hpp"

namespace holdfast::messaging::redis_streams {

struct Streams::State {
  State(runtime::Runtime& runtime, sql::Database* outbox_of, observe::Metrics& metrics,
        observe::Logger logger, Options options)
      : log(runtime, outbox_of, metrics, std::move(logger), std::move(options)), own(outbox_of != nullptr) {}

  Log log;
  const bool own;
};

Streams::Streams(runtime::Runtime& runtime, sql::Database* outbox_of, observe::Metrics& metrics,
                 observe::Logger logger, Options options)
    : state_(std::make_unique<State>(runtime, outbox_of, metrics, std::move(logger), std::move(options))) {}

Streams::~Streams() = default;

void Streams::connect(const Context& ctx) { state_->log.connect(ctx); }
void Streams::close(const Context& ctx) noexcept { state_->log.close(ctx); }
bool Streams::connected() const { return state_->log.problem().empty(); }
std::string Streams::problem() const { return state_->log.problem(); }

void Streams::send(const Context& ctx, const std::string& log, const Message& message) {
  state_->log.add(ctx, log, message);
}

std::string Streams::log_identity(const Context& ctx) { return state_->log.ask_identity(ctx); }

std::int64_t Streams::last_position(const Context& ctx) {
  return std::ranges::max(state_->log.last_positions(ctx));
}

std::unique_ptr<Reader> Streams::reader(const SubscriptionOptions& options) {
  return std::make_unique<StreamReader>(state_->log, options);
}

std::optional<std::int64_t> Streams::end(const Context& ctx) {
  if (state_->own) return std::nullopt;  // the outbox itself knows better
  return last_position(ctx);
}

void Streams::start(const Context& /*ctx*/) {
  for (StreamReader* reader : state_->log.readers()) reader->start();
}

void Streams::stop() noexcept {
  for (StreamReader* reader : state_->log.readers()) reader->stop();
}

}  // namespace holdfast::messaging::redis_streams
