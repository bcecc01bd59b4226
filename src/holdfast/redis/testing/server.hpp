// For tests: a redis-server of our own, on a unix socket and a free loopback port, in a folder that goes with
// it, that can be killed, stopped for a while and started again. Found as $HOLDFAST_REDIS_SERVER or on the
// PATH.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "holdfast/base/testing/free_port.hpp"
#include "holdfast/base/testing/stop_process.hpp"
#include "holdfast/redis/address.hpp"

namespace holdfast::redis::testing {

class RedisServer {
 public:
  /// Whether tests that need a server are not to be run.
  static bool unwanted() {
    const char* const value = std::getenv("HOLDFAST_EMBEDDED_ONLY");
    return value != nullptr && std::string(value) == "1";
  }

  explicit RedisServer(std::vector<std::string> arguments = {}) : arguments_(std::move(arguments)) {
    std::string pattern = std::filesystem::temp_directory_path() / "holdfast-redis-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder for Redis");
    folder_ = pattern;
    port_ = free_port();
    start();
  }
  ~RedisServer() {
    if (::getpid() != owner_) return;  // a test's forked child ends: the server is not its own
    resume();
    kill();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  RedisServer(const RedisServer&) = delete;
  RedisServer& operator=(const RedisServer&) = delete;

  /// Returns once it answers.
  void start(const std::vector<std::string>& more = {}) {
    if (pid_ > 0) return;
    std::vector<std::string> words{binary(),         "--save",      "",
                                   "--appendonly",   "no",          "--bind",
                                   "127.0.0.1",      "--port",      std::to_string(port_),
                                   "--unixsocket",   socket_path(), "--dir",
                                   folder_.string(), "--logfile",   (folder_ / "log").string()};
    words.insert(words.end(), arguments_.begin(), arguments_.end());
    words.insert(words.end(), more.begin(), more.end());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // also where this process dies before it can
      ::execvp(argv[0], argv.data());
      ::_exit(127);
    }
    if (pid_ < 0) {
      pid_ = 0;
      throw std::runtime_error("no process for redis-server");
    }
    for (int tries = 0; tries < 1000; ++tries) {
      if (answers()) return;
      int status = 0;
      if (::waitpid(pid_, &status, WNOHANG) == pid_) {
        pid_ = 0;
        throw std::runtime_error(status == 127 << 8
                                     ? "redis-server can't be started: install the package redis-server, or "
                                       "set HOLDFAST_EMBEDDED_ONLY=1 to go without"
                                     : "redis-server ended at once; see " + (folder_ / "log").string());
      }
      ::poll(nullptr, 0, 10);
    }
    throw std::runtime_error("redis-server does not answer");
  }
  /// As kill -9: all it had is gone, since it saves nothing.
  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }
  /// It hangs: takes connections (the kernel does), answers nothing.
  void stop() { holdfast::stop_process(pid_); }
  void resume() { signal_it(SIGCONT); }

  Address address() const {
    Address address;
    address.path = socket_path();
    return address;
  }
  Address tcp_address() const {
    Address address;
    address.port = port_;
    return address;
  }
  const std::filesystem::path& folder() const noexcept { return folder_; }
  std::string url() const { return "redis://127.0.0.1:" + std::to_string(port_); }

 private:
  static std::string binary() {
    const char* const given = std::getenv("HOLDFAST_REDIS_SERVER");
    return given != nullptr ? given : "redis-server";
  }
  std::string socket_path() const { return (folder_ / "socket").string(); }
  bool answers() const {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, socket_path().c_str(), sizeof address.sun_path - 1);
    char answer[16] = {};
    const bool up = ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
                    ::send(fd, "PING\r\n", 6, MSG_NOSIGNAL) == 6 && ::recv(fd, answer, sizeof answer, 0) > 0;
    ::close(fd);
    return up && answer[0] != '\0';
  }
  void signal_it(int number) {
    if (pid_ > 0) ::kill(pid_, number);
  }

  const std::vector<std::string> arguments_;
  const pid_t owner_ = ::getpid();
  std::filesystem::path folder_;
  std::uint16_t port_ = 0;
  pid_t pid_ = 0;
};

/// One for all tests of this binary that leave it as they found it (up); each flushes it first.
inline RedisServer& shared_server() {
  static RedisServer server;
  return server;
}

}  // namespace holdfast::redis::testing
