// One connection's bytes: a TCP or unix socket, plain or TLS, never blocking. Thread-safety: one thread.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "holdfast/redis/address.hpp"

struct ssl_ctx_st;
struct ssl_st;

namespace holdfast::redis::internal {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

/// Without asking anybody: a unix path or a numeric host. False where the host is a name.
bool numeric_address(const Address& address, SocketAddress& out);
/// Asks the system's resolver, which may block for seconds. False where there is no such host.
bool resolved_address(const Address& address, SocketAddress& out);

/// What TLS connections of a client share. Null without TLS.
using TlsContext = std::shared_ptr<ssl_ctx_st>;
/// Trusts `ca_file` (PEM), or what the system trusts where it is empty. Throws Error(invalid_argument).
TlsContext make_tls_context(const std::string& ca_file);

class Socket {
 public:
  enum class State : std::uint8_t { ready, would_block, failed };
  struct Moved {
    std::size_t bytes = 0;
    State state = State::ready;
  };

  /// Begins to connect. Where that fails at once, the next step says so.
  Socket(const SocketAddress& to, const TlsContext& tls, const std::string& server_name);
  ~Socket();
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  int fd() const noexcept { return fd_; }
  /// Connects and shakes hands as far as it goes; to be called again when the socket is ready for more.
  State advance();
  Moved read(char* into, std::size_t most);
  Moved write(std::string_view bytes);
  /// Why it failed: "Connection refused".
  const std::string& failure() const noexcept { return failure_; }

 private:
  struct FreeTls {
    void operator()(ssl_st* tls) const noexcept;
  };
  State tls_state(int result);
  State fail(std::string why);

  int fd_;
  std::unique_ptr<ssl_st, FreeTls> tls_;
  bool connected_ = false;
  bool shaken_ = false;
  std::string failure_;
};

}  // namespace holdfast::redis::internal
