#include "holdfast/http/server.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "holdfast/http/internal/connection.hpp"
#include "holdfast/http/internal/shard.hpp"
#include "holdfast/runtime/loop.hpp"
#include "holdfast/runtime/sync.hpp"

namespace holdfast::http {
namespace {

struct Endpoint {
  sockaddr_storage address{};
  socklen_t length = 0;
};

[[noreturn]] void cannot_listen(const std::string& address, std::string_view what, std::string_view why) {
  throw Error(ErrorCode::unavailable,
              "Can't listen on " + address + ": " + std::string(what) + ": " + std::string(why) + ".")
      .reason("cannot_listen");
}

Endpoint resolve(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon + 1 == address.size())
    cannot_listen(address, "address", "not host:port");
  std::string host = address.substr(0, colon);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int failed = ::getaddrinfo(host.empty() || host == "*" ? nullptr : host.c_str(),
                                   address.c_str() + colon + 1, &hints, &found);
  if (failed != 0) cannot_listen(address, "address", ::gai_strerror(failed));
  Endpoint endpoint;
  std::memcpy(&endpoint.address, found->ai_addr, found->ai_addrlen);
  endpoint.length = found->ai_addrlen;
  ::freeaddrinfo(found);
  return endpoint;
}

void set_port(Endpoint& endpoint, std::uint16_t port) noexcept {
  // sin_port and sin6_port lie at the same place.
  reinterpret_cast<sockaddr_in&>(endpoint.address).sin_port = htons(port);
}

std::uint16_t port_of(int fd) noexcept {
  Endpoint endpoint;
  endpoint.length = sizeof endpoint.address;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&endpoint.address), &endpoint.length);
  return ntohs(reinterpret_cast<sockaddr_in&>(endpoint.address).sin_port);
}

/// A socket closed when it isn't taken.
class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {}
  ~Socket() {
    if (fd_ >= 0) ::close(fd_);
  }
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  int get() const noexcept { return fd_; }
  int take() noexcept { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

/// A bind without SO_REUSEPORT, which only succeeds where nobody listens.
void require_nobody_listens(const Endpoint& endpoint, const std::string& address) {
  const Socket probe(::socket(endpoint.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int one = 1;
  ::setsockopt(probe.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (::bind(probe.get(), reinterpret_cast<const sockaddr*>(&endpoint.address), endpoint.length) != 0) {
    cannot_listen(address, "bind", std::strerror(errno));
  }
}

Socket make_listener(const Endpoint& endpoint, int backlog, const std::string& address) {
  Socket socket(::socket(endpoint.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const auto check = [&](bool ok, std::string_view what) {
    if (!ok) cannot_listen(address, what, std::strerror(errno));
  };
  check(socket.get() >= 0, "socket");
  const int one = 1;
  check(::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0, "SO_REUSEADDR");
  check(::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) == 0, "SO_REUSEPORT");
  // Inherited by the sockets it accepts: one system call less for each.
  check(::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0, "TCP_NODELAY");
  check(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&endpoint.address), endpoint.length) == 0,
        "bind");
  check(::listen(socket.get(), backlog) == 0, "listen");
  return socket;
}

}  // namespace

struct Server::State {
  State(runtime::Runtime& runtime, Router router, ServerOptions options)
      : runtime(runtime), router(std::move(router)), options(std::move(options)) {}

  runtime::Runtime& runtime;
  Router router;
  const ServerOptions options;
  std::vector<std::unique_ptr<Shard>> shards;  // a loop each; used on that loop's thread
  runtime::Signal changed;
  std::uint16_t port = 0;

  /// Runs `work` for each shard on its own loop and waits until all have.
  void on_all(const std::function<void(std::unique_ptr<Shard>&)>& work) {
    struct Progress {
      explicit Progress(std::size_t count) : left(count) {}
      runtime::Signal changed;
      std::atomic<std::size_t> left;
    };
    // Shared: the last loop is still inside notify() when we see that nothing is left, and return.
    const auto progress = std::make_shared<Progress>(shards.size());
    for (std::size_t i = 0; i < shards.size(); ++i) {
      runtime.post(i, [this, i, &work, progress] {
        work(shards[i]);
        progress->left.fetch_sub(1, std::memory_order_acq_rel);
        progress->changed.notify();
      });
    }
    for (;;) {
      const std::uint64_t seen = progress->changed.version();
      if (progress->left.load(std::memory_order_acquire) == 0) return;
      progress->changed.wait_past(runtime.context(), seen, "http server");
    }
  }

  /// False where `ctx` ended before `done()`.
  template <typename Done>
  bool wait_until(const Context& ctx, Done&& done) {
    for (;;) {
      const std::uint64_t seen = changed.version();
      if (done()) return true;
      if (changed.wait_past(ctx, seen, "http server") != runtime::Woken::by_event) return done();
    }
  }

  bool accepting() const noexcept {
    for (const auto& shard : shards) {
      if (shard->accepting()) return true;
    }
    return false;
  }

  std::uint64_t open() const noexcept {
    std::uint64_t sum = 0;
    for (const auto& shard : shards) sum += shard->counters.open.value();
    return sum;
  }
};

Server::Server(runtime::Runtime& runtime, Router router, ServerOptions options)
    : state_(std::make_unique<State>(runtime, std::move(router), std::move(options))) {
  state_->router.seal();
}

Server::~Server() {
  State& state = *state_;
  if (state.shards.empty()) return;
  state.on_all([](std::unique_ptr<Shard>& shard) { shard->abort(); });
  state.wait_until(state.runtime.context(), [&] { return state.open() == 0; });
  state.on_all([](std::unique_ptr<Shard>& shard) { shard.reset(); });
}

void Server::start() {
  State& state = *state_;
  Endpoint endpoint = resolve(state.options.address);
  if (!state.options.share_address) require_nobody_listens(endpoint, state.options.address);
  std::vector<Socket> listeners;
  for (std::size_t i = 0; i < state.runtime.loop_count(); ++i) {
    listeners.push_back(make_listener(endpoint, state.options.backlog, state.options.address));
    state.port = port_of(listeners.back().get());
    set_port(endpoint, state.port);
  }
  for (std::size_t i = 0; i < listeners.size(); ++i) {
    state.shards.push_back(std::make_unique<Shard>(state.runtime.loop(i), state.router, state.options,
                                                   state.runtime.random().next(),
                                                   [&state] { state.changed.notify(); }));
  }
  std::vector<int> fds;
  for (Socket& listener : listeners) fds.push_back(listener.take());
  state.on_all([&](std::unique_ptr<Shard>& shard) { shard->listen(fds[shard->loop.index()]); });
}

std::uint16_t Server::port() const noexcept { return state_->port; }

void Server::stop_accepting(const Context& ctx) {
  State& state = *state_;
  state.on_all([](std::unique_ptr<Shard>& shard) { shard->stop_accepting(); });
  state.wait_until(ctx, [&] { return !state.accepting(); });
}

bool Server::drain(const Context& ctx) {
  State& state = *state_;
  stop_accepting(ctx);
  state.on_all([](std::unique_ptr<Shard>& shard) { shard->drain(); });
  if (state.wait_until(ctx, [&] { return state.open() == 0; })) return true;
  state.on_all([](std::unique_ptr<Shard>& shard) { shard->abort(); });
  state.wait_until(state.runtime.context(), [&] { return state.open() == 0; });
  return false;
}

ServerStatistics Server::statistics() const noexcept {
  ServerStatistics sum;
  for (const auto& shard : state_->shards) {
    const ShardCounters& counters = shard->counters;
    sum.connections_accepted += counters.accepted.value();
    sum.connections_open += counters.open.value();
    sum.connections_refused += counters.connections_refused.value();
    sum.requests_started += counters.started.value();
    sum.requests_in_flight += counters.in_flight.value();
    sum.requests_waiting += counters.waiting.value();
    sum.requests_shed += counters.shed.value();
    sum.requests_refused += counters.refused.value();
    sum.clients_gone += counters.gone.value();
    sum.ghost_work += counters.ghosts.value();
    sum.bytes_received += counters.received.value();
    sum.bytes_sent += counters.sent.value();
  }
  return sum;
}

const Router& Server::router() const noexcept { return state_->router; }

}  // namespace holdfast::http
