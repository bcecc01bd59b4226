// The part of a Connection that runs on a fiber: one request after the other, from Context to answer.
#include <exception>
#include <optional>
#include <utility>

#include "holdfast/http/internal/connection.hpp"
#include "holdfast/http/internal/response_head.hpp"
#include "holdfast/http/internal/shard.hpp"
#include "holdfast/http/internal/streams.hpp"
#include "holdfast/http/problem.hpp"
#include "holdfast/http/request_context.hpp"

namespace holdfast::http {
namespace {

constexpr std::size_t kInlineBodyBytes = 16 * 1024;  // larger bodies are sent from where they are
constexpr int kRequestsATurn = 16;                   // pipelined ones, before other fibers get a turn

}  // namespace

void Connection::run_fiber() {
  int served = 0;
  do {
    serve_one();
    if (++served % kRequestsATurn == 0) runtime::yield();
  } while (proceed());
  on_fiber_ = false;
  if (phase_ == Phase::closed) shard_.remove(*this);
}

void Connection::serve_one() {
  if (phase_ == Phase::closed) return shard_.counters.in_flight.subtract();  // aborted before its turn
  if (client_gone_) {                                                        // while it waited for its turn
    shard_.counters.gone.add();
    shard_.counters.in_flight.subtract();
    return close();
  }
  Exchange& x = *exchange_;
  if (x.has_output()) shard_.flush_later(*this);  // answers of earlier requests, should this one wait
  x.cancellation.emplace();
  const Instant now = shard_.loop.turn_started();
  const RouteInfo* const info = x.request.route == nullptr ? nullptr : &x.request.route->info;
  const Duration timeout =
      info != nullptr && info->timeout ? *info->timeout : shard_.options.limits.request_timeout;
  Context::Request asked = read_context(x.request, shard_.loop.clock(), now, now + timeout, shard_.random);
  asked.cancellation = x.cancellation->token();
  StreamReader reader(*this);
  if (info != nullptr && info->streaming_body) x.request.body_reader = &reader;
  const Context ctx = shard_.root.for_request(std::move(asked));

  Response response = answer(ctx);
  const bool stopped = response.status == status_of(ErrorCode::cancelled);
  if (client_gone_ && !stopped) shard_.counters.ghosts.add();
  x.request.body_reader = nullptr;
  if (response.drop_connection) close();
  const bool has_stream = response.stream && x.request.method != Method::head && !bodyless(response.status);
  bool closing = must_close(response) || (has_stream && !x.request.http_1_1);
  if (phase_ != Phase::closed) {
    if (has_stream) {
      closing = send_stream(ctx, response, closing);
    } else {
      send_response(response, closing);
    }
  }
  if (std::exchange(client_gone_, false) && !response.endless) shard_.counters.gone.add();
  shard_.counters.in_flight.subtract();
  if (phase_ != Phase::closed) finish_request(closing);
}

Response Connection::answer(const Context& ctx) {
  Exchange& x = *exchange_;
  try {
    if (x.refusal) return shard_.router.refuse(ctx, x.request, *x.refusal);
    ctx.check("starting to serve the request");
    return shard_.router.handle(ctx, x.request);
  } catch (const Error& error) {
    return problem_response(ctx, x.request, error);
  } catch (const std::exception& unknown) {
    return problem_response(
        ctx, x.request, Error(ErrorCode::internal, "The request could not be served.").cause(unknown.what()));
  } catch (...) {
    return problem_response(ctx, x.request, Error(ErrorCode::internal, "The request could not be served."));
  }
}

/// Whether the connection can't go on after this response. Said in its head, so decided before.
bool Connection::must_close(const Response& response) const {
  const Exchange& x = *exchange_;
  if (response.close || shard_.draining() || refused_ || !x.parser.keep_alive()) return true;
  if (x.parser.body_complete()) return false;
  if (x.parser.expects_continue() && !continue_sent_) return true;  // whether it sends the body is its choice
  const std::uint64_t left = x.parser.content_length().value_or(0);
  return left > shard_.options.limits.max_discarded_bytes;
}

void Connection::send_response(Response& response, bool closing) {
  Exchange& x = *exchange_;
  if (!x.tail.empty()) {  // an earlier answer that the client hasn't taken yet
    x.out.append(x.tail);
    x.tail.clear();
  }
  HeadOptions head{
      .common_headers = shard_.common_headers(), .close = closing, .say_keep_alive = !x.request.http_1_1};
  const bool has_body = !bodyless(response.status);
  if (has_body && !response.stream) head.content_length = response.body.size();
  append_head(x.out, response, head);
  if (!has_body || x.request.method == Method::head) return;
  if (response.body.size() <= kInlineBodyBytes) {
    x.out.append(response.body);
  } else {
    x.tail = std::move(response.body);
  }
}

/// Returns whether the connection must be closed after it.
bool Connection::send_stream(const Context& ctx, Response& response, bool closing) {
  Exchange& x = *exchange_;
  std::optional<Context> endless;
  if (response.endless) {
    endless = shard_.root.for_request({.cancellation = ctx.cancellation(),
                                       .trace = ctx.trace(),
                                       .request_id = ctx.request_id(),
                                       .priority = ctx.priority()});
    endless_ = true;
    if (shard_.draining()) x.cancellation->cancel();
  }
  StreamWriter writer(*this, response, closing);
  std::optional<Response> problem;
  try {
    response.stream(endless ? *endless : ctx, writer);
    writer.finish(endless ? *endless : ctx);
  } catch (const Error& error) {
    problem = problem_response(ctx, x.request, error);
  } catch (const std::exception& unknown) {
    problem = problem_response(
        ctx, x.request,
        Error(ErrorCode::internal, "The response could not be written.").cause(unknown.what()));
  }
  endless_ = false;
  if (!problem || phase_ == Phase::closed) return closing;
  if (writer.begun()) {  // too late for another answer: a missing end tells the client
    close();
    return true;
  }
  closing = must_close(*problem);
  send_response(*problem, closing);
  return closing;
}

void Connection::finish_request(bool closing) {
  Exchange& x = *exchange_;
  const bool complete = x.parser.body_complete();
  continue_sent_ = false;
  if (closing) {
    phase_ = Phase::idle;
    close_after_ = true;
    linger_ = !complete || x.parser.keep_alive();  // it didn't ask for it, so may be sending
    return;
  }
  if (!complete) {
    phase_ = Phase::discarding;
    x.body_bytes = 0;
    set_deadline(shard_.loop.turn_started() + shard_.options.limits.head_timeout);
    return;
  }
  x.in.advance();
  x.next_request();
  phase_ = Phase::idle;
}

/// Waits for this socket. False where nothing happened for `limit`.
bool Connection::wait_ready(const Context& ctx, Duration limit, const char* where) {
  waiting_ = runtime::prepare_wait(where);
  const runtime::Woken woken = runtime::park(ctx.with_timeout(limit), where);
  waiting_ = {};
  if (woken == runtime::Woken::by_deadline && ctx.remaining() > Duration::zero()) return false;
  runtime::throw_unless_event(woken, where);
  return true;
}

}  // namespace holdfast::http
