#include "holdfast/webhooks/sender.hpp"

#include <algorithm>
#include <charconv>
#include <map>
#include <utility>
#include <vector>

#include "holdfast/base/error.hpp"
#include "holdfast/base/fault.hpp"
#include "holdfast/base/time_text.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/sync.hpp"
#include "holdfast/webhooks/internal/attempts.hpp"

namespace holdfast::webhooks {
namespace {

constexpr std::size_t kMaxAnswerBytes = 1024 * 1024;
constexpr Duration kRecordTimeout = std::chrono::seconds(5);
constexpr int kRecordTries = 3;
constexpr auto kLongestAsked = std::chrono::microseconds(std::chrono::hours(24 * 366));

void require_valid(const SenderOptions& options) {
  const bool valid = options.attempt_timeout > Duration(0) &&
                     options.lease >= options.attempt_timeout + kRecordTimeout &&
                     options.poll > Duration(0) && options.max_in_flight > 1 && options.per_subscriber > 0 &&
                     options.max_attempts > 0 && options.sweep_interval > Duration(0);
  if (valid) return;
  throw Error(ErrorCode::invalid_argument,
              "Webhooks: every limit must be above zero, two attempts in flight, and the lease five seconds "
              "longer than an attempt.")
      .reason("webhook_options_invalid");
}

WallTime later(WallTime now, Duration by) { return now + std::chrono::ceil<std::chrono::microseconds>(by); }

/// Seconds or a date (RFC 9110, 10.2.3).
std::optional<Duration> read_retry_after(std::string_view text, WallTime now) {
  if (text.empty()) return std::nullopt;
  std::uint32_t seconds = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (failure == std::errc() && end == text.data() + text.size()) return std::chrono::seconds(seconds);
  const auto at = parse_http_date(text);
  if (!at || *at <= now) return std::nullopt;
  return std::min(*at - now, kLongestAsked);
}

struct SenderMetrics {
  explicit SenderMetrics(observe::Metrics& metrics)
      : delivered(of(metrics, "delivered")),
        retried(of(metrics, "retried")),
        failed(of(metrics, "failed")),
        refused(of(metrics, "refused")),
        disabled(metrics.counter("holdfast_webhook_subscribers_disabled_total",
                                 "Subscribers disabled because of their failures.")),
        seconds(metrics.histogram("holdfast_webhook_attempt_seconds", "How long attempts took.")),
        in_flight(metrics.gauge("holdfast_webhook_attempts_in_flight", "Attempts under way.")) {}

  static observe::Counter of(observe::Metrics& metrics, const char* outcome) {
    return metrics.counter("holdfast_webhook_attempts_total",
                           "Attempts to deliver a webhook, by what followed.", {{"outcome", outcome}});
  }

  observe::Counter delivered;
  observe::Counter retried;
  observe::Counter failed;
  observe::Counter refused;
  observe::Counter disabled;
  observe::Histogram seconds;
  observe::Gauge in_flight;
};

}  // namespace

struct Sender::State {
  runtime::Runtime& runtime;
  sql::Database& database;
  Deliveries& deliveries;
  observe::Logger logger;
  Send send;
  const SenderOptions options;
  SenderMetrics metrics;

  std::atomic<bool> stopping{false};
  std::atomic<bool> abandoned{false};
  bool running = false;
  runtime::CancellationSource cancellation = runtime::CancellationSource();
  runtime::Latch ended = {};
  // Of attempts under way; touched on the sender's loop only.
  std::map<std::string, std::size_t, std::less<>> in_flight = {};
  std::size_t total_in_flight = 0;
  std::size_t failing_in_flight = 0;

  void run();
  void run_sweeper(const Context& ctx);
  void dispatch(const Context& ctx);
  /// Starts what is due and there is room for; returns when to look again.
  WallTime start_due(const Context& ctx, runtime::FiberGroup& attempts);
  std::size_t room_for(const DueSubscriber& subscriber) const;
  void start_attempt(runtime::FiberGroup& attempts, const std::shared_ptr<const DueSubscriber>& subscriber,
                     Attempt attempt);
  void attempt(const Context& ctx, const DueSubscriber& subscriber, const Attempt& attempt);
  AttemptOutcome send_once(const Context& ctx, const DueSubscriber& subscriber, const Attempt& attempt);
  void write_down(const DueSubscriber& subscriber, const Attempt& attempt, const AttemptOutcome& outcome);
  void tell(const DueSubscriber& subscriber, const Attempt& attempt, const AttemptOutcome& outcome,
            Recorded recorded);
  void give_back(const Attempt& attempt);
};

void Sender::State::run() {
  try {
    const Context ctx = runtime.context().with_cancellation(cancellation.token());
    runtime::FiberGroup fibers(ctx);
    fibers.spawn("webhook sweeper", [this](const Context& inner) { run_sweeper(inner); });
    dispatch(ctx);
    fibers.cancel();
    fibers.wait();
  } catch (const std::exception& error) {
    logger.error("the webhook sender ended with an error", {{"error", error.what()}});
  }
  ended.open();
}

void Sender::State::run_sweeper(const Context& ctx) {
  while (!ctx.cancelled()) {
    runtime::park(ctx.with_timeout(options.sweep_interval), "waiting to sweep webhook deliveries");
    if (ctx.cancelled()) return;
    try {
      deliveries.sweep(ctx.with_timeout(options.sweep_interval), database);
    } catch (const Error& error) {
      if (!ctx.cancelled()) logger.warn("webhook deliveries could not be swept", {{"error", error.what()}});
    }
  }
}

void Sender::State::dispatch(const Context& ctx) {
  runtime::FiberGroup attempts(ctx);
  while (!stopping && !ctx.cancelled()) {
    const std::uint64_t seen = deliveries.due().version();
    Duration wait = options.poll;
    try {
      const WallTime next = start_due(ctx, attempts);
      wait = std::clamp<Duration>(next - runtime.clock().wall_now(), Duration(0), options.poll);
    } catch (const Error& error) {
      if (!ctx.cancelled()) logger.warn("webhooks that are due can't be read", {{"error", error.what()}});
    }
    if (stopping || wait == Duration(0)) {
      runtime::yield();
      continue;
    }
    deliveries.due().wait_past(ctx.with_timeout(wait), seen, "waiting for webhooks to send");
  }
  attempts.wait();
}

WallTime Sender::State::start_due(const Context& ctx, runtime::FiberGroup& attempts) {
  const WallTime now = runtime.clock().wall_now();
  WallTime next = later(now, options.poll);
  const auto due = database.read(ctx, [](sql::Snapshot& db) { return due_subscribers(db); });
  for (const DueSubscriber& found : due) {
    if (found.due > now) {
      next = std::min(next, found.due);
      break;  // they are in order
    }
    const std::size_t room = room_for(found);
    if (room == 0) continue;                                               // an attempt's end wakes us
    const auto subscriber = std::make_shared<const DueSubscriber>(found);  // shared by its attempts
    auto taken = database.transact(ctx, "take webhooks", [&](sql::Transaction& tx) {
      return take(tx, found.id, now, later(now, options.lease), room);
    });
    if (taken.size() == room) next = std::min(next, now);  // there may be more
    for (Attempt& one : taken) start_attempt(attempts, subscriber, std::move(one));
  }
  return next;
}

// Those that fail share half of the pool, one attempt each: however many hang, the others have the rest.
std::size_t Sender::State::room_for(const DueSubscriber& subscriber) const {
  const auto found = in_flight.find(subscriber.id);
  const std::size_t own = found == in_flight.end() ? 0 : found->second;
  const std::size_t most = subscriber.failing() ? 1 : options.per_subscriber;
  const auto left = [](std::size_t limit, std::size_t used) { return limit > used ? limit - used : 0; };
  std::size_t room = std::min(left(most, own), left(options.max_in_flight, total_in_flight));
  if (subscriber.failing()) room = std::min(room, left(options.max_in_flight / 2, failing_in_flight));
  return room;
}

void Sender::State::start_attempt(runtime::FiberGroup& attempts,
                                  const std::shared_ptr<const DueSubscriber>& subscriber, Attempt taken) {
  const auto count = [this, subscriber](std::ptrdiff_t by) {
    auto& own = in_flight[subscriber->id];
    own += static_cast<std::size_t>(by);
    if (own == 0) in_flight.erase(subscriber->id);
    total_in_flight += static_cast<std::size_t>(by);
    if (subscriber->failing()) failing_in_flight += static_cast<std::size_t>(by);
    metrics.in_flight.set(static_cast<std::int64_t>(total_in_flight));
  };
  count(1);
  try {
    attempts.spawn("webhook attempt", [this, subscriber, count, own = std::move(taken)](const Context& ctx) {
      attempt(ctx, *subscriber, own);
      count(-1);
      deliveries.due().notify();
    });
  } catch (const Error& error) {  // no stack left: the lease runs out and it is taken again
    count(-1);
    logger.warn("a webhook attempt could not be started", {{"error", error.what()}});
  }
}

void Sender::State::attempt(const Context& ctx, const DueSubscriber& subscriber, const Attempt& attempt) {
  try {
    const Instant begun = runtime.clock().now();
    const AttemptOutcome outcome = send_once(ctx, subscriber, attempt);
    metrics.seconds.observe(std::chrono::duration<double>(runtime.clock().now() - begun).count());
    if (abandoned) return;
    HOLDFAST_FAULT("webhooks.before_record");
    if (ctx.cancelled() && !outcome.delivered()) return give_back(attempt);
    write_down(subscriber, attempt, outcome);
  } catch (const std::exception& error) {
    logger.warn("a webhook attempt could not be recorded; it is made again",
                {{"delivery", attempt.id}, {"error", error.what()}});
  }
}

AttemptOutcome Sender::State::send_once(const Context& ctx, const DueSubscriber& subscriber,
                                        const Attempt& attempt) {
  AttemptOutcome outcome;
  try {
    const WallTime now = runtime.clock().wall_now();
    const StandardHeaders headers =
        sign_standard(subscriber.secrets(options.secrets, now), attempt.event_id, attempt.body, now);
    const http::ClientResponse answer =
        send(ctx, {.method = http::Method::post,
                   .url = subscriber.url,
                   .headers = {{"Content-Type", "application/json"},
                               {std::string(kWebhookIdHeader), headers.id},
                               {std::string(kWebhookTimestampHeader), headers.timestamp},
                               {std::string(kWebhookSignatureHeader), headers.signature}},
                   .body = attempt.body,
                   .timeout = options.attempt_timeout});
    outcome.status = answer.status;
    if (answer.status >= 200 && answer.status < 300) return outcome;
    outcome.error = "HTTP " + std::to_string(answer.status);
    outcome.retry_after = read_retry_after(answer.header("Retry-After"), runtime.clock().wall_now());
  } catch (const Error& error) {
    outcome.error = error.what();
  }
  return outcome;
}

void Sender::State::write_down(const DueSubscriber& subscriber, const Attempt& attempt,
                               const AttemptOutcome& outcome) {
  const auto failures = static_cast<std::uint32_t>(std::max<std::int64_t>(attempt.attempts - 1, 0));
  Duration wait = resilience::backoff_delay(options.backoff, failures, runtime.random());
  if (outcome.retry_after) wait = std::max(wait, std::min(*outcome.retry_after, options.max_retry_after));
  // Detached: an attempt that was made counts, also while we are being stopped.
  const Context ctx = runtime.context();
  for (int tried = 1;; ++tried) {
    try {
      const WallTime now = runtime.clock().wall_now();
      const Recorded recorded = database.transact(ctx.with_timeout(kRecordTimeout / kRecordTries),
                                                  "record a webhook attempt", [&](sql::Transaction& tx) {
                                                    return record(tx, options, subscriber.id, attempt,
                                                                  outcome, now, later(now, wait));
                                                  });
      return tell(subscriber, attempt, outcome, recorded);
    } catch (const Error&) {
      if (tried == kRecordTries) throw;
    }
  }
}

void Sender::State::tell(const DueSubscriber& subscriber, const Attempt& attempt,
                         const AttemptOutcome& outcome, Recorded recorded) {
  const std::initializer_list<observe::LogField> fields = {{"subscriber", subscriber.id},
                                                           {"delivery", attempt.id},
                                                           {"event", attempt.event_id},
                                                           {"attempt", attempt.attempts},
                                                           {"error", outcome.error}};
  switch (recorded) {
    case Recorded::delivered: return metrics.delivered.add();
    case Recorded::retried: return metrics.retried.add();
    case Recorded::refused: return metrics.refused.add();
    case Recorded::failed: metrics.failed.add(); return logger.warn("a webhook was given up", fields);
    case Recorded::disabled:
      metrics.failed.add();
      metrics.disabled.add();
      return logger.warn(outcome.gone() ? "a webhook subscriber is gone and was disabled"
                                        : "a webhook subscriber failed for too long and was disabled",
                         fields);
  }
}

void Sender::State::give_back(const Attempt& attempt) {
  database.transact(runtime.context().with_timeout(kRecordTimeout), "give a webhook back",
                    [&](sql::Transaction& tx) { release(tx, attempt, runtime.clock().wall_now()); });
}

Sender::Send Sender::by(http::Client& client) {
  return
      [&client](const Context& ctx, const http::ClientRequest& request) { return client.send(ctx, request); };
}

http::ClientOptions Sender::client_options(bool allow_private_addresses) {
  http::ClientOptions options;
  options.user_agent = "holdfast-webhooks";
  options.max_response_bytes = kMaxAnswerBytes;
  options.connect_timeout = std::chrono::seconds(5);
  options.refuse_private_addresses = !allow_private_addresses;
  return options;
}

Sender::Sender(runtime::Runtime& runtime, sql::Database& database, Deliveries& deliveries,
               observe::Metrics& metrics, observe::Logger logger, Send send, SenderOptions options) {
  require_valid(options);
  state_.reset(new State{runtime, database, deliveries, std::move(logger), std::move(send), options,
                         SenderMetrics(metrics)});
}

Sender::~Sender() { abandon(); }

void Sender::start() {
  State& state = *state_;
  if (state.running || state.ended.is_open()) {
    throw Error(ErrorCode::invalid_argument, "A webhook sender is started once.");
  }
  state.running = true;
  state.runtime.spawn_on(state.options.loop, "webhook sender", [&state] { state.run(); });
}

void Sender::stop(const Context& ctx) {
  State& state = *state_;
  if (!state.running) return;
  state.stopping = true;
  state.deliveries.due().notify();
  try {
    state.ended.wait(ctx, "waiting for webhook attempts");
  } catch (const Error&) {
    state.cancellation.cancel();
    state.ended.wait(ctx.detached(), "waiting for webhook attempts");
  }
  state.running = false;
}

void Sender::abandon() noexcept {
  State& state = *state_;
  if (!state.running) return;
  state.abandoned = true;
  state.stopping = true;
  state.cancellation.cancel();
  state.ended.wait(state.runtime.context(), "waiting for webhook attempts");
  state.running = false;
}

}  // namespace holdfast::webhooks
