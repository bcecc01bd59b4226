// Where a RabbitMQ listens: "amqp://host[:port]", "amqps://…" for TLS; an IPv6 address in brackets. Neither
// credentials nor a vhost: those have settings of their own, and URLs are shown.
//
// Thread-safety: a value.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace holdfast::messaging::rabbitmq {

struct ServerAddress {
  std::string host;
  std::uint16_t port = 0;
  bool tls = false;

  std::string shown() const;
};

/// Throws Error(invalid_argument, "messaging_options_invalid"), which does not quote what may be a password.
ServerAddress parse_server(std::string_view url);

}  // namespace holdfast::messaging::rabbitmq
