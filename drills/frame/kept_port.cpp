#include "drills/frame/kept_port.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace holdfast::drills {

KeptPort::~KeptPort() {
  if (socket_ >= 0) ::close(socket_);
}

void KeptPort::keep(std::uint16_t port) {
  if (port == port_) return;
  if (socket_ >= 0) ::close(socket_);
  port_ = port;
  socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int one = 1;
  ::setsockopt(socket_, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  ::setsockopt(socket_, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  // Bound, and not listening: nobody is sent there.
  static_cast<void>(::bind(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address));
}

}  // namespace holdfast::drills
