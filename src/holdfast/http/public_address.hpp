// Whether an address belongs to the public Internet: what a URL given by a stranger may lead to, and
// nothing of our own network (server-side request forgery). After the IANA special-purpose registries
// (RFC 6890): loopback, private, link-local, carrier-grade, documentation, multicast and the rest are not
// public, also where IPv6 wraps them (mapped, NAT64, 6to4, Teredo).
//
//   if (!is_public_address(*address)) refuse();
//
// Ask at the moment of connecting, of the address that is connected to: a name may resolve to another the
// next time. Thread-safety: pure functions.
#pragma once

#include <sys/socket.h>

#include <string>

namespace holdfast::http {

/// False for what is neither IPv4 nor IPv6.
bool is_public_address(const sockaddr& address) noexcept;
/// "192.0.2.1", "::1"; false for what is no address.
bool is_public_address(const std::string& text) noexcept;

}  // namespace holdfast::http
