#include "drills/frame/raw_connection.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <stdexcept>

namespace holdfast::drills {

RawConnection::RawConnection(std::uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  const timeval patience{.tv_sec = 10, .tv_usec = 0};
  ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    ::close(socket_);
    throw std::runtime_error("connecting to the server failed");
  }
}

RawConnection::~RawConnection() { ::close(socket_); }

bool RawConnection::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

void RawConnection::finish_sending() { ::shutdown(socket_, SHUT_WR); }

bool RawConnection::receive_some(std::chrono::milliseconds at_most) {
  pollfd watched{.fd = socket_, .events = POLLIN, .revents = 0};
  if (::poll(&watched, 1, static_cast<int>(at_most.count())) <= 0) return false;
  char chunk[16 * 1024];
  const ssize_t got = ::recv(socket_, chunk, sizeof chunk, 0);
  if (got <= 0) {
    answer_.closed = true;
    answer_.reset = got < 0;
    return false;
  }
  answer_.text.append(chunk, static_cast<std::size_t>(got));
  return true;
}

bool RawConnection::receive_until(std::string_view text, std::chrono::milliseconds at_most) {
  const auto until = std::chrono::steady_clock::now() + at_most;
  while (answer_.text.find(text) == std::string::npos) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    if (left.count() <= 0 || !receive_some(left)) return false;
  }
  return true;
}

bool RawConnection::ended() {
  while (receive_some(std::chrono::milliseconds::zero())) {
  }
  return answer_.closed;
}

RawAnswer RawConnection::receive(std::chrono::milliseconds quiet) {
  while (receive_some(quiet)) {
  }
  answer_.answers = 0;
  constexpr std::string_view kStatusLine = "HTTP/1.1 ";
  for (std::size_t at = answer_.text.find(kStatusLine); at != std::string::npos;
       at = answer_.text.find(kStatusLine, at + 1)) {
    const int status = std::atoi(answer_.text.c_str() + at + kStatusLine.size());
    if (status < 100) continue;  // a problem's text speaks of HTTP/1.1
    if (answer_.answers++ == 0) answer_.status = status;
  }
  return answer_;
}

}  // namespace holdfast::drills
