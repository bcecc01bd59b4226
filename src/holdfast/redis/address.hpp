// Where a Redis is and who we are there, read from one URL:
//
//   redis://[[user]:password@]host[:port][/database]      rediss://… the same over TLS
//   unix:///run/redis/redis.sock[?db=database]
//
// User and password are percent-decoded. Thread-safety: a value.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "holdfast/config/secret.hpp"

namespace holdfast::redis {

struct Address {
  std::string host = "127.0.0.1";  ///< a name, an IPv4 or an IPv6 address (without brackets)
  std::uint16_t port = 6379;
  std::string path;  ///< of a unix socket; then host and port mean nothing
  bool tls = false;
  std::string user;  ///< empty: the default user
  config::Secret password;
  std::uint32_t database = 0;  ///< at most 9999

  /// For people and logs: without user and password.
  std::string shown() const;
};

/// Throws Error(invalid_argument, "bad_redis_url") that says what is wrong; it never quotes the password.
Address parse_address(std::string_view url);

}  // namespace holdfast::redis
