// For this room's tests: a Server on a runtime of its own, and a plain blocking client that sends and
// receives bytes as they are.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <future>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "holdfast/http/server.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/runtime/sync.hpp"

namespace holdfast::http::testing {

class TestServer {
 public:
  explicit TestServer(Router router, ServerOptions options = {}, std::size_t loops = 1)
      : runtime_({.loops = loops}, clock_, random_) {
    options.address = "127.0.0.1:0";
    thread_ = std::thread([this, router = std::move(router), options = std::move(options)]() mutable {
      runtime_.run([&](const Context& ctx) {
        Server serving(runtime_, std::move(router), std::move(options));
        serving.start();
        started_.set_value(&serving);
        stop_.wait(ctx, "test");
        drained_.set_value(serving.drain(ctx.with_timeout(drain_limit)));
      });
    });
    server = started_.get_future().get();
    port_ = server->port();
  }
  ~TestServer() {
    stop_.open();
    thread_.join();
  }
  TestServer(const TestServer&) = delete;
  TestServer& operator=(const TestServer&) = delete;

  void begin_drain() { stop_.open(); }
  /// Whether everything was answered.
  bool drained() { return drained_.get_future().get(); }
  std::uint16_t port() const { return port_; }  // also when the server is gone

  Server* server = nullptr;
  Duration drain_limit = std::chrono::seconds(5);

 private:
  SystemClock clock_;
  SystemRandom random_;
  runtime::Runtime runtime_;
  runtime::Latch stop_;
  std::uint16_t port_ = 0;
  std::promise<Server*> started_;
  std::promise<bool> drained_;
  std::thread thread_;
};

/// Blocking, with five seconds of patience: a test that hangs fails instead.
class RawClient {
 public:
  explicit RawClient(std::uint16_t port, int receive_buffer = 0)
      : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const timeval patience{5, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (receive_buffer > 0) ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~RawClient() {
    if (fd_ >= 0) ::close(fd_);
  }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t count = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return;
      bytes.remove_prefix(static_cast<std::size_t>(count));
    }
  }

  /// Receives until what has come contains `mark`, the connection ends or patience does; returns and
  /// forgets everything up to and including it.
  std::string until(std::string_view mark) {
    std::size_t at = std::string::npos;
    while ((at = received_.find(mark)) == std::string::npos && receive_some()) {
    }
    const std::size_t end = at == std::string::npos ? received_.size() : at + mark.size();
    std::string result = received_.substr(0, end);
    received_.erase(0, end);
    return result;
  }

  /// One response with a Content-Length (or none).
  std::string response() {
    std::string head = until("\r\n\r\n");
    const std::size_t at = head.find("Content-Length: ");
    if (at == std::string::npos) return head;
    const std::size_t length = std::stoul(head.substr(at + 16));
    while (received_.size() < length && receive_some()) {
    }
    head += received_.substr(0, length);
    received_.erase(0, length);
    return head;
  }

  /// All there is until the server closes. `ended` is false where it didn't (in time), or by a reset.
  std::string all() {
    while (receive_some()) {
    }
    return std::exchange(received_, {});
  }

  void finish_sending() { ::shutdown(fd_, SHUT_WR); }
  void close() { ::close(std::exchange(fd_, -1)); }

  bool connected = false;
  bool ended = false;

 private:
  bool receive_some() {
    char buffer[16 * 1024];
    ssize_t count = 0;
    do {
      count = ::recv(fd_, buffer, sizeof buffer, 0);
    } while (count < 0 && errno == EINTR);  // this process was stopped for a while
    if (count > 0) received_.append(buffer, static_cast<std::size_t>(count));
    ended = count == 0;
    return count > 0;
  }

  int fd_;
  std::string received_;
};

inline int status_of(std::string_view response) {
  return response.size() > 12 && response.starts_with("HTTP/1.1 ")
             ? std::stoi(std::string(response.substr(9, 3)))
             : 0;
}

inline std::string_view body_of(std::string_view response) {
  const std::size_t at = response.find("\r\n\r\n");
  return at == std::string_view::npos ? std::string_view() : response.substr(at + 4);
}

}  // namespace holdfast::http::testing
