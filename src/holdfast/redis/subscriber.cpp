#include "holdfast/redis/subscriber.hpp"

#include <algorithm>
#include <atomic>
#include <optional>
#include <utility>

#include "holdfast/base/invariant.hpp"
#include "holdfast/redis/commands.hpp"
#include "holdfast/redis/internal/wire.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/sync.hpp"

namespace holdfast::redis {

struct Subscriber::State final : internal::Wire::Owner {
  State(SubscriberOptions the_options, Handlers the_handlers,
        std::shared_ptr<const internal::WireParts> the_parts)
      : options(std::move(the_options)), handlers(std::move(the_handlers)), parts(std::move(the_parts)) {}

  void start() {
    runtime::Loop& loop = *runtime::Loop::current();
    clock = &loop.clock();
    tick.emplace([this] { on_tick(); });
    wire.emplace(loop, parts, *this);
    wire->open();
  }
  void stop() {
    heard.store(Instant::min());
    wire.reset();
    tick.reset();
  }

  void on_ready() override {
    Commands subscribe;
    std::vector<std::string_view> words{"SUBSCRIBE"};
    words.insert(words.end(), options.channels.begin(), options.channels.end());
    subscribe.add(words);
    confirmations_left = options.channels.size();
    ping_sent = false;
    asked_at = clock->now();
    send(subscribe);
    if (wire->ready()) tick->arm(asked_at + std::min(options.ping_every, options.connection.answer_timeout));
  }

  void send(const Commands& commands) {
    if (!wire->send(commands.bytes()))
      wire->lose(Error(ErrorCode::unavailable, "Redis takes nothing.").reason("redis_busy"), true);
  }

  void on_reply(Reply&& reply) override {
    // ["message", channel, text], ["subscribe", channel, count], ["pong", ""]
    if (reply.kind != Reply::Kind::array || reply.elements.size() < 2) return broken(reply);
    const std::string& what = reply.elements[0].text;
    if (what == "message" && reply.elements.size() == 3) {
      handlers.on_message(reply.elements[1].text, reply.elements[2].text);
    } else if (what == "subscribe") {
      if (confirmations_left > 0 && --confirmations_left == 0) {
        if (handlers.on_connected) handlers.on_connected();
        heard.store(asked_at);
      }
    } else if (what == "pong" && ping_sent) {
      heard.store(asked_at);
      ping_sent = false;
    } else {
      broken(reply);
    }
  }

  void broken(const Reply& reply) {
    wire->lose(Error(ErrorCode::unavailable, "Redis answered a subscription with something else.")
                   .reason("redis_protocol_broken")
                   .cause(reply.text));
  }

  void on_lost(const Error&) override {
    tick->disarm();
    if (heard.exchange(Instant::min()) != Instant::min() && handlers.on_lost) handlers.on_lost();
  }

  void on_tick() {
    wire->look();  // where this loop itself was held up, the answer may lie there unread
    if (!wire->ready()) return;
    const Instant now = clock->now();
    const bool waiting = confirmations_left > 0 || ping_sent;
    if (waiting && asked_at + options.connection.answer_timeout <= now) {
      return wire->lose(Error(ErrorCode::unavailable, "Redis does not answer a subscriber in time.")
                            .reason("redis_answer_late"),
                        /*hung=*/true);
    }
    if (!waiting && asked_at + options.ping_every <= now) {
      asked_at = now;
      ping_sent = true;
      send(Commands({"PING"}));
      if (!wire->ready()) return;
    }
    tick->arm(now + std::min(options.ping_every, options.connection.answer_timeout));
  }

  const SubscriberOptions options;
  const Handlers handlers;
  const std::shared_ptr<const internal::WireParts> parts;
  const Clock* clock = nullptr;
  std::atomic<Instant> heard{Instant::min()};
  Instant asked_at{};  // SUBSCRIBE, or the last PING
  bool ping_sent = false;
  std::size_t confirmations_left = 0;
  std::optional<runtime::Timer> tick;
  std::optional<internal::Wire> wire;
};

Subscriber::Subscriber(runtime::Runtime& runtime, SubscriberOptions options, Handlers handlers,
                       observe::Logger logger) {
  require_invariant(!options.channels.empty() && handlers.on_message,
                    "a subscriber has channels and a handler");
  auto parts = internal::make_wire_parts(runtime, options.connection, std::move(logger));
  state_ = std::make_shared<State>(std::move(options), std::move(handlers), std::move(parts));
  runtime_ = &runtime;
  runtime.post(0, [state = state_] { state->start(); });
}

Subscriber::~Subscriber() {
  const auto stopped = std::make_shared<runtime::Latch>();  // shared with the loop's work
  runtime_->post(0, [state = std::move(state_), stopped] {
    state->stop();
    stopped->open();
  });
  stopped->wait(runtime_->context(), "closing a Redis subscriber");
}

Instant Subscriber::heard_until() const noexcept { return state_->heard.load(std::memory_order_acquire); }

}  // namespace holdfast::redis
