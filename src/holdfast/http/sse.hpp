// Server-sent events (the HTML standard's text/event-stream): a stream of events to a browser or any
// client, with ids from which a client that was cut off goes on (Last-Event-ID).
//
//   return event_stream([&log, after = last_event_id(request)](const Context& ctx, EventStream& out) mutable
//   {
//     for (;;) {
//       const std::uint64_t seen = log.changed().version();   // before looking: nothing is missed
//       for (const auto& e : log.after(after)) { out.send(ctx, {.id = e.id, .event = e.type, .data =
//       e.json}); after = e.id; } if (!out.wait_past(ctx, log.changed(), seen)) return;  // the server stops
//     }
//   });
//
// Captured values must outlive the handler: capture by value, or references to what outlives the server.
// Thread-safety: an EventStream belongs to the request's fiber.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "holdfast/http/request.hpp"
#include "holdfast/http/response.hpp"
#include "holdfast/runtime/sync.hpp"

namespace holdfast::http {

struct Event {
  std::string id;     ///< what a client sends back as Last-Event-ID; none if empty
  std::string event;  ///< its type; "message" to the client if empty
  std::string data;   ///< may have several lines
};

struct EventStreamOptions {
  Duration heartbeat =
      std::chrono::seconds(15);   ///< a comment this often, so that nobody on the way gives up
  std::optional<Duration> retry;  ///< tells clients how long to wait before they connect again
};

class EventStream {
 public:
  EventStream(BodyWriter& out, const Context& ctx, const EventStreamOptions& options);

  /// Sends one event at once; waits while the client is slow. Line breaks in `id` and `event` become spaces.
  /// Throws as BodyWriter::write().
  void send(const Context& ctx, const Event& event);

  /// Waits until signal.version() > seen, with heartbeats meanwhile. False when the stream should end
  /// because the server stops. Throws Error(cancelled) when the client has gone.
  bool wait_past(const Context& ctx, runtime::Signal& signal, std::uint64_t seen);

  /// Sends a comment if the last thing sent was long ago: for streams that wait in another way.
  void heartbeat_if_due(const Context& ctx);

  bool stopping() const noexcept { return out_.stopping(); }

 private:
  BodyWriter& out_;
  const Duration heartbeat_;
  Instant last_sent_;
};

/// The answer: 200, text/event-stream, endless. `body` runs after the handler has returned.
Response event_stream(std::function<void(const Context&, EventStream&)> body,
                      EventStreamOptions options = {});

/// Where the client was cut off: Last-Event-ID, or ?lastEventId for those who can't set headers. A copy.
std::string last_event_id(const Request& request);

}  // namespace holdfast::http
