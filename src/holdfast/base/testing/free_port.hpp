// For tests: a loopback port for a server that can't be told "any", or that comes back where it was.
//
//   const std::uint16_t port = holdfast::free_port();   // ours until this process ends
//
// A port that the kernel chose and that was closed again is chosen again for somebody else: while the server
// starts, or is down, a test that runs beside this one may listen there. These are below the range that the
// kernel chooses from, and a lock keeps them from the other processes of tests.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>

namespace holdfast {

/// Throws where there is none, or no folder for temporary files. Any thread.
inline std::uint16_t free_port() {
  constexpr unsigned kFirst = 20'000;
  constexpr unsigned kPorts = 12'000;  // Linux chooses from 32'768 on
  static const int locks = [] {
    const auto file =
        std::filesystem::temp_directory_path() / ("holdfast-test-ports-" + std::to_string(::geteuid()));
    return ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  }();
  static std::atomic<unsigned> next{static_cast<unsigned>(::getpid()) * 97};
  for (unsigned tries = 0; tries < kPorts; ++tries) {
    const auto port = static_cast<std::uint16_t>(kFirst + next++ % kPorts);
    struct flock ours {};
    ours.l_type = F_WRLCK;
    ours.l_whence = SEEK_SET;
    ours.l_start = port;
    ours.l_len = 1;
    if (::fcntl(locks, F_OFD_SETLK, &ours) != 0) continue;
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    const bool free = ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    ::close(fd);
    if (free) return port;
  }
  throw std::runtime_error("no free port for a server of the tests");
}

}  // namespace holdfast
