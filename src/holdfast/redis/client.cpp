#include "holdfast/redis/client.hpp"

#include <atomic>
#include <deque>
#include <utility>

#include "holdfast/redis/internal/wire.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/sync.hpp"

namespace holdfast::redis {
namespace {

/// One call under way; on the stack of the fiber that waits for it.
struct Call {
  explicit Call(std::size_t expected) : left(expected) { replies.reserve(expected); }
  std::vector<Reply> replies;
  std::size_t left;
  std::optional<Error> failure;
  runtime::Waker waiting;
  bool done() const noexcept { return left == 0 || failure; }
};

struct Meters {
  observe::Counter answered;
  observe::Counter refused;  // by Redis
  observe::Counter lost;
  observe::Counter late;
  observe::Counter not_sent;
  observe::Histogram round_trip;
};

Meters make_meters(const std::string& name, observe::Metrics& metrics) {
  const auto counted = [&](const char* outcome) {
    return metrics.counter("holdfast_redis_commands_total",
                           "Calls of Redis: answered, refused by it, lost with their connection, given up as "
                           "late, or not sent because there was no connection.",
                           {{"client", name}, {"outcome", outcome}});
  };
  return {.answered = counted("answered"),
          .refused = counted("refused"),
          .lost = counted("lost"),
          .late = counted("late"),
          .not_sent = counted("not_sent"),
          .round_trip = metrics.histogram("holdfast_redis_round_trip_seconds",
                                          "From sending to the last answer of a call.", {{"client", name}},
                                          observe::fast_latency_buckets())};
}

/// A loop's connection and who waits for what on it. Only ever touched on its loop.
class Line final : private internal::Wire::Owner {
 public:
  Line(runtime::Loop& loop, std::shared_ptr<const internal::WireParts> parts, const ClientOptions& options,
       const Meters& meters)
      : loop_(loop),
        options_(options),
        meters_(meters),
        late_([this] { look_for_late(); }),
        wire_(loop, std::move(parts), *this) {
    wire_.open();
  }

  std::vector<Reply> run(const Context& ctx, const Commands& commands);

 private:
  struct Sent {
    Call* call;  // null once its caller has left
    Instant at;
    std::size_t left;  // answers
  };

  void await_ready(const Context& ctx);
  void leave(Call& call) noexcept;
  void look_for_late();
  void wake_waiting();
  void on_ready() override { wake_waiting(); }
  void on_reply(Reply&& reply) override;
  void on_lost(const Error& why) override;

  runtime::Loop& loop_;
  const ClientOptions& options_;
  const Meters& meters_;
  std::deque<Sent> sent_;
  std::size_t in_flight_ = 0;            // answers that are waited for
  std::vector<runtime::Waker> waiting_;  // for the connection
  runtime::Timer late_;
  internal::Wire wire_;
};

void Line::wake_waiting() {
  const std::vector<runtime::Waker> waiting = std::exchange(waiting_, {});
  runtime::wake_all(waiting);
}

void Line::await_ready(const Context& ctx) {
  while (!wire_.ready() && wire_.coming() && waiting_.size() < options_.max_waiting) {
    waiting_.push_back(runtime::prepare_wait("connecting to Redis"));
    runtime::throw_unless_event(runtime::park(ctx, "connecting to Redis"), "connecting to Redis");
  }
  if (wire_.ready()) return;
  meters_.not_sent.add();
  throw wire_.last_failure();
}

std::vector<Reply> Line::run(const Context& ctx, const Commands& commands) {
  await_ready(ctx);
  Call call(commands.count());
  call.waiting = runtime::prepare_wait("an answer of Redis");
  const Instant begun = loop_.clock().now();
  if (in_flight_ + commands.count() > options_.max_in_flight || !wire_.send(commands.bytes())) {
    meters_.not_sent.add();
    throw Error(ErrorCode::unavailable, "Too much waits for Redis already.").reason("redis_busy");
  }
  sent_.push_back({&call, begun, commands.count()});
  in_flight_ += commands.count();
  if (!late_.armed()) late_.arm(begun + options_.connection.answer_timeout);

  runtime::Woken woken = runtime::park(ctx, "an answer of Redis");
  while (!call.done() && woken == runtime::Woken::by_event) {
    call.waiting = runtime::prepare_wait("an answer of Redis");
    woken = runtime::park(ctx, "an answer of Redis");
  }
  if (!call.done()) {
    leave(call);
    meters_.late.add();
    runtime::throw_unless_event(woken, "an answer of Redis");
  }
  if (call.failure) throw *call.failure;
  meters_.answered.add();
  meters_.round_trip.observe(loop_.clock().now() - begun);
  return std::move(call.replies);
}

void Line::leave(Call& call) noexcept {
  for (Sent& sent : sent_) {
    if (sent.call == &call) sent.call = nullptr;  // its answers still come, and are dropped
  }
}

void Line::on_reply(Reply&& reply) {
  if (sent_.empty()) {
    return wire_.lose(
        Error(ErrorCode::unavailable, "Redis answered what was not asked.").reason("redis_protocol_broken"));
  }
  Sent& sent = sent_.front();
  --in_flight_;
  Call* const call = sent.call;
  if (call != nullptr) {
    call->replies.push_back(std::move(reply));
    --call->left;
  }
  if (--sent.left > 0) return;
  sent_.pop_front();
  if (call != nullptr) call->waiting.wake();
}

void Line::on_lost(const Error& why) {
  const std::deque<Sent> lost = std::exchange(sent_, {});
  in_flight_ = 0;
  late_.disarm();
  for (const Sent& sent : lost) {
    if (sent.call == nullptr) continue;
    sent.call->failure = why;
    meters_.lost.add();
    sent.call->waiting.wake();
  }
  wake_waiting();
}

void Line::look_for_late() {
  // Where this loop itself was held up, the answers may lie there unread.
  wire_.look();
  if (sent_.empty()) return;
  const Instant due = sent_.front().at + options_.connection.answer_timeout;
  if (loop_.clock().now() < due) return late_.arm(due);
  wire_.lose(Error(ErrorCode::unavailable, "Redis does not answer in time.")
                 .reason("redis_answer_late")
                 .cause(options_.connection.address.shown()),
             /*hung=*/true);
}

}  // namespace

resilience::PipelineOptions pipeline_defaults() {
  using namespace std::chrono_literals;
  resilience::PipelineOptions options;
  options.timeout = {.total = 500ms, .attempt = 500ms};
  options.retry.enabled = false;
  options.breaker.window = resilience::BreakerWindow::calls;
  options.breaker.window_calls = 50;
  options.breaker.minimum_calls = 10;
  options.breaker.slow_call = 200ms;
  options.breaker.open_for = 200ms;
  options.breaker.open_at_most = 2s;
  options.breaker.probes = 1;
  options.breaker.half_open_at_most = 2s;
  options.bulkhead.enabled = false;  // max_in_flight is the bound
  return options;
}

resilience::PipelineJudgements judgements() {
  resilience::PipelineJudgements judged;
  judged.verdict = [](const Error& error) {
    const bool of_ours = error.reason() == "redis_command_refused" ||
                         error.reason() == "redis_answer_unexpected" || error.reason() == "redis_busy";
    return of_ours ? resilience::Verdict::success : resilience::verdict_of(error);
  };
  return judged;
}

struct Client::State {
  State(runtime::Runtime& the_runtime, ClientOptions the_options, resilience::Pipeline& the_pipeline,
        observe::Metrics& metrics, observe::Logger logger)
      : runtime(the_runtime),
        options(std::move(the_options)),
        pipeline(the_pipeline),
        meters(make_meters(options.connection.name, metrics)),
        parts(internal::make_wire_parts(runtime, options.connection, std::move(logger))),
        lines(runtime.loop_count()) {}

  Line& here() {
    std::unique_ptr<Line>& line = lines[runtime.current_loop()];
    if (!line) line = std::make_unique<Line>(*runtime::Loop::current(), parts, options, meters);
    return *line;
  }

  std::vector<Reply> run(const Context& ctx, const Commands& commands) {
    ctx.check("asking Redis");
    return here().run(ctx, commands);
  }

  Reply run_one(const Context& ctx, const Commands& commands) {
    Reply reply = std::move(run(ctx, commands).front());
    if (!reply.error()) return reply;
    meters.refused.add();
    throw to_error(reply);
  }

  runtime::Runtime& runtime;
  const ClientOptions options;
  resilience::Pipeline& pipeline;
  const Meters meters;
  const std::shared_ptr<const internal::WireParts> parts;
  std::vector<std::unique_ptr<Line>> lines;  // each made, used and destroyed on its loop
};

Client::Client(runtime::Runtime& runtime, ClientOptions options, resilience::Pipeline& pipeline,
               observe::Metrics& metrics, observe::Logger logger)
    : state_(std::make_unique<State>(runtime, std::move(options), pipeline, metrics, std::move(logger))) {}

Client::~Client() {
  struct Progress {
    explicit Progress(std::size_t count) : left(count) {}
    runtime::Signal changed;
    std::atomic<std::size_t> left;
  };
  State& state = *state_;
  const auto progress = std::make_shared<Progress>(state.lines.size());  // shared with the loops' work
  for (std::size_t i = 0; i < state.lines.size(); ++i) {
    state.runtime.post(i, [&line = state.lines[i], progress] {
      line.reset();
      progress->left.fetch_sub(1, std::memory_order_acq_rel);
      progress->changed.notify();
    });
  }
  for (;;) {
    const std::uint64_t seen = progress->changed.version();
    if (progress->left.load(std::memory_order_acquire) == 0) break;
    progress->changed.wait_past(state.runtime.context(), seen, "closing a Redis client");
  }
}

resilience::Outcome<Reply> Client::try_command(const Context& ctx,
                                               std::initializer_list<std::string_view> words,
                                               resilience::CallOptions options) {
  return state_->pipeline.try_call(
      ctx, [&](resilience::Attempt& attempt) { return state_->run_one(attempt.context(), Commands(words)); },
      options);
}

Reply Client::command(const Context& ctx, std::initializer_list<std::string_view> words,
                      resilience::CallOptions options) {
  return try_command(ctx, words, options).value();
}

resilience::Outcome<std::vector<Reply>> Client::try_commands(const Context& ctx, const Commands& commands,
                                                             resilience::CallOptions options) {
  return state_->pipeline.try_call(
      ctx, [&](resilience::Attempt& attempt) { return state_->run(attempt.context(), commands); }, options);
}

std::vector<Reply> Client::commands(const Context& ctx, const Commands& commands,
                                    resilience::CallOptions options) {
  return try_commands(ctx, commands, options).value();
}

resilience::Outcome<Reply> Client::try_eval(const Context& ctx, const Script& script,
                                            std::initializer_list<std::string_view> keys,
                                            std::initializer_list<std::string_view> arguments,
                                            resilience::CallOptions options) {
  const auto call_by = [&](std::string_view verb, std::string_view script_name) {
    const std::string key_count = std::to_string(keys.size());
    std::vector<std::string_view> words{verb, script_name, key_count};
    words.insert(words.end(), keys.begin(), keys.end());
    words.insert(words.end(), arguments.begin(), arguments.end());
    Commands call;
    call.add(words);
    return call;
  };
  return state_->pipeline.try_call(
      ctx,
      [&](resilience::Attempt& attempt) {
        const Context& own = attempt.context();
        Reply reply = std::move(state_->run(own, call_by("EVALSHA", script.sha1())).front());
        // Never run, so it may be asked again, whatever it does. EVAL makes it known.
        if (reply.error_word() == "NOSCRIPT") return state_->run_one(own, call_by("EVAL", script.source()));
        if (!reply.error()) return reply;
        state_->meters.refused.add();
        throw to_error(reply);
      },
      options);
}

Reply Client::eval(const Context& ctx, const Script& script, std::initializer_list<std::string_view> keys,
                   std::initializer_list<std::string_view> arguments, resilience::CallOptions options) {
  return try_eval(ctx, script, keys, arguments, options).value();
}

const resilience::Pipeline& Client::pipeline() const noexcept { return state_->pipeline; }
const ClientOptions& Client::options() const noexcept { return state_->options; }

}  // namespace holdfast::redis
