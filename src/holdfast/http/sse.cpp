#include "holdfast/http/sse.hpp"

#include <algorithm>
#include <utility>

namespace holdfast::http {
namespace {

std::string one_line(std::string_view text) {
  std::string line(text);
  std::replace_if(
      line.begin(), line.end(), [](char c) { return c == '\r' || c == '\n' || c == '\0'; }, ' ');
  return line;
}

void append_field(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ").append(value).push_back('\n');
}

/// One "data:" a line; CR, LF and CRLF all end a line for the client.
void append_data(std::string& out, std::string_view data) {
  for (;;) {
    const std::size_t end = data.find_first_of("\r\n");
    append_field(out, "data", data.substr(0, end));
    if (end == std::string_view::npos) return;
    data.remove_prefix(end + (data.substr(end).starts_with("\r\n") ? 2 : 1));
  }
}

}  // namespace

EventStream::EventStream(BodyWriter& out, const Context& ctx, const EventStreamOptions& options)
    : out_(out), heartbeat_(options.heartbeat), last_sent_(ctx.now()) {
  if (options.retry) {
    const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(*options.retry).count();
    out_.write(ctx, "retry: " + std::to_string(milliseconds) + "\n\n");
  }
  out_.flush(ctx);  // the head at once: the client then knows that it is connected
}

void EventStream::send(const Context& ctx, const Event& event) {
  std::string text;
  if (!event.id.empty()) append_field(text, "id", one_line(event.id));
  if (!event.event.empty()) append_field(text, "event", one_line(event.event));
  append_data(text, event.data);
  text.push_back('\n');
  out_.write(ctx, text);
  out_.flush(ctx);
  last_sent_ = ctx.now();
}

void EventStream::heartbeat_if_due(const Context& ctx) {
  const Instant now = ctx.now();
  if (now - last_sent_ < heartbeat_) return;
  out_.write(ctx, ":\n\n");
  out_.flush(ctx);
  last_sent_ = now;
}

bool EventStream::wait_past(const Context& ctx, runtime::Signal& signal, std::uint64_t seen) {
  for (;;) {
    if (stopping()) return false;
    const runtime::Woken woken =
        signal.wait_past(ctx.with_deadline(last_sent_ + heartbeat_), seen, "event stream");
    if (woken == runtime::Woken::by_event) return true;
    if (stopping()) return false;
    if (woken == runtime::Woken::by_cancellation || ctx.remaining() == Duration::zero()) {
      runtime::throw_unless_event(woken, "event stream");
    }
    heartbeat_if_due(ctx);
  }
}

Response event_stream(std::function<void(const Context&, EventStream&)> body, EventStreamOptions options) {
  Response response = Response::streamed(
      200, "text/event-stream", [body = std::move(body), options](const Context& ctx, BodyWriter& out) {
        try {
          EventStream stream(out, ctx, options);
          body(ctx, stream);
        } catch (const Error& error) {
          // A stop ends the stream whole, whatever it was waiting for; the client comes back elsewhere.
          if (error.code() != ErrorCode::cancelled || !out.stopping()) throw;
        }
      });
  response.endless = true;
  response.set("Cache-Control", "no-cache");
  response.set("X-Accel-Buffering", "no");  // nginx in front must not hold events back
  return response;
}

std::string last_event_id(const Request& request) {
  if (request.has_header("Last-Event-ID")) return std::string(request.header("Last-Event-ID"));
  return request.query("lastEventId").value_or("");
}

}  // namespace holdfast::http
