#include "holdfast/redis/internal/socket.hpp"

#include "holdfast/base/error.hpp"

namespace holdfast::redis::internal {

bool numeric_address(const Address& address, SocketAddress& out) {
  if (!address.path.empty()) return runtime::unix_address(address.path, out);
  return runtime::numeric_address(address.host, address.port, out);
}

bool resolved_address(const Address& address, SocketAddress& out) {
  return runtime::resolved_address(address.host, address.port, out);
}

TlsContext make_tls_context(const std::string& ca_file) {
  try {
    return runtime::make_tls_context({.authorities = ca_file});
  } catch (const Error& error) {
    throw Error(ErrorCode::invalid_argument, "The file of trusted authorities for Redis can't be read.")
        .reason("redis_ca_file_unreadable")
        .cause(error.cause());
  }
}

}  // namespace holdfast::redis::internal
