#include <gtest/gtest.h>

#include "holdfast/base/error.hpp"
#include "holdfast/messaging/rabbitmq/internal/roll.hpp"
#include "holdfast/messaging/rabbitmq/internal/server_address.hpp"

namespace holdfast::messaging::rabbitmq {
namespace {

TEST(RabbitServerAddress, IsReadFromAUrl) {
  EXPECT_EQ(parse_server("amqp://rabbit.example").shown(), "amqp://rabbit.example:5672");
  EXPECT_EQ(parse_server("amqps://10.0.0.5/").shown(), "amqps://10.0.0.5:5671");
  EXPECT_EQ(parse_server("amqp://[::1]:7").shown(), "amqp://[::1]:7");
  for (const char* bad : {"", "amqp://", "http://x", "amqp://a:b@host", "amqp://host/vhost", "amqp://host:0",
                          "amqp://host:70000", "amqp://host:x", "amqp://[::1", "amqp://[::1]x", "amqp://a b"})
    EXPECT_THROW(parse_server(bad), Error) << bad;
}

std::string entry(RollEntry::Kind kind, const char* log, std::int64_t position = 0) {
  return RollEntry{.kind = kind, .log = log, .position = position}.text();
}

TEST(RabbitRoll, TheFirstThatWasMadeAndIsNotLostIsTheLog) {
  using enum RollEntry::Kind;
  Roll roll;
  EXPECT_EQ(roll.current(), "");
  EXPECT_FALSE(roll.ready());
  EXPECT_TRUE(roll.add(entry(made, "a")));
  EXPECT_TRUE(roll.add(entry(made, "b")));  // by another process, at the same time
  EXPECT_EQ(roll.current(), "a");
  EXPECT_FALSE(roll.ready());
  EXPECT_TRUE(roll.add(entry(ready, "a")));
  EXPECT_TRUE(roll.ready());
  EXPECT_TRUE(roll.add(entry(position, "a", 7)));
  EXPECT_TRUE(roll.add(entry(position, "a", 5)));  // of a relay that is behind
  EXPECT_EQ(roll.position(), 7);
  EXPECT_TRUE(roll.add(entry(lost, "a")));
  EXPECT_EQ(roll.current(), "b");
  EXPECT_FALSE(roll.ready());
  EXPECT_EQ(roll.position(), 0);
  EXPECT_TRUE(roll.add(entry(made, "a")));  // lost is lost
  EXPECT_EQ(roll.current(), "b");
}

TEST(RabbitRoll, PassesOverWhatIsNoEntry) {
  Roll roll;
  for (const char* text : {"", "{}", "[]", "null", "{\"made\":1}", "{\"made\":\"\"}", "{\"made\":", "hello"})
    EXPECT_FALSE(roll.add(text)) << text;
  EXPECT_EQ(roll.size(), 0u);
  EXPECT_TRUE(roll.add(entry(RollEntry::Kind::hello, "x")));
  EXPECT_TRUE(roll.heard("x"));
}

}  // namespace
}  // namespace holdfast::messaging::rabbitmq
