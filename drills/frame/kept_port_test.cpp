#include "drills/frame/kept_port.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <optional>

namespace holdfast::drills {
namespace {

/// A socket at a port, 0 for any; as servers make theirs.
class At {
 public:
  explicit At(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const int one = 1;
    ::setsockopt(fd_, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    ::setsockopt(fd_, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    socklen_t size = sizeof address;
    bound = ::bind(fd_, reinterpret_cast<sockaddr*>(&address), size) == 0;
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    number = ntohs(address.sin_port);
  }
  ~At() { ::close(fd_); }
  At(const At&) = delete;
  At& operator=(const At&) = delete;
  void listen() const { ASSERT_EQ(::listen(fd_, 4), 0); }

  bool bound = false;
  std::uint16_t number = 0;

 private:
  int fd_;
};

bool takes_connections(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool taken = ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  ::close(fd);
  return taken;
}

TEST(KeptPort, IsGivenToNobodyElseAndTakesNoConnectionsWhileItsServerIsAway) {
  constexpr int kTries = 100'000;  // several times as many as there are ports
  std::optional<At> server(std::in_place, std::uint16_t{0});
  server->listen();
  const std::uint16_t port = server->number;
  KeptPort kept;
  kept.keep(port);
  EXPECT_TRUE(takes_connections(port));
  server.reset();
  EXPECT_FALSE(takes_connections(port));
  int given = 0;
  for (int n = 0; n < kTries; ++n) given += At(0).number == port ? 1 : 0;
  EXPECT_EQ(given, 0);
  server.emplace(port);
  ASSERT_TRUE(server->bound);
  server->listen();
  EXPECT_TRUE(takes_connections(port));
}

}  // namespace
}  // namespace holdfast::drills
