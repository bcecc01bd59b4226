#include "holdfast/http/public_address.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

namespace holdfast::http {
namespace {

TEST(PublicAddress, TellsTheInternetFromWhatIsOurs) {
  for (const char* address :
       {"1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0", "192.167.0.1",
        "198.20.0.0", "223.255.255.255", "2606:4700:4700::1111", "2001:4860:4860::8888", "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8"}) {
    EXPECT_TRUE(is_public_address(address)) << address;
  }
  for (const char* address : {"0.0.0.0",
                              "10.1.2.3",
                              "100.64.0.1",
                              "127.0.0.1",
                              "127.255.0.1",
                              "169.254.169.254",
                              "172.16.0.1",
                              "172.31.255.255",
                              "192.0.0.1",
                              "192.0.2.1",
                              "192.168.1.1",
                              "198.18.0.1",
                              "198.19.255.255",
                              "224.0.0.1",
                              "240.0.0.1",
                              "255.255.255.255",
                              "::",
                              "::1",
                              "::ffff:127.0.0.1",
                              "::ffff:10.0.0.1",
                              "::7f00:1",
                              "64:ff9b::10.0.0.1",
                              "64:ff9b:1::1",
                              "fe80::1",
                              "fc00::1",
                              "fd12::1",
                              "ff02::1",
                              "2001::1",
                              "2001:db8::1",
                              "2002:7f00:1::",
                              "3fff::1",
                              "",
                              "example.org",
                              "127.0.0.1 "}) {
    EXPECT_FALSE(is_public_address(address)) << address;
  }
}

TEST(PublicAddress, ReadsWhatASocketIsGiven) {
  sockaddr_storage storage{};
  auto& six = reinterpret_cast<sockaddr_in6&>(storage);
  six.sin6_family = AF_INET6;
  ::inet_pton(AF_INET6, "2606:4700:4700::1111", &six.sin6_addr);
  EXPECT_TRUE(is_public_address(reinterpret_cast<sockaddr&>(storage)));
  ::inet_pton(AF_INET6, "::1", &six.sin6_addr);
  EXPECT_FALSE(is_public_address(reinterpret_cast<sockaddr&>(storage)));
  storage = {};
  auto& four = reinterpret_cast<sockaddr_in&>(storage);
  four.sin_family = AF_INET;
  four.sin_addr.s_addr = htonl(0x08080808);
  EXPECT_TRUE(is_public_address(reinterpret_cast<sockaddr&>(storage)));
  four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_FALSE(is_public_address(reinterpret_cast<sockaddr&>(storage)));
  storage.ss_family = AF_UNIX;
  EXPECT_FALSE(is_public_address(reinterpret_cast<sockaddr&>(storage)));
}

}  // namespace
}  // namespace holdfast::http
