#include "holdfast/runtime/stream_socket.hpp"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <system_error>

#include "holdfast/base/error.hpp"

namespace holdfast::runtime {
namespace {

std::string system_message(int code) { return std::generic_category().message(code); }

template <class Specific>
void assign(SocketAddress& out, const Specific& address, std::size_t size = sizeof(Specific)) {
  static_assert(sizeof(Specific) <= sizeof(sockaddr_storage));
  std::memcpy(&out.storage, &address, sizeof address);
  out.size = static_cast<socklen_t>(size);
}

bool numeric_host(const std::string& host) {
  in_addr v4{};
  in6_addr v6{};
  return ::inet_pton(AF_INET, host.c_str(), &v4) == 1 || ::inet_pton(AF_INET6, host.c_str(), &v6) == 1;
}

std::string tls_message() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "TLS failed";
  const char* const reason = ERR_reason_error_string(code);
  return std::string("TLS: ") + (reason != nullptr ? reason : "failed");
}

}  // namespace

bool unix_address(const std::string& path, SocketAddress& out) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return false;
  std::ranges::copy(path, static_cast<char*>(address.sun_path));
  assign(out, address);
  return true;
}

bool numeric_address(const std::string& host, std::uint16_t port, SocketAddress& out) {
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  if (::inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) return assign(out, v4), true;
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  if (::inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) == 1) return assign(out, v6), true;
  return false;
}

bool resolved_address(const std::string& host, std::uint16_t port, SocketAddress& out) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) return false;
  // A server that listens at one family only is mostly found at IPv4; so that one is preferred.
  const addrinfo* chosen = found;
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
    if (each->ai_family == AF_INET) {
      chosen = each;
      break;
    }
  }
  std::memcpy(&out.storage, chosen->ai_addr, chosen->ai_addrlen);
  out.size = chosen->ai_addrlen;
  ::freeaddrinfo(found);
  return true;
}

TlsContext make_tls_context(const TlsFiles& files) {
  const auto unreadable = [](const std::string& what, const std::string& file) {
    return Error(ErrorCode::invalid_argument, "The file of " + what + " can't be used.")
        .reason("tls_file_unusable")
        .cause(file + ": " + tls_message());
  };
  TlsContext context(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
  if (!context) throw Error(ErrorCode::internal, "TLS can't be set up.").cause(tls_message());
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  const int trusted = files.authorities.empty()
                          ? SSL_CTX_set_default_verify_paths(context.get())
                          : SSL_CTX_load_verify_locations(context.get(), files.authorities.c_str(), nullptr);
  if (trusted != 1) throw unreadable("trusted authorities", files.authorities);
  if (files.certificate.empty()) return context;
  if (SSL_CTX_use_certificate_chain_file(context.get(), files.certificate.c_str()) != 1)
    throw unreadable("our certificate", files.certificate);
  if (SSL_CTX_use_PrivateKey_file(context.get(), files.key.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(context.get()) != 1)
    throw unreadable("our certificate's key", files.key);
  return context;
}

void StreamSocket::FreeTls::operator()(ssl_st* tls) const noexcept { SSL_free(tls); }

StreamSocket::StreamSocket(const SocketAddress& to, const TlsContext& tls, const std::string& server_name)
    : fd_(::socket(to.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
  if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "making a socket");
  if (to.storage.ss_family != AF_UNIX) {
    const int on = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  if (tls) {
    tls_.reset(SSL_new(tls.get()));
    if (!tls_) {
      ::close(fd_);
      throw std::bad_alloc();
    }
    SSL_set_fd(tls_.get(), fd_);
    if (numeric_host(server_name)) {
      X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls_.get()), server_name.c_str());
    } else {
      SSL_set1_host(tls_.get(), server_name.c_str());
      SSL_set_tlsext_host_name(tls_.get(), server_name.c_str());
    }
  }
  if (::connect(fd_, reinterpret_cast<const sockaddr*>(&to.storage), to.size) != 0 && errno != EINPROGRESS) {
    failure_ = system_message(errno);
  }
}

StreamSocket::~StreamSocket() {
  tls_.reset();
  ::close(fd_);
}

StreamSocket::State StreamSocket::fail(std::string why) {
  failure_ = std::move(why);
  return State::failed;
}

StreamSocket::State StreamSocket::tls_state(int result) {
  switch (SSL_get_error(tls_.get(), result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: return State::would_block;
    case SSL_ERROR_ZERO_RETURN: return fail("closed by the server");
    case SSL_ERROR_SYSCALL: return fail(errno != 0 ? system_message(errno) : "closed by the server");
    default: break;
  }
  const long verified = SSL_get_verify_result(tls_.get());
  if (verified == X509_V_OK) return fail(tls_message());
  ERR_clear_error();
  return fail(std::string("TLS: ") + X509_verify_cert_error_string(verified));
}

StreamSocket::State StreamSocket::advance() {
  if (!failure_.empty()) return State::failed;
  if (!connected_) {
    sockaddr_storage peer{};
    socklen_t size = sizeof peer;
    if (::getpeername(fd_, reinterpret_cast<sockaddr*>(&peer), &size) != 0) {
      int code = 0;
      socklen_t code_size = sizeof code;
      ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &code, &code_size);
      return code != 0 ? fail(system_message(code)) : State::would_block;
    }
    connected_ = true;
  }
  if (!tls_ || shaken_) return State::ready;
  errno = 0;
  const int result = SSL_connect(tls_.get());
  if (result != 1) return tls_state(result);
  shaken_ = true;
  return State::ready;
}

StreamSocket::Moved StreamSocket::read(char* into, std::size_t most) {
  errno = 0;
  if (tls_) {
    const int count = SSL_read(tls_.get(), into, static_cast<int>(std::min<std::size_t>(most, INT_MAX)));
    if (count > 0) return {static_cast<std::size_t>(count), State::ready};
    return {0, tls_state(count)};
  }
  const ssize_t count = ::recv(fd_, into, most, 0);
  if (count > 0) return {static_cast<std::size_t>(count), State::ready};
  if (count == 0) return {0, fail("closed by the server")};
  if (errno == EAGAIN || errno == EINTR) return {0, State::would_block};
  return {0, fail(system_message(errno))};
}

StreamSocket::Moved StreamSocket::write(std::string_view bytes) {
  errno = 0;
  if (tls_) {
    const int count =
        SSL_write(tls_.get(), bytes.data(), static_cast<int>(std::min<std::size_t>(bytes.size(), INT_MAX)));
    if (count > 0) return {static_cast<std::size_t>(count), State::ready};
    return {0, tls_state(count)};
  }
  const ssize_t count = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (count >= 0) return {static_cast<std::size_t>(count), State::ready};
  if (errno == EAGAIN || errno == EINTR) return {0, State::would_block};
  return {0, fail(system_message(errno))};
}

}  // namespace holdfast::runtime
