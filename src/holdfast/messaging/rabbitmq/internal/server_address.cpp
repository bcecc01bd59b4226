#include "holdfast/messaging/rabbitmq/internal/server_address.hpp"

#include <algorithm>
#include <charconv>

#include "holdfast/base/error.hpp"

namespace holdfast::messaging::rabbitmq {
namespace {

constexpr std::uint16_t kPort = 5672;
constexpr std::uint16_t kTlsPort = 5671;
constexpr std::size_t kLongestHost = 255;

[[noreturn]] void refuse(const char* what) {
  throw Error(ErrorCode::invalid_argument,
              std::string("broker.rabbitmq.servers must be URLs like amqp://host:5672: ") + what)
      .reason("messaging_options_invalid");
}

bool host_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
         c == '_';
}

}  // namespace

std::string ServerAddress::shown() const {
  const bool v6 = host.contains(':');
  return std::string(tls ? "amqps://" : "amqp://") + (v6 ? "[" + host + "]" : host) + ":" +
         std::to_string(port);
}

ServerAddress parse_server(std::string_view url) {
  ServerAddress address;
  if (url.starts_with("amqps://"))
    address.tls = true;
  else if (!url.starts_with("amqp://"))
    refuse("one begins with neither amqp:// nor amqps://.");
  url.remove_prefix(address.tls ? 8 : 7);
  if (url.contains('@')) refuse("credentials go into user and password.");
  if (url.ends_with('/')) url.remove_suffix(1);
  if (url.contains('/')) refuse("the virtual host goes into vhost.");
  std::string_view port;
  if (url.starts_with('[')) {
    const std::size_t end = url.find(']');
    if (end == std::string_view::npos) refuse("a bracket is not closed.");
    address.host = url.substr(1, end - 1);
    if (!std::ranges::all_of(address.host, [](char c) { return host_character(c) || c == ':'; }))
      refuse("an address has characters that none has.");
    port = url.substr(end + 1);
    if (!port.empty() && !port.starts_with(':')) refuse("a port comes after a colon.");
  } else {
    const std::size_t colon = url.find(':');
    address.host = url.substr(0, colon);
    if (!std::ranges::all_of(address.host, host_character)) refuse("a host has characters that none has.");
    if (colon != std::string_view::npos) port = url.substr(colon);
  }
  if (address.host.empty() || address.host.size() > kLongestHost) refuse("a host is missing or too long.");
  address.port = address.tls ? kTlsPort : kPort;
  if (port.empty()) return address;
  port.remove_prefix(1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), address.port);
  if (error != std::errc() || end != port.data() + port.size() || address.port == 0)
    refuse("a port is no number from 1 to 65535.");
  return address;
}

}  // namespace holdfast::messaging::rabbitmq
