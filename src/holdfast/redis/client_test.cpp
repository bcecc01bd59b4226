#include "holdfast/redis/client.hpp"

#include <gmock/gmock.h>

#include <atomic>

#include "holdfast/redis/internal/reply_reader.hpp"
#include "holdfast/redis/testing/system.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/sync.hpp"

namespace holdfast::redis {
namespace {

using namespace std::chrono_literals;
using testing::RedisServer;
using testing::RedisTest;
using testing::shared_server;
using testing::System;

TEST(RedisReplies, AreBuiltFromAnyPieces) {
  const std::string bytes = "*4\r\n$3\r\nabc\r\n:42\r\n$-1\r\n*2\r\n+OK\r\n-ERR no\r\n:7\r\n";
  for (std::size_t piece = 1; piece <= bytes.size(); ++piece) {
    internal::ReplyReader reader(1024);
    std::vector<Reply> found;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      reader.feed(std::string_view(bytes).substr(at, piece));
      while (auto reply = reader.next()) found.push_back(std::move(*reply));
    }
    ASSERT_EQ(found.size(), 2U) << piece;
    EXPECT_EQ(found[0].as_array().size(), 4U);
    EXPECT_EQ(found[0].elements[0].as_text(), "abc");
    EXPECT_EQ(found[0].elements[1].as_integer(), 42);
    EXPECT_TRUE(found[0].elements[2].nil());
    EXPECT_TRUE(found[0].elements[3].elements[0].ok());
    EXPECT_EQ(found[0].elements[3].elements[1].error_word(), "ERR");
    EXPECT_EQ(found[1].as_integer(), 7);
  }
}

TEST(RedisReplies, AreBounded) {
  internal::ReplyReader reader(1024);
  reader.feed("$100000\r\n" + std::string(2000, 'x'));
  EXPECT_THROW(reader.next(), Error);
  internal::ReplyReader wide(1024);
  wide.feed("*2000000000\r\n");
  EXPECT_THROW(wide.next(), Error);
  internal::ReplyReader foreign(1024);
  foreign.feed("HTTP/1.1 400 Bad Request\r\n");
  EXPECT_THROW(foreign.next(), Error);
}

TEST_F(RedisTest, AnswersCommandsOverUnixSocketAndTcp) {
  for (const Address& address : {shared_server().address(), shared_server().tcp_address()}) {
    System system;
    system.run([&](const Context& ctx) {
      const auto client = system.client(address);
      EXPECT_TRUE(client->command(ctx, {"SET", "greeting", std::string_view("h\0llo\r\n", 7)}).ok());
      EXPECT_EQ(client->command(ctx, {"GET", "greeting"}).as_text(), std::string("h\0llo\r\n", 7));
      EXPECT_TRUE(client->command(ctx, {"GET", "nothing"}).nil());
      const std::string large(3 * 1024 * 1024, 'x');
      client->command(ctx, {"SET", "large", large});
      EXPECT_EQ(client->command(ctx, {"GET", "large"}).as_text(), large);
      client->command(ctx, {"FLUSHALL"});
    });
  }
}

TEST_F(RedisTest, AHostByNameIsResolvedOffTheLoop) {
  System system;
  system.run([&](const Context& ctx) {
    Address address = shared_server().tcp_address();
    address.host = "localhost";
    EXPECT_EQ(system.client(address)->command(ctx, {"PING"}).as_text(), "PONG");
    address.host = "no-such-host.invalid";
    const Error error = error_of([&] { system.client(address)->command(ctx, {"PING"}); });
    EXPECT_EQ(error.code(), ErrorCode::unavailable);
    EXPECT_EQ(error.reason(), "redis_host_not_found");
  });
}

TEST_F(RedisTest, ARefusalIsTheCallersAndNotRedis) {
  System system;
  system.run([&](const Context& ctx) {
    const auto client = system.client(shared_server().address());
    const Error error = error_of([&] { client->command(ctx, {"NOSUCHCOMMAND"}); });
    EXPECT_EQ(error.code(), ErrorCode::internal);
    EXPECT_EQ(error.reason(), "redis_command_refused");
    Commands several;
    several.add({"SET", "k", "text"}).add({"INCR", "k"}).add({"GET", "k"});
    const auto answers = client->commands(ctx, several);
    ASSERT_EQ(answers.size(), 3U);
    EXPECT_TRUE(answers[0].ok());
    EXPECT_TRUE(answers[1].error());
    EXPECT_EQ(answers[2].as_text(), "text");
    EXPECT_EQ(client->pipeline().view().counters.failed, 0U) << "the breaker heard of neither";
  });
}

TEST_F(RedisTest, ManyFibersOfManyLoopsGetTheirOwnAnswers) {
  System system(3);
  std::atomic<int> right{0};
  system.run([&](const Context& ctx) {
    const auto client = system.client(shared_server().address());
    client->command(ctx, {"FLUSHALL"});
    std::atomic<int> left{3};
    runtime::Signal ended;
    for (std::size_t loop = 0; loop < 3; ++loop) {
      system.runtime.spawn_on(loop, "load", [&, loop] {
        runtime::FiberGroup group(ctx);
        for (int fiber = 0; fiber < 50; ++fiber) {
          group.spawn("caller", [&, loop, fiber](const Context& own) {
            for (int i = 0; i < 20; ++i) {
              const std::string text =
                  std::to_string(loop) + "/" + std::to_string(fiber) + "/" + std::to_string(i);
              if (client->command(own, {"ECHO", text}).as_text() == text) ++right;
              client->command(own, {"INCR", "count"});
            }
          });
        }
        group.wait();
        --left;
        ended.notify();
      });
    }
    for (std::uint64_t seen = ended.version(); left > 0; seen = ended.version())
      ended.wait_past(ctx, seen, "load");
    EXPECT_EQ(client->command(ctx, {"GET", "count"}).as_text(), "3000");
  });
  EXPECT_EQ(right, 3000);
}

TEST_F(RedisTest, ACallerThatLeavesDoesNotShiftTheAnswersOfOthers) {
  System system(1);
  system.run([&](const Context& ctx) {
    const auto client = system.client(shared_server().address());
    runtime::FiberGroup group(ctx);
    std::atomic<int> right{0};
    for (int i = 0; i < 100; ++i) {
      group.spawn("caller", [&, i](const Context& own) {
        const std::string text = std::to_string(i);
        if (i % 3 == 0) {
          const Error error = error_of([&] { client->command(own.with_timeout(1ns), {"ECHO", text}); });
          EXPECT_EQ(error.code(), ErrorCode::deadline_exceeded);
        } else if (i % 3 == 1) {
          runtime::CancellationSource source(own.cancellation());
          runtime::FiberGroup inner(own);
          inner.spawn("cancelled", [&](const Context& most_inner) {
            try {
              client->command(most_inner.with_cancellation(source.token()), {"ECHO", text});
            } catch (const Error& error) {
              EXPECT_EQ(error.code(), ErrorCode::cancelled);
            }
          });
          runtime::yield();
          source.cancel();
          inner.wait();
        } else {
          right += client->command(own, {"ECHO", text}).as_text() == text ? 1 : 0;
        }
      });
    }
    group.wait();
    EXPECT_EQ(right, 33);
  });
}

TEST_F(RedisTest, TheAnswerOfACallerThatHasLeftIsDropped) {
  System system(1);
  system.run([&](const Context& ctx) {
    const auto client = system.client(shared_server().address());
    const Script slow(
        "local function now() local t = redis.call('time') return t[1] * 1000000 + t[2] end "
        "local begun = now() while now() - begun < 500000 do end return 'late'");
    client->command(ctx, {"PING"});
    for (int i = 0; i < 3; ++i) {
      const Error error = error_of([&] { client->eval(ctx.with_timeout(5ms), slow, {}, {}); });
      EXPECT_EQ(error.code(), ErrorCode::deadline_exceeded);
      const std::string text = std::to_string(i);
      EXPECT_EQ(client->command(ctx, {"ECHO", text}).as_text(), text) << "and its own, not the late one";
    }
  });
}

TEST_F(RedisTest, MoreThanMayBeInFlightIsRefused) {
  System system(1);
  system.run([&](const Context& ctx) {
    ClientOptions options = System::options(shared_server().address());
    options.max_in_flight = 4;
    const auto client = system.client(options);
    client->command(ctx, {"PING"});
    std::atomic<int> busy{0};
    std::atomic<int> done{0};
    runtime::FiberGroup group(ctx);
    for (int i = 0; i < 10; ++i) {
      group.spawn("caller", [&](const Context& own) {
        try {
          client->command(own, {"PING"});
          ++done;
        } catch (const Error& error) {
          busy += error.reason() == "redis_busy" ? 1 : 0;
        }
      });
    }
    group.wait();
    EXPECT_EQ(done, 4);
    EXPECT_EQ(busy, 6);
    EXPECT_EQ(client->command(ctx, {"PING"}).as_text(), "PONG");
  });
}

TEST_F(RedisTest, ScriptsAreSentAgainWhereTheServerForgotThem) {
  System system;
  system.run([&](const Context& ctx) {
    const auto client = system.client(shared_server().address());
    const Script add("return redis.call('incrby', KEYS[1], ARGV[1])");
    EXPECT_EQ(add.sha1(), client->command(ctx, {"SCRIPT", "LOAD", add.source()}).as_text());
    client->command(ctx, {"FLUSHALL"});
    client->command(ctx, {"SCRIPT", "FLUSH"});
    EXPECT_EQ(client->eval(ctx, add, {"n"}, {"5"}).as_integer(), 5);
    EXPECT_EQ(client->eval(ctx, add, {"n"}, {"5"}).as_integer(), 10);
    client->command(ctx, {"SCRIPT", "FLUSH"});
    EXPECT_EQ(client->eval(ctx, add, {"n"}, {"5"}).as_integer(), 15);
    EXPECT_EQ(error_of([&] { client->eval(ctx, Script("return redis.call('nonsense')"), {}, {}); }).reason(),
              "redis_command_refused");
  });
}

TEST_F(RedisTest, AuthAndSelectComeBeforeAllElse) {
  RedisServer server({"--requirepass", "open sesame"});
  System system(1);
  system.run([&](const Context& ctx) {
    Address address = server.address();
    Error error = error_of([&] { system.client(address)->command(ctx, {"GET", "k"}); });
    EXPECT_EQ(error.reason(), "redis_auth_failed");
    address.password = config::Secret("wrong");
    error = error_of([&] { system.client(address)->command(ctx, {"GET", "k"}); });
    EXPECT_EQ(error.reason(), "redis_auth_failed");
    EXPECT_EQ(std::string(error.what()).find("wrong "), std::string::npos);
    address.password = config::Secret("open sesame");
    address.database = 5;
    system.client(address)->command(ctx, {"SET", "k", "5"});
    address.database = 6;
    EXPECT_TRUE(system.client(address)->command(ctx, {"GET", "k"}).nil());
    address.database = 99;
    EXPECT_EQ(error_of([&] {
                system.client(address)->command(ctx, {"GET", "k"});
              }).code(),
              ErrorCode::unavailable);
  });
}

TEST_F(RedisTest, AKilledServerFailsWhatWasUnderWayAndIsFoundAgain) {
  RedisServer server;
  System system;
  system.run([&](const Context& ctx) {
    const auto client = system.client(server.address());
    const Script hold("local n = 0; for i = 1, 1e9 do n = n + 1 end; return n");
    client->command(ctx, {"SET", "k", "v"});
    runtime::FiberGroup group(ctx);
    group.spawn("under way", [&](const Context& own) {
      const Error error = error_of([&] { client->eval(own, hold, {}, {}); });
      EXPECT_EQ(error.code(), ErrorCode::unavailable);
      EXPECT_EQ(error.reason(), "redis_connection_lost");
    });
    runtime::sleep_for(ctx, 50ms);  // it is at work
    server.kill();
    group.wait();
    System::eventually(ctx, "calls are refused at once", [&] {
      return error_of([&] { client->command(ctx, {"GET", "k"}); }).reason() == "redis_unreachable";
    });
    const Instant begun = system.clock.now();
    for (int i = 0; i < 1000; ++i) (void)client->try_command(ctx, {"GET", "k"}).called();
    EXPECT_LT(system.clock.now() - begun, 5s) << "a thousand calls of a dead server";
    server.start();
    System::eventually(ctx, "it is found again", [&] {
      return bool(client->try_command(ctx, {"GET", "k"}));
    });
  });
}

TEST_F(RedisTest, AServerThatHangsIsGivenUpOnceAndNotWaitedForByEach) {
  RedisServer server;
  System system(1);
  system.run([&](const Context& ctx) {
    ClientOptions options = System::options(server.address());
    options.connection.answer_timeout = 1s;
    options.connection.connect_timeout = 1s;
    const auto client = system.client(options);
    client->command(ctx, {"PING"});
    server.stop();
    Instant begun = system.clock.now();
    EXPECT_EQ(error_of([&] { client->command(ctx, {"PING"}); }).reason(), "redis_answer_late");
    EXPECT_GE(system.clock.now() - begun, 900ms);
    begun = system.clock.now();
    for (int i = 0; i < 1000; ++i) EXPECT_FALSE(client->try_command(ctx, {"GET", "k"}));
    EXPECT_LT(system.clock.now() - begun, 5s) << "nobody waits a second for what is known to hang";
    server.resume();
    System::eventually(ctx, "it is found again", [&] { return bool(client->try_command(ctx, {"PING"})); });
  });
}

TEST_F(RedisTest, TheBreakerOpensOverADeadServerAndClosesByItself) {
  RedisServer server;
  System system(1);
  system.run([&](const Context& ctx) {
    const auto client = system.client(System::options(server.address()), /*breaker=*/true);
    client->command(ctx, {"PING"});
    server.kill();
    System::eventually(ctx, "the breaker opens", [&] {
      for (int i = 0; i < 20; ++i) (void)client->try_command(ctx, {"PING"}).called();
      return client->pipeline().view().breaker.state == resilience::BreakerState::open;
    });
    const auto refused = client->try_command(ctx, {"PING"});
    EXPECT_FALSE(refused);
    EXPECT_FALSE(refused.refusal() != nullptr && refused.called());
    server.start();
    System::eventually(ctx, "it answers again", [&] { return bool(client->try_command(ctx, {"PING"})); });
  });
}

}  // namespace
}  // namespace holdfast::redis
