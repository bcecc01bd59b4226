#include "support/tcp_relay.hpp"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <stdexcept>
#include <vector>

namespace holdfast::drills {
namespace {

constexpr int kLookEveryMilliseconds = 10;  // whether the test has said something

sockaddr_in local(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

}  // namespace

TcpRelay::TcpRelay(std::uint16_t to) : to_(to), listening_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address = local(0);
  socklen_t size = sizeof address;
  const bool well = ::bind(listening_, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                    ::listen(listening_, 64) == 0 &&
                    ::getsockname(listening_, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  if (!well) throw std::runtime_error("a relay can't listen");
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { run(); });
}

TcpRelay::~TcpRelay() {
  stop_ = true;
  thread_.join();
  for (const Link& link : links_) {
    ::close(link.client);
    ::close(link.server);
  }
  ::close(listening_);
}

void TcpRelay::recover() noexcept {
  ++era_;
  stalled_ = false;
}

void TcpRelay::accept_one() {
  const int client = ::accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC);
  if (client < 0) return;
  const int server = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = local(to_);
  if (::connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    ::close(client);
    ::close(server);
    return;
  }
  links_.push_back({client, server, era_});
}

bool TcpRelay::pass_on(int from, int to) {
  char bytes[16 * 1024];
  const ssize_t got = ::recv(from, bytes, sizeof bytes, MSG_DONTWAIT);
  if (got <= 0) return false;
  for (ssize_t sent = 0; sent < got;) {
    const ssize_t some = ::send(to, bytes + sent, static_cast<std::size_t>(got - sent), MSG_NOSIGNAL);
    if (some <= 0) return false;
    sent += some;
  }
  return true;
}

void TcpRelay::run() {
  while (!stop_) {
    if (stalled_) {  // the kernel takes what comes, and nobody reads it
      ::poll(nullptr, 0, kLookEveryMilliseconds);
      continue;
    }
    std::vector<pollfd> sockets{{listening_, POLLIN, 0}};
    std::vector<Link*> alive;
    for (Link& link : links_) {
      if (link.era != era_) continue;
      alive.push_back(&link);
      sockets.push_back({link.client, POLLIN, 0});
      sockets.push_back({link.server, POLLIN, 0});
    }
    if (::poll(sockets.data(), sockets.size(), kLookEveryMilliseconds) <= 0 || stalled_) continue;
    for (std::size_t i = 0; i < alive.size(); ++i) {
      Link& link = *alive[i];
      if (sockets[1 + 2 * i].revents != 0 && !pass_on(link.client, link.server)) link.gone = true;
      if (sockets[2 + 2 * i].revents != 0 && !pass_on(link.server, link.client)) link.gone = true;
    }
    if ((sockets[0].revents & POLLIN) != 0) accept_one();
    links_.remove_if([](const Link& link) {
      if (!link.gone) return false;
      ::close(link.client);
      ::close(link.server);
      return true;
    });
  }
}

}  // namespace holdfast::drills
