// Passes bytes on between clients and a server, until a test says otherwise: a network that can go silent.
//
//   TcpRelay relay(postgres.port());          // clients connect to relay.port()
//   relay.stall();                            // nothing is passed on, and nothing is closed or refused
//   relay.recover();                          // what comes now is passed on; the old connections stay silent
//
// Thread-safety: any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <thread>

namespace holdfast::drills {

class TcpRelay {
 public:
  explicit TcpRelay(std::uint16_t to);
  ~TcpRelay();
  TcpRelay(const TcpRelay&) = delete;
  TcpRelay& operator=(const TcpRelay&) = delete;

  std::uint16_t port() const noexcept { return port_; }
  void stall() noexcept { stalled_ = true; }
  void recover() noexcept;

 private:
  struct Link {
    int client;
    int server;
    std::uint64_t era;
    bool gone = false;
  };
  void run();
  void accept_one();
  static bool pass_on(int from, int to);

  const std::uint16_t to_;
  int listening_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<bool> stalled_{false};
  std::atomic<bool> stop_{false};
  std::atomic<std::uint64_t> era_{0};  // links of an earlier one are silent for good
  std::list<Link> links_;              // the thread's own
  std::thread thread_;
};

}  // namespace holdfast::drills
