#include "holdfast/redis/address.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

#include "holdfast/base/error.hpp"

namespace holdfast::redis {
namespace {

constexpr std::size_t kMaxUrlBytes = 2048;
constexpr std::uint32_t kMaxDatabase = 9999;

[[noreturn]] void refuse(std::string_view why) {
  throw Error(ErrorCode::invalid_argument,
              std::string("The Redis URL ")
                  .append(why)
                  .append(". Give redis://[[user]:password@]host[:port][/database], rediss://… for TLS, or "
                          "unix:///path?db=0."))
      .reason("bad_redis_url");
}

int hex_digit(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string percent_decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
    if (high < 0 || low < 0) refuse("has a '%' in its user or password that two hex digits don't follow");
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

std::optional<std::uint32_t> number(std::string_view text, std::uint32_t most) noexcept {
  std::uint32_t value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc() || end != text.data() + text.size() || value > most) return std::nullopt;
  return value;
}

std::uint32_t database_number(std::string_view text) {
  const auto value = number(text, kMaxDatabase);
  if (!value) refuse("names a database that is no number from 0 to 9999");
  return *value;
}

Address parse_unix(std::string_view rest) {
  Address address;
  const std::size_t query = rest.find('?');
  address.path = std::string(rest.substr(0, query));
  if (!address.path.starts_with('/') || address.path.size() > 107) {
    refuse("names a unix socket by no absolute path of at most 107 bytes");
  }
  if (query == std::string_view::npos) return address;
  const std::string_view parameter = rest.substr(query + 1);
  if (!parameter.starts_with("db=")) refuse("has a parameter other than db");
  address.database = database_number(parameter.substr(3));
  return address;
}

void parse_host(std::string_view authority, Address& address) {
  std::string_view port;
  if (authority.starts_with('[')) {
    const std::size_t end = authority.find(']');
    if (end == std::string_view::npos) refuse("has a '[' without its ']'");
    address.host = std::string(authority.substr(1, end - 1));
    port = authority.substr(end + 1);
  } else {
    const std::size_t colon = authority.find(':');
    address.host = std::string(authority.substr(0, colon));
    port = colon == std::string_view::npos ? std::string_view() : authority.substr(colon);
  }
  const bool printable = std::ranges::all_of(address.host, [](char c) { return c > ' ' && c < 0x7f; });
  if (address.host.empty() || address.host.size() > 255 || !printable) refuse("has no host");
  if (port.empty()) return;
  const auto value = port.starts_with(':') ? number(port.substr(1), 65'535) : std::nullopt;
  if (!value || *value == 0) refuse("has a port that is no number from 1 to 65535");
  address.port = static_cast<std::uint16_t>(*value);
}

}  // namespace

std::string Address::shown() const {
  std::string text;
  if (!path.empty()) {
    text = "unix://" + path;
    if (database != 0) text += "?db=" + std::to_string(database);
    return text;
  }
  const bool v6 = host.find(':') != std::string::npos;
  text = std::string(tls ? "rediss://" : "redis://") + (v6 ? "[" + host + "]" : host) + ":" +
         std::to_string(port);
  if (database != 0) text += "/" + std::to_string(database);
  return text;
}

Address parse_address(std::string_view url) {
  if (url.size() > kMaxUrlBytes) refuse("is longer than 2048 bytes");
  if (url.find('\0') != std::string_view::npos) refuse("has a zero byte in it");
  if (url.starts_with("unix://")) return parse_unix(url.substr(7));
  Address address;
  if (url.starts_with("redis://")) {
    url.remove_prefix(8);
  } else if (url.starts_with("rediss://")) {
    url.remove_prefix(9);
    address.tls = true;
  } else {
    refuse("begins with none of redis://, rediss:// and unix://");
  }
  const std::size_t at = url.rfind('@');
  if (at != std::string_view::npos) {
    const std::string_view who = url.substr(0, at);
    const std::size_t colon = who.find(':');
    if (colon == std::string_view::npos) refuse("has a user without a password");
    address.user = percent_decoded(who.substr(0, colon));
    address.password = config::Secret(percent_decoded(who.substr(colon + 1)));
    if (address.password.empty()) refuse("has an empty password");
    url.remove_prefix(at + 1);
  }
  const std::size_t slash = url.find('/');
  if (slash != std::string_view::npos && slash + 1 < url.size()) {
    address.database = database_number(url.substr(slash + 1));
  }
  parse_host(url.substr(0, slash), address);
  return address;
}

}  // namespace holdfast::redis
