#include "holdfast/idempotency/redis_answers.hpp"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <utility>

#include "holdfast/base/encoding.hpp"
#include "holdfast/base/error.hpp"
#include "holdfast/idempotency/internal/records.hpp"
#include "holdfast/runtime/sync.hpp"

namespace holdfast::idempotency {
namespace {

constexpr char kFormat = '1';  ///< of the text below; another one is not read

/// "1<fingerprint> <status> <bytes of headers> <headers><body>"
std::string text_of(const Sha256Digest& fingerprint, const http::Response& response) {
  std::vector<std::string> every;
  for (const http::ResponseHeader& header : response.headers) every.push_back(header.name);
  const std::string headers = headers_json(response, every);
  return kFormat + encode_hex(fingerprint) + ' ' + std::to_string(response.status) + ' ' +
         std::to_string(headers.size()) + ' ' + headers + response.body;
}

std::optional<std::size_t> take_number(std::string_view& text) {
  const std::size_t space = text.find(' ');
  std::size_t value = 0;
  if (space == std::string_view::npos) return std::nullopt;
  const auto [end, error] = std::from_chars(text.data(), text.data() + space, value);
  if (error != std::errc() || end != text.data() + space) return std::nullopt;
  text.remove_prefix(space + 1);
  return value;
}

/// Nothing where it is of another request, or not ours at all.
std::optional<http::Response> response_of(std::string_view text, const Sha256Digest& fingerprint) {
  const std::string head = kFormat + encode_hex(fingerprint) + ' ';
  if (!text.starts_with(head)) return std::nullopt;
  text.remove_prefix(head.size());
  const auto status = take_number(text);
  const auto size = take_number(text);
  if (!status || *status < 100 || *status > 599 || !size || *size > text.size()) return std::nullopt;
  http::Response response(static_cast<int>(*status));
  read_headers(std::string(text.substr(0, *size)), response);
  response.body = text.substr(*size);
  return response;
}

}  // namespace

struct RedisAnswers::State {
  State(runtime::Runtime& the_runtime, redis::Client& the_client, observe::Metrics& metrics,
        RedisAnswersOptions the_options)
      : runtime(the_runtime), client(the_client), options(std::move(the_options)) {
    const auto counted = [&](const char* outcome) {
      return metrics.counter(
          "holdfast_idempotency_fast_total",
          "Requests with a key, by what Redis said: the answer, nothing it knew, or it could "
          "not be asked in time.",
          {{"outcome", outcome}});
    };
    hits = counted("hit");
    misses = counted("miss");
    away = counted("away");
    left = metrics.counter("holdfast_idempotency_fast_left_total",
                           "Answers not kept in Redis: too large, too many at once, or it is away.");
    mark = encode_hex(sha256(options.of)).substr(0, 8);
  }
  std::string key(const Scope& scope) const {
    return options.prefix + "answer:" + mark + ':' + encode_hex(scope);
  }

  void set(const std::string& key, const std::string& text, const std::string& milliseconds) noexcept {
    try {
      if (!client.try_command(runtime.context(), {"SET", key, text, "PX", milliseconds})) left.add();
    } catch (const std::exception&) {
      left.add();
    }
    keeping.fetch_sub(1, std::memory_order_acq_rel);
    kept.notify();
  }

  runtime::Runtime& runtime;
  redis::Client& client;
  const RedisAnswersOptions options;
  std::string mark;
  observe::Counter hits, misses, away, left;
  std::atomic<std::size_t> keeping{0};
  runtime::Signal kept;
};

RedisAnswers::RedisAnswers(runtime::Runtime& runtime, redis::Client& client, observe::Metrics& metrics,
                           RedisAnswersOptions options)
    : state_(std::make_shared<State>(runtime, client, metrics, std::move(options))) {}

RedisAnswers::~RedisAnswers() {
  State& state = *state_;
  for (;;) {
    const std::uint64_t seen = state.kept.version();
    if (state.keeping.load(std::memory_order_acquire) == 0) return;
    state.kept.wait_past(state.runtime.context(), seen, "waiting for answers on their way to Redis");
  }
}

std::optional<http::Response> RedisAnswers::find(const Context& ctx, const Scope& scope,
                                                 const Sha256Digest& fingerprint) noexcept try {
  State& state = *state_;
  const auto reply = state.client.try_command(ctx.with_timeout(state.options.patience),
                                              {"GET", state.key(scope)}, {.idempotent = true});
  if (!reply) {
    state.away.add();
    return std::nullopt;
  }
  const redis::Reply& said = *reply;
  auto known = said.nil() ? std::nullopt : response_of(said.as_text(), fingerprint);
  (known ? state.hits : state.misses).add();
  return known;
} catch (const std::exception&) {
  state_->away.add();
  return std::nullopt;
}

void RedisAnswers::keep(const Scope& scope, const Sha256Digest& fingerprint, const http::Response& response,
                        Duration time) noexcept try {
  State& state = *state_;
  const auto lives =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::min(time, state.options.keep_for));
  if (lives.count() <= 0) return;
  if (response.body.size() > state.options.max_bytes) return state.left.add();
  if (state.keeping.fetch_add(1, std::memory_order_acq_rel) >= state.options.max_keeping) {
    state.keeping.fetch_sub(1, std::memory_order_acq_rel);
    return state.left.add();
  }
  try {
    state.runtime.spawn_on(
        state.runtime.current_loop(), "keeping an answer",
        [own = state_, key = state.key(scope), text = text_of(fingerprint, response),
         milliseconds = std::to_string(lives.count())] { own->set(key, text, milliseconds); });
  } catch (const std::exception&) {  // no stack, no memory: the database has it
    state.keeping.fetch_sub(1, std::memory_order_acq_rel);
    state.left.add();
  }
} catch (const std::exception&) {
  state_->left.add();
}

}  // namespace holdfast::idempotency
