// An HTTP/1.1 server on the runtime's loops: a listener each (SO_REUSEPORT), requests parsed in
// callbacks, a fiber a request, none for an idle connection.
//
//   Router router; ...
//   Server server(runtime, std::move(router), {.address = "127.0.0.1:8080"});
//   server.start();
//   ...                                    // on SIGTERM:
//   server.stop_accepting(ctx);            // serves whoever has connected; new ones go elsewhere
//   server.drain(ctx.with_timeout(30s));   // answers everything received, then closes
//
// A client that closes its side while its request is served cancels the request's Context; one that had
// done so before the request began (`printf … | nc`) is answered.
// Thread-safety: start(), stop_accepting() and drain() from a fiber of the runtime, one at a time; the
// rest from any thread. Must be destroyed on a fiber, before the Runtime.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "holdfast/http/router.hpp"
#include "holdfast/runtime/runtime.hpp"

namespace holdfast::http {

/// Limits on what a client may make us hold or wait for. Each refusal is a problem+json answer with
/// the status given, and a close where HTTP leaves no way to go on.
struct ServerLimits {
  std::size_t max_target_bytes = 8 * 1024;   ///< request target; 414
  std::size_t max_head_bytes = 32 * 1024;    ///< request line and headers together; 431
  std::size_t max_headers = 100;             ///< 431
  std::size_t max_body_bytes = 1024 * 1024;  ///< buffered or streamed, unless the route says otherwise; 413
  /// A body that nobody reads (of a refused request) is read and thrown away up to this, so that the
  /// connection stays usable; past it the connection is closed.
  std::size_t max_discarded_bytes = 256 * 1024;
  std::size_t max_connections_per_loop = 20'000;         ///< one more gets 503 and a close
  std::size_t max_requests_in_flight_per_loop = 10'000;  ///< one more gets 503, its connection lives
  /// A request that has been read and would wait, or has waited, so long for its loop's time gets 503.
  Duration max_start_wait = std::chrono::seconds(1);
  Duration idle_timeout = std::chrono::seconds(75);  ///< between requests of a connection; closed silently
  Duration head_timeout = std::chrono::seconds(10);  ///< from a head's first byte to its last; 408
  std::size_t min_body_bytes_per_second = 1024;      ///< averaged over body_rate_window; 408
  Duration body_rate_window = std::chrono::seconds(5);
  Duration write_timeout =
      std::chrono::seconds(30);  ///< a client that takes no byte for this long is cut off
  Duration request_timeout =
      std::chrono::seconds(30);  ///< deadline of a request's Context, unless its route says otherwise
  Duration linger_timeout =
      std::chrono::seconds(2);  ///< reading on after a refusal, so that it isn't lost to a reset
  Duration drain_idle_grace =
      std::chrono::milliseconds(250);  ///< drain() leaves idle connections this long to send a last request
};

struct ServerOptions {
  std::string address = "127.0.0.1:8080";  ///< host:port, [::1]:port; port 0 takes a free one
  /// Where another process listens at the same address, take turns with it (a rolling restart) instead of
  /// refusing to start: the listeners' SO_REUSEPORT would let two servers share a port unnoticed.
  bool share_address = false;
  int backlog = 1024;
  ServerLimits limits;
  std::string server_name;  ///< the Server header; none if empty
  /// Asked once a request is there, before anything is spent on it: where it returns a time, the answer is
  /// 503 with that Retry-After, the connection stays usable, and no middleware sees it. On the loops'
  /// threads; must not wait.
  std::function<std::optional<Duration>(const Request&)> turns_away;
  /// Told of requests refused before there was one to route (malformed, too slow): a stable reason
  /// ("bare_line_feed") for a counter. On the loops' threads; must not wait.
  std::function<void(std::string_view reason, int status)> on_refused;
};

/// Sums over all loops; each number may be a moment old.
struct ServerStatistics {
  std::uint64_t connections_accepted = 0;
  std::uint64_t connections_open = 0;
  std::uint64_t connections_refused = 0;  ///< over max_connections_per_loop
  std::uint64_t requests_started = 0;
  std::uint64_t requests_in_flight = 0;
  std::uint64_t requests_waiting = 0;  ///< of those, for their loop's time
  std::uint64_t requests_shed = 0;     ///< over a limit of those, turned away, or past max_start_wait
  std::uint64_t requests_refused = 0;  ///< malformed or over a limit
  std::uint64_t clients_gone = 0;      ///< requests whose client hung up before it was answered
  /// Of those, the ones that were worked on to their end all the same: their handlers did not stop.
  std::uint64_t ghost_work = 0;
  std::uint64_t bytes_received = 0;
  std::uint64_t bytes_sent = 0;
};

class Server {
 public:
  /// Seals `router`. `runtime` must outlive it.
  Server(runtime::Runtime& runtime, Router router, ServerOptions options);

  /// Stops at once what still runs: cancels the requests, waits for their fibers.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Binds and listens. Throws Error(unavailable) naming the address where it can't.
  void start();

  /// The bound port; 0 before start().
  std::uint16_t port() const noexcept;

  /// Lets no new connection begin, takes in those that have (also those the kernel still queues),
  /// closes the listeners. Connections stay; from now on their answers say `Connection: close`.
  void stop_accepting(const Context& ctx);

  /// Waits until every connection has ended: idle ones are closed after drain_idle_grace, the others
  /// after their answer. When `ctx` ends first (the hard limit), requests still running are cancelled
  /// and their connections closed. Calls stop_accepting() if that hasn't been. Returns whether
  /// everything was answered.
  bool drain(const Context& ctx);

  ServerStatistics statistics() const noexcept;
  const Router& router() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace holdfast::http
