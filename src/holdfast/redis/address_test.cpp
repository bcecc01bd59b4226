#include "holdfast/redis/address.hpp"

#include <gtest/gtest.h>

#include "holdfast/base/error.hpp"

namespace holdfast::redis {
namespace {

TEST(RedisAddress, ReadsWhatAUrlSays) {
  const Address plain = parse_address("redis://cache");
  EXPECT_EQ(plain.host, "cache");
  EXPECT_EQ(plain.port, 6379);
  EXPECT_FALSE(plain.tls);
  EXPECT_EQ(plain.database, 0U);

  const Address full = parse_address("rediss://shop:p%40ss%2Fword@10.0.0.7:6380/3");
  EXPECT_TRUE(full.tls);
  EXPECT_EQ(full.user, "shop");
  EXPECT_EQ(full.password.reveal(), "p@ss/word");
  EXPECT_EQ(full.host, "10.0.0.7");
  EXPECT_EQ(full.port, 6380);
  EXPECT_EQ(full.database, 3U);
  EXPECT_EQ(full.shown(), "rediss://10.0.0.7:6380/3") << "no secret in it";

  EXPECT_EQ(parse_address("redis://:secret@[::1]:7000/").host, "::1");
  EXPECT_EQ(parse_address("redis://:secret@[::1]:7000/").shown(), "redis://[::1]:7000");
  EXPECT_EQ(parse_address("unix:///run/redis.sock?db=2").path, "/run/redis.sock");
  EXPECT_EQ(parse_address("unix:///run/redis.sock?db=2").database, 2U);
}

TEST(RedisAddress, SaysWhatIsWrongWithoutThePassword) {
  for (const char* bad :
       {"", "http://x", "redis://", "redis://h:0", "redis://h:99999", "redis://h:1x", "redis://h/x",
        "redis://h/10000", "redis://user@h", "redis://u:hunter2%zz@h", "redis://u:@h", "redis://[::1",
        "unix://relative", "unix:///s?x=1", "redis://a b"}) {
    try {
      parse_address(bad);
      ADD_FAILURE() << bad;
    } catch (const Error& error) {
      EXPECT_EQ(error.reason(), "bad_redis_url") << bad;
      EXPECT_EQ(std::string(error.what()).find("hunter2"), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace holdfast::redis
