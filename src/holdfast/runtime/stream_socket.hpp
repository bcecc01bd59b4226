// StreamSocket: one connection's bytes: a TCP or unix socket, plain or TLS, never blocking. For rooms that
// speak a protocol themselves (redis/, messaging/rabbitmq); each watches fd() on its Loop.
//
//   SocketAddress to;
//   if (!numeric_address(host, port, to)) …resolved_address() on an OffloadPool…
//   StreamSocket socket(to, tls, host);
//   loop.watch(socket.fd(), handler);   // then advance() until ready, read() and write()
//
// Thread-safety: one thread; the free functions any.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

struct ssl_ctx_st;
struct ssl_st;

namespace holdfast::runtime {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

/// False where the path is too long for one.
bool unix_address(const std::string& path, SocketAddress& out);
/// Without asking anybody. False where the host is a name.
bool numeric_address(const std::string& host, std::uint16_t port, SocketAddress& out);
/// Asks the system's resolver, which may block for seconds. False where there is no such host.
bool resolved_address(const std::string& host, std::uint16_t port, SocketAddress& out);

/// PEM files.
struct TlsFiles {
  std::string authorities = {};  ///< that are trusted; empty: those that the system trusts
  std::string certificate = {};  ///< who we are, with `key`, where the server asks for it
  std::string key = {};
};

/// What TLS connections to a server share. Null without TLS.
using TlsContext = std::shared_ptr<ssl_ctx_st>;
/// Throws Error(invalid_argument, "tls_file_unusable").
TlsContext make_tls_context(const TlsFiles& files);

class StreamSocket {
 public:
  enum class State : std::uint8_t { ready, would_block, failed };
  struct Moved {
    std::size_t bytes = 0;
    State state = State::ready;
  };

  /// Begins to connect. Where that fails at once, the next step says so. `server_name` is what a certificate
  /// must be for.
  StreamSocket(const SocketAddress& to, const TlsContext& tls, const std::string& server_name);
  ~StreamSocket();
  StreamSocket(const StreamSocket&) = delete;
  StreamSocket& operator=(const StreamSocket&) = delete;

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

}  // namespace holdfast::runtime
