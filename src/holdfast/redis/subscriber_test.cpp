#include "holdfast/redis/subscriber.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>

#include "holdfast/redis/testing/system.hpp"
#include "holdfast/runtime/fiber.hpp"

namespace holdfast::redis {
namespace {

using namespace std::chrono_literals;
using testing::RedisServer;
using testing::RedisTest;
using testing::System;

class RedisSubscriberTest : public RedisTest {
 protected:
  SubscriberOptions options(const Address& address) {
    SubscriberOptions made;
    made.connection = System::options(address).connection;
    made.channels = {"one", "two"};
    made.ping_every = 50ms;
    return made;
  }
  Subscriber::Handlers handlers() {
    return {.on_message =
                [this](std::string_view channel, std::string_view text) {
                  const std::lock_guard lock(mutex);
                  heard += std::string(channel) + "=" + std::string(text) + " ";
                },
            .on_connected = [this] { ++connected; },
            .on_lost = [this] { ++lost; }};
  }
  std::string all() {
    const std::lock_guard lock(mutex);
    return heard;
  }
  std::mutex mutex;
  std::string heard;
  std::atomic<int> connected{0};
  std::atomic<int> lost{0};
};

TEST_F(RedisSubscriberTest, HearsWhatIsPublishedAndSaysUntilWhen) {
  RedisServer server;
  System system;
  system.run([&](const Context& ctx) {
    Subscriber subscriber(system.runtime, options(server.address()), handlers(), observe::Logger());
    System::eventually(ctx, "it listens", [&] { return subscriber.listening(); });
    EXPECT_EQ(connected, 1);
    const auto client = system.client(server.address());
    client->command(ctx, {"PUBLISH", "one", "a"});
    client->command(ctx, {"PUBLISH", "two", "b"});
    const Instant published = system.clock.now();
    System::eventually(ctx, "it has heard all", [&] { return subscriber.heard_until() > published; });
    EXPECT_EQ(all(), "one=a two=b ");
  });
}

TEST_F(RedisSubscriberTest, ComesBackAfterAKillAndSaysThatItMissedSomething) {
  RedisServer server;
  System system;
  system.run([&](const Context& ctx) {
    Subscriber subscriber(system.runtime, options(server.address()), handlers(), observe::Logger());
    System::eventually(ctx, "it listens", [&] { return subscriber.listening(); });
    server.kill();
    System::eventually(ctx, "it knows", [&] { return !subscriber.listening(); });
    EXPECT_EQ(lost, 1);
    server.start();
    System::eventually(ctx, "it listens again", [&] { return subscriber.listening(); });
    EXPECT_EQ(connected, 2);
    system.client(server.address())->command(ctx, {"PUBLISH", "one", "again"});
    System::eventually(ctx, "it hears again", [&] { return all() == "one=again "; });
  });
}

TEST_F(RedisSubscriberTest, AServerThatHangsIsNotBelievedForLong) {
  RedisServer server;
  System system;
  system.run([&](const Context& ctx) {
    SubscriberOptions hasty = options(server.address());
    hasty.connection.answer_timeout = 400ms;
    hasty.connection.connect_timeout = 400ms;
    Subscriber subscriber(system.runtime, hasty, handlers(), observe::Logger());
    System::eventually(ctx, "it listens", [&] { return subscriber.listening(); });
    server.stop();
    const Instant stopped = system.clock.now();
    System::eventually(ctx, "it is not believed", [&] { return !subscriber.listening(); });
    EXPECT_LT(system.clock.now() - stopped, 9s);
    server.resume();
    System::eventually(ctx, "it listens again", [&] { return subscriber.listening(); });
  });
}

}  // namespace
}  // namespace holdfast::redis
