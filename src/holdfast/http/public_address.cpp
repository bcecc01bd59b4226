#include "holdfast/http/public_address.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

namespace holdfast::http {
namespace {

struct Net4 {
  std::uint32_t first;
  int bits;
};

constexpr std::uint32_t ip4(std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t d) {
  return a << 24 | b << 16 | c << 8 | d;
}

constexpr Net4 kNotPublic4[] = {
    {ip4(0, 0, 0, 0), 8},       {ip4(10, 0, 0, 0), 8},     {ip4(100, 64, 0, 0), 10},
    {ip4(127, 0, 0, 0), 8},     {ip4(169, 254, 0, 0), 16},  // link-local: clouds tell their secrets there
    {ip4(172, 16, 0, 0), 12},   {ip4(192, 0, 0, 0), 24},   {ip4(192, 0, 2, 0), 24},
    {ip4(192, 88, 99, 0), 24},  {ip4(192, 168, 0, 0), 16}, {ip4(198, 18, 0, 0), 15},
    {ip4(198, 51, 100, 0), 24}, {ip4(203, 0, 113, 0), 24}, {ip4(224, 0, 0, 0), 3},  // multicast and above
};

bool is_public(std::uint32_t address) {
  return std::ranges::none_of(kNotPublic4, [address](const Net4& net) {
    return address >> (32 - net.bits) == net.first >> (32 - net.bits);
  });
}

using Bytes6 = std::array<std::uint8_t, 16>;

std::uint32_t last_four(const Bytes6& bytes) { return ip4(bytes[12], bytes[13], bytes[14], bytes[15]); }

bool begins(const Bytes6& bytes, std::initializer_list<std::uint8_t> with) {
  return std::equal(with.begin(), with.end(), bytes.begin());
}

bool is_public(const Bytes6& bytes) {
  const bool mapped = begins(bytes, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF});
  const bool nat64 = begins(bytes, {0x00, 0x64, 0xFF, 0x9B, 0, 0, 0, 0, 0, 0, 0, 0});
  if (mapped || nat64) return is_public(last_four(bytes));
  if (bytes[0] >> 5 != 1) return false;  // all that is given out is in 2000::/3
  const bool protocol_assignments = begins(bytes, {0x20, 0x01}) && bytes[2] < 2;  // 2001::/23: Teredo …
  const bool documentation =
      begins(bytes, {0x20, 0x01, 0x0D, 0xB8}) || (begins(bytes, {0x3F, 0xFF}) && bytes[2] < 0x10);
  const bool six_to_four = begins(bytes, {0x20, 0x02});
  return !protocol_assignments && !documentation && !six_to_four;
}

}  // namespace

bool is_public_address(const sockaddr& address) noexcept {
  if (address.sa_family == AF_INET) {
    sockaddr_in four{};
    std::memcpy(&four, &address, sizeof four);
    return is_public(ntohl(four.sin_addr.s_addr));
  }
  if (address.sa_family != AF_INET6) return false;
  sockaddr_in6 six{};
  std::memcpy(&six, &address, sizeof six);
  Bytes6 bytes;
  std::memcpy(bytes.data(), &six.sin6_addr, bytes.size());
  return is_public(bytes);
}

bool is_public_address(const std::string& text) noexcept {
  in_addr four{};
  if (::inet_pton(AF_INET, text.c_str(), &four) == 1) return is_public(ntohl(four.s_addr));
  in6_addr six{};
  if (::inet_pton(AF_INET6, text.c_str(), &six) != 1) return false;
  Bytes6 bytes;
  std::memcpy(bytes.data(), &six, bytes.size());
  return is_public(bytes);
}

}  // namespace holdfast::http
