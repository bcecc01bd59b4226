#include "support/spreader.hpp"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <stdexcept>

namespace holdfast::drills {

namespace {

constexpr std::size_t kMostWaiting = 1 << 20;  // bytes a direction holds before it is read no further

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

void at_once(int socket) {
  const int yes = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

void watch(int poll, int fd, unsigned events, int how) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  ::epoll_ctl(poll, how, fd, &event);
}

}  // namespace

Spreader::Spreader(std::vector<std::uint16_t> servers)
    : servers_(std::move(servers)), given_(servers_.size()) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener_, 128) != 0)
    throw std::runtime_error("the spreader can't listen");
  ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(address.sin_port);
  stop_ = ::eventfd(0, EFD_CLOEXEC);
  poll_ = ::epoll_create1(EPOLL_CLOEXEC);
  watch(poll_, listener_, EPOLLIN, EPOLL_CTL_ADD);
  watch(poll_, stop_, EPOLLIN, EPOLL_CTL_ADD);
  thread_ = std::thread([this] { run(); });
}

Spreader::~Spreader() {
  const std::uint64_t one = 1;
  if (::write(stop_, &one, sizeof one) < 0) std::abort();
  thread_.join();
  while (!halves_.empty()) close_both(halves_.begin()->first);
  for (const int fd : {listener_, stop_, poll_}) ::close(fd);
}

void Spreader::run() {
  std::array<epoll_event, 64> events{};
  for (;;) {
    const int count = ::epoll_wait(poll_, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      if (event.data.fd == stop_) return;
      if (event.data.fd == listener_) {
        accept_one();
      } else if (halves_.contains(event.data.fd)) {  // not closed by an event before
        turn(event.data.fd, event.events);
      }
    }
  }
}

void Spreader::accept_one() {
  const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (client < 0) return;
  const int server = connect_to_next();
  if (server < 0) {
    ::close(client);
    return;
  }
  at_once(client);
  at_once(server);
  halves_[client].to = server;
  halves_[server].to = client;
  watch(poll_, client, EPOLLIN, EPOLL_CTL_ADD);
  watch(poll_, server, EPOLLIN, EPOLL_CTL_ADD);
}

/// Loopback connects or refuses at once.
int Spreader::connect_to_next() {
  for (std::size_t tried = 0; tried < servers_.size(); ++tried) {
    const std::size_t index = next_++ % servers_.size();
    const sockaddr_in address = loopback(servers_[index]);
    const int server = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (::connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
      ++given_[index];
      return server;
    }
    ::close(server);
  }
  return -1;
}

void Spreader::turn(int from, unsigned events) {
  const int to = halves_[from].to;
  // Readable or gone: read. Writable: what the other side has sent goes on.
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
    Half& half = halves_[from];
    std::array<char, 65536> bytes;
    const ssize_t got = ::recv(from, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got > 0) half.waiting.append(bytes.data(), static_cast<std::size_t>(got));
    if (got == 0) half.ended = true;
    if (got < 0 && errno != EAGAIN && errno != EINTR) return close_both(from);
  }
  if (!move_on(from) || !move_on(to)) return close_both(from);
  for (const int side : {from, to}) {
    const Half& reads = halves_[side];
    const Half& writes = halves_[reads.to];
    const bool full = reads.waiting.size() >= kMostWaiting;
    watch(poll_, side,
          (reads.ended || full ? 0U : unsigned{EPOLLIN}) | (writes.waiting.empty() ? 0U : unsigned{EPOLLOUT}),
          EPOLL_CTL_MOD);
  }
  if (halves_[from].ended && halves_[to].ended) close_both(from);
}

/// Sends on what was read from `from`; false where nobody takes it any more.
bool Spreader::move_on(int from) {
  Half& half = halves_[from];
  while (!half.waiting.empty()) {
    const ssize_t sent =
        ::send(half.to, half.waiting.data(), half.waiting.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) return errno == EAGAIN || errno == EINTR;
    half.waiting.erase(0, static_cast<std::size_t>(sent));
  }
  if (half.ended) ::shutdown(half.to, SHUT_WR);
  return true;
}

void Spreader::close_both(int one) {
  const int other = halves_[one].to;
  for (const int side : {one, other}) {
    halves_.erase(side);
    ::close(side);
  }
}

}  // namespace holdfast::drills
