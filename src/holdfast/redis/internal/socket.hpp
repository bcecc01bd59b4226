// The way from a Redis' Address to a socket. Thread-safety: pure functions.
#pragma once

#include <string>

#include "holdfast/redis/address.hpp"
#include "holdfast/runtime/stream_socket.hpp"

namespace holdfast::redis::internal {

using Socket = runtime::StreamSocket;
using runtime::SocketAddress;
using runtime::TlsContext;

/// Without asking anybody: a unix path or a numeric host. False where the host is a name.
bool numeric_address(const Address& address, SocketAddress& out);
/// Asks the system's resolver, which may block for seconds. False where there is no such host.
bool resolved_address(const Address& address, SocketAddress& out);

/// Trusts `ca_file` (PEM), or what the system trusts where it is empty. Throws Error(invalid_argument).
TlsContext make_tls_context(const std::string& ca_file);

}  // namespace holdfast::redis::internal
