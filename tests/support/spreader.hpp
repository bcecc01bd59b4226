// What a load balancer is for a test: connections to one port go to the servers by turns, past those that
// refuse them. A server that dies takes the connections that it had with it.
//
//   Spreader spreader({one.port(), two.port(), three.port()});
//   HttpConnection http(spreader.port());
//
// Thread-safety: any thread; the work is done on one of its own.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <string>
#include <thread>
#include <vector>

namespace holdfast::drills {

class Spreader {
 public:
  /// Loopback ports. Throws std::runtime_error where it can't listen.
  explicit Spreader(std::vector<std::uint16_t> servers);
  ~Spreader();
  Spreader(const Spreader&) = delete;
  Spreader& operator=(const Spreader&) = delete;

  std::uint16_t port() const noexcept { return port_; }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  /// Connections that the server at `index` has got so far.
  std::size_t given(std::size_t index) const { return given_[index]; }

 private:
  /// One direction of a connection: what was read and is not written yet.
  struct Half {
    int to = -1;
    std::string waiting;
    bool ended = false;  ///< nothing more will be read
  };

  void run();
  void accept_one();
  int connect_to_next();
  void turn(int from, unsigned events);
  bool move_on(int from);
  void close_both(int one);

  const std::vector<std::uint16_t> servers_;
  std::vector<std::atomic<std::size_t>> given_;
  std::size_t next_ = 0;
  int listener_ = -1;
  int stop_ = -1;
  int poll_ = -1;
  std::uint16_t port_ = 0;
  std::map<int, Half> halves_;  // by the socket that is read from
  std::thread thread_;
};

}  // namespace holdfast::drills
