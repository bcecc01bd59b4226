// Keeps a loopback port for a process that goes and comes back: while it is down, nobody else is given it by
// the kernel (but who names it may listen there). Connections are refused meanwhile, as without it.
// Thread-safety: one thread.
#pragma once

#include <cstdint>

namespace holdfast::drills {

class KeptPort {
 public:
  KeptPort() = default;
  ~KeptPort();
  KeptPort(const KeptPort&) = delete;
  KeptPort& operator=(const KeptPort&) = delete;

  /// Of one that listens there already, with SO_REUSEPORT and as the same user; 0 for none. Where that can't
  /// be, the port is as free as any.
  void keep(std::uint16_t port);

 private:
  int socket_ = -1;
  std::uint16_t port_ = 0;
};

}  // namespace holdfast::drills
