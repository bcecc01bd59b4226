// What is Redis' own: what start-up says about a server that won't do, ids, limits, trimming, what redis-cli
// shows, and logs that come to harm in other ways than the contract's (broker_contract_test.cpp).
#include "holdfast/messaging/redis/streams.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <string>

#include "holdfast/messaging/testing/redis_kind.hpp"
#include "holdfast/redis/client.hpp"
#include "holdfast/redis/testing/system.hpp"

namespace holdfast::messaging {
namespace {

using namespace std::chrono_literals;
using holdfast::redis::Reply;
using holdfast::redis::testing::RedisServer;
using holdfast::redis::testing::System;
using redis_streams::Options;
using redis_streams::Streams;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Lt;

Message example(std::int64_t position, std::string key = "a", std::string topic = "orders") {
  return {.id = "msg_" + std::to_string(position),
          .topic = std::move(topic),
          .key = std::move(key),
          .type = "t",
          .headers = {},
          .payload = "1",
          .occurred_at = WallTime(std::chrono::seconds(1)),
          .position = position,
          .group = {}};
}

const int kBucket = bucket_of("a");

class RedisStreams : public ::testing::Test {
 protected:
  void SetUp() override {
    if (RedisServer::unwanted()) GTEST_SKIP() << "HOLDFAST_EMBEDDED_ONLY=1: no redis-server";
  }
  /// With a database that has the outbox's tables, and a client of the server to look with.
  void run(const std::function<void(const Context&, sql::Database&, holdfast::redis::Client&)>& test) {
    system_.emplace(1);
    system_->run([&](const Context& ctx) {
      {
        const auto db = sql::sqlite::open_memory(system_->runtime);
        sql::Migrator(*db, migrations()).up(ctx);
        const auto client = system_->client(server().tcp_address());
        test(ctx, *db, *client);
      }
      runtime::sleep_for(ctx, 1ms);
    });
  }
  static RedisServer& server() { return StreamsServer::shared(); }
  Options options(const std::string& prefix) { return streams_options(server(), prefix); }
  std::unique_ptr<Streams> streams(const Context& ctx, sql::Database& db, const Options& with) {
    auto made = std::make_unique<Streams>(system_->runtime, &db, system_->metrics, observe::Logger(), with);
    made->connect(ctx);
    return made;
  }
  /// What connecting with these options says; empty where it works.
  std::string refusal(const Options& with) {
    std::string said;
    run([&](const Context& ctx, sql::Database& db, holdfast::redis::Client&) {
      Streams made(system_->runtime, &db, system_->metrics, observe::Logger(), with);
      try {
        made.connect(ctx);
        EXPECT_TRUE(made.connected()) << made.problem();
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::failed_precondition) << error.what();
        said = error.detail();
      }
      made.close(ctx);
    });
    return said;
  }
  static std::string reason_of(const std::function<void()>& action) {
    try {
      action();
    } catch (const Error& error) {
      return std::string(error.reason());
    }
    return "";
  }
  static void group_is_at(const Context& ctx, sql::Database& db, std::int64_t position) {
    db.transact(ctx, [&](sql::Transaction& tx) {
      tx.execute(
          "insert into outbox_leases(group_name, bucket, owner, fence, position) values('g', $1, null, 0, "
          "$2) "
          "on conflict(group_name, bucket) do update set position = $2",
          kBucket, position);
    });
  }

  std::optional<System> system_;
};

TEST_F(RedisStreams, SaysWhatIsWrongWithAServerAndWhichSettingToChange) {
  RedisServer cache({"--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"});
  EXPECT_THAT(refusal(streams_options(cache, "s")), HasSubstr("another server in broker.redis.url"));
  RedisServer closed({"--requirepass", "sesame"});
  Options options = streams_options(closed, "s");
  EXPECT_THAT(refusal(options), HasSubstr("check its user and password"));
  options.address.password = config::Secret("wrong");
  EXPECT_THAT(refusal(options), HasSubstr("check its user and password"));
  options.address.password = config::Secret("sesame");
  EXPECT_EQ(refusal(options), "");
  RedisServer replica({"--replicaof", "127.0.0.1", std::to_string(server().tcp_address().port)});
  EXPECT_THAT(refusal(streams_options(replica, "s")), HasSubstr("read-only replica: name the primary"));
  RedisServer cluster({"--cluster-enabled", "yes", "--cluster-port", std::to_string(free_port())});
  EXPECT_THAT(refusal(streams_options(cluster, "s")), HasSubstr("node of a cluster"));
}

TEST_F(RedisStreams, TouchesNoKeysOfOthers) {
  run([&](const Context& ctx, sql::Database&, holdfast::redis::Client& client) {
    client.command(ctx, {"SET", "others1:17", "x"});
    client.command(ctx, {"HSET", "others2:log", "x", "y"});
    client.command(ctx, {"SET", "others3:log", "x"});
  });
  EXPECT_THAT(refusal(options("others1")), HasSubstr("choose another broker.redis.prefix"));
  EXPECT_THAT(refusal(options("others2")), HasSubstr("choose another broker.redis.prefix"));
  EXPECT_THAT(refusal(options("others3")), HasSubstr("choose another broker.redis.prefix"));
  run([&](const Context& ctx, sql::Database&, holdfast::redis::Client& client) {
    EXPECT_EQ(client.command(ctx, {"GET", "others1:17"}).text, "x");
  });
}

TEST_F(RedisStreams, RefusesOptionsThatMeanNothing) {
  run([&](const Context&, sql::Database& db, holdfast::redis::Client&) {
    const auto refused = [&](const std::function<void(Options&)>& change) {
      Options options;
      change(options);
      EXPECT_EQ(
          reason_of([&] { Streams(system_->runtime, &db, system_->metrics, observe::Logger(), options); }),
          "messaging_options_invalid");
    };
    refused([](Options& o) { o.prefix = ""; });
    refused([](Options& o) { o.prefix = "a b"; });
    refused([](Options& o) { o.max_messages = 0; });
    refused([](Options& o) { o.max_bytes = 0; });
    refused([](Options& o) { o.wait_replicas = -1; });
    refused([](Options& o) { o.watch = Duration(0); });
  });
}

TEST_F(RedisStreams, AnEntrysIdIsItsPositionAndNothingIsThereTwice) {
  run([&](const Context& ctx, sql::Database& db, holdfast::redis::Client& client) {
    const auto made = streams(ctx, db, options("ids"));
    const std::string log = made->log_identity(ctx);
    EXPECT_EQ(made->last_position(ctx), 0);
    for (const std::int64_t position : {3, 3, 7, 3, 7, 9}) made->send(ctx, log, example(position));
    EXPECT_EQ(made->last_position(ctx), 9);
    std::vector<std::string> ids;
    for (const Reply& entry :
         client.command(ctx, {"XRANGE", "ids:" + std::to_string(kBucket), "-", "+"}).elements)
      ids.push_back(entry.elements[0].text);
    EXPECT_THAT(ids, ElementsAre("3-0", "7-0", "9-0"));
    EXPECT_EQ(client.command(ctx, {"HGET", "ids:log", "messages"}).text, "3");
    EXPECT_EQ(reason_of([&] { made->send(ctx, "another@1", example(10)); }), "redis_log_replaced");
    EXPECT_EQ(made->last_position(ctx), 9);
    made->close(ctx);
  });
}

TEST_F(RedisStreams, AServerThatWasRestartedIsAnotherLogWithTheSameMessages) {
  run([&](const Context& ctx, sql::Database& db, holdfast::redis::Client&) {
    const auto made = streams(ctx, db, options("restart"));
    const std::string log = made->log_identity(ctx);
    made->send(ctx, log, example(3));
    server().kill();
    server().start();
    System::eventually(ctx, "it is back", [&] {
      return reason_of([&] { made->send(ctx, log, example(4)); }) == "redis_log_replaced";
    });
    EXPECT_EQ(reason_of([&] { made->send(ctx, log, example(4)); }), "redis_log_replaced")
        << "what was acknowledged last may be missing: it has to be sent again first";
    EXPECT_NE(made->log_identity(ctx), log);
    EXPECT_EQ(made->last_position(ctx), 3);
    made->close(ctx);
  });
}

TEST_F(RedisStreams, AStreamThatWasDeletedOrFlushedIsNoticedByTheNextMessage) {
  run([&](const Context& ctx, sql::Database& db, holdfast::redis::Client& client) {
    const auto made = streams(ctx, db, options("harmed"));
    const std::string log = made->log_identity(ctx);
    made->send(ctx, log, example(3));
    client.command(ctx, {"DEL", "harmed:" + std::to_string(kBucket)});
    EXPECT_EQ(reason_of([&] { made->send(ctx, log, example(4)); }), "redis_log_replaced");
    const std::string second = made->log_identity(ctx);
    EXPECT_NE(second, log);
    EXPECT_EQ(made->last_position(ctx), 0) << "begun anew, as a whole";
    made->send(ctx, second, example(3));
    client.command(ctx, {"FLUSHALL"});
    EXPECT_EQ(reason_of([&] { made->send(ctx, second, example(4)); }), "redis_log_replaced");
    EXPECT_NE(made->log_identity(ctx), second);
    made->close(ctx);
  });
}

TEST_F(RedisStreams, AStreamThatOthersWriteToIsNamed) {
  run([&](const Context& ctx, sql::Database& db, holdfast::redis::Client& client) {
    const auto made = streams(ctx, db, options("foreign"));
    const std::string log = made->log_identity(ctx);
    const std::string stream = "foreign:" + std::to_string(kBucket);
    made->send(ctx, log, example(3));
    client.command(ctx, {"XADD", stream, "*", "x", "y"});
    try {
      made->send(ctx, log, example(4));
      ADD_FAILURE() << "it can't have been added";
    } catch (const Error& error) {
      EXPECT_EQ(error.reason(), "redis_stream_foreign");
      EXPECT_THAT(error.detail(), HasSubstr(stream));
    }
    made->close(ctx);
  });
}

TEST_F(RedisStreams, FullItTakesNoMoreAndTrimsOnlyWhatAllGroupsHaveHandled) {
  run([&](const Context& ctx, sql::Database& db, holdfast::redis::Client& client) {
    Options with = options("full");
    with.max_messages = 10;
    group_is_at(ctx, db, 2);
    const auto made = streams(ctx, db, with);
    const std::string log = made->log_identity(ctx);
    for (std::int64_t position = 1; position <= 10; ++position) made->send(ctx, log, example(position));
    const std::string stream = "full:" + std::to_string(kBucket);
    const auto length = [&] { return client.command(ctx, {"XLEN", stream}).as_integer(); };
    System::eventually(ctx, "what is handled goes", [&] { return length() == 8; });
    for (std::int64_t position = 11; position <= 12; ++position) made->send(ctx, log, example(position));
    try {
      made->send(ctx, log, example(13));
      ADD_FAILURE() << "there is no room";
    } catch (const Error& error) {
      EXPECT_EQ(error.reason(), "redis_log_full");
      EXPECT_THAT(error.detail(), HasSubstr("the slowest group, g,"));
    }
    runtime::sleep_for(ctx, 200ms);
    EXPECT_EQ(length(), 10) << "nothing is dropped";
    EXPECT_EQ(client.command(ctx, {"XRANGE", stream, "-", "+", "COUNT", "1"}).elements[0].elements[0].text,
              "3-0");
    group_is_at(ctx, db, 12);
    System::eventually(ctx, "there is room again",
                       [&] { return reason_of([&] { made->send(ctx, log, example(13)); }).empty(); });
    EXPECT_THAT(length(), Lt(10));
    made->close(ctx);
  });
}

TEST_F(RedisStreams, MemoryIsALimitToo) {
  run([&](const Context& ctx, sql::Database& db, holdfast::redis::Client&) {
    Options with = options("heavy");
    with.max_bytes = 64 * 1024;
    group_is_at(ctx, db, 0);
    const auto made = streams(ctx, db, with);
    const std::string log = made->log_identity(ctx);
    Message heavy = example(1);
    heavy.payload = std::string(10'000, 'x');
    System::eventually(ctx, "it is full", [&] {
      ++heavy.position;
      return reason_of([&] { made->send(ctx, log, heavy); }) == "redis_log_full";
    });
    group_is_at(ctx, db, heavy.position);
    System::eventually(ctx, "there is room again",
                       [&] { return reason_of([&] { made->send(ctx, log, heavy); }).empty(); });
    made->close(ctx);
  });
}

TEST_F(RedisStreams, HandledMessagesStayForOthersForAWhile) {
  run([&](const Context& ctx, sql::Database& db, holdfast::redis::Client& client) {
    Options with = options("kept");
    with.keep = 300ms;
    group_is_at(ctx, db, 100);
    const auto made = streams(ctx, db, with);
    const Instant begun = ctx.now();
    made->send(ctx, made->log_identity(ctx), example(3));
    System::eventually(ctx, "it goes", [&] {
      return client.command(ctx, {"XLEN", "kept:" + std::to_string(kBucket)}).as_integer() == 0;
    });
    EXPECT_GE(ctx.now() - begun, 250ms);
    made->close(ctx);
  });
}

TEST_F(RedisStreams, AReplicaThatIsWaitedForAndDoesNotComeKeepsTheMessageUnsent) {
  run([&](const Context& ctx, sql::Database& db, holdfast::redis::Client&) {
    Options with = options("replicas");
    with.wait_replicas = 1;
    with.request_timeout = 400ms;
    const auto made = streams(ctx, db, with);
    const std::string log = made->log_identity(ctx);
    EXPECT_EQ(reason_of([&] { made->send(ctx, log, example(3)); }), "redis_too_few_replicas");
    RedisServer replica({"--replicaof", "127.0.0.1", std::to_string(server().tcp_address().port)});
    System::eventually(ctx, "it is sent",
                       [&] { return reason_of([&] { made->send(ctx, log, example(3)); }).empty(); });
    made->close(ctx);
  });
}

/// What a reader gives for "a"'s bucket, until `count` messages came.
std::vector<std::int64_t> positions(const Context& ctx, Reader& reader, std::size_t count) {
  std::vector<std::int64_t> read;
  std::int64_t head = 0;
  eventually(ctx, [&] {
    for (const ReadResult& result : reader.read(ctx, {{.read_to = 0, .buckets = ~BucketMask{0}}}, head)) {
      for (const Message& message : result.messages) read.push_back(message.position);
    }
    return read.size() >= count;
  });
  return read;
}

TEST_F(RedisStreams, AReaderBeginsBehindItsPositionAndShowsInXinfo) {
  run([&](const Context& ctx, sql::Database& db, holdfast::redis::Client& client) {
    const auto made = streams(ctx, db, options("reader"));
    const std::string log = made->log_identity(ctx);
    for (const std::int64_t position : {3, 5}) made->send(ctx, log, example(position));
    made->send(ctx, log, example(6, "a", "stock"));
    client.command(ctx, {"XADD", "reader:" + std::to_string(kBucket), "6-5", "not", "ours"});
    made->send(ctx, log, example(9));
    const SubscriptionOptions options{.group = "g", .topics = {"orders"}};
    auto reader = made->reader(options);
    made->start(ctx);
    reader->open(kBucket, 0, "");
    EXPECT_THAT(positions(ctx, *reader, 3), ElementsAre(3, 5, 9));
    EXPECT_EQ(system_->metrics.counter("holdfast_redis_streams_malformed_total", "").value(), 1u);
    reader->close(kBucket);
    reader->open(kBucket, 5, "");
    EXPECT_THAT(positions(ctx, *reader, 1), ElementsAre(9));
    const Instant idle = ctx.now();
    runtime::sleep_for(ctx, 100ms);  // it blocks at the server by now
    made->send(ctx, log, example(12));
    EXPECT_THAT(positions(ctx, *reader, 1), ElementsAre(12));
    EXPECT_LT(ctx.now() - idle, 1800ms) << "it is woken by what comes, not by the end of its wait";
    reader->recorded(kBucket, 12);
    const auto groups = [&] {
      return client.command(ctx, {"XINFO", "GROUPS", "reader:" + std::to_string(kBucket)}).elements;
    };
    System::eventually(ctx, "redis-cli shows it", [&] { return !groups().empty(); });
    const std::vector<Reply> facts = groups().front().elements;
    EXPECT_EQ(facts[1].text, "g");
    EXPECT_EQ(facts[7].text, "12-0") << "last-delivered-id";
    made->stop();
    reader.reset();
    made->close(ctx);
  });
}

TEST_F(RedisStreams, ABucketThatIsOpenedWhileTheReaderBlocksIsReadAtOnce) {
  run([&](const Context& ctx, sql::Database& db, holdfast::redis::Client&) {
    const auto made = streams(ctx, db, options("woken"));
    const std::string log = made->log_identity(ctx);
    made->send(ctx, log, example(3));
    const SubscriptionOptions options{.group = "g", .topics = {"orders"}};
    auto reader = made->reader(options);
    made->start(ctx);
    reader->open((kBucket + 1) % kBuckets, 0, "");
    runtime::sleep_for(ctx, 100ms);
    const Instant begun = ctx.now();
    reader->open(kBucket, 0, "");
    EXPECT_THAT(positions(ctx, *reader, 1), ElementsAre(3));
    EXPECT_LT(ctx.now() - begun, 1700ms) << "of two seconds that it asks for, of which 100 ms are over";
    made->stop();
    reader.reset();
    made->close(ctx);
  });
}

TEST_F(RedisStreams, ManyLargeMessagesAreReadInBitesThatFit) {
  run([&](const Context& ctx, sql::Database& db, holdfast::redis::Client&) {
    const auto made = streams(ctx, db, options("large"));
    const std::string log = made->log_identity(ctx);
    Message large = example(1);
    large.payload = std::string(kMaxPayloadBytes, 'x');
    for (; large.position <= 80; ++large.position) made->send(ctx, log, large);
    const SubscriptionOptions options{.group = "g", .topics = {"orders"}};
    auto reader = made->reader(options);
    made->start(ctx);
    reader->open(kBucket, 0, "");
    EXPECT_EQ(positions(ctx, *reader, 80).size(), 80U);
    made->stop();
    reader.reset();
    made->close(ctx);
  });
}

}  // namespace
}  // namespace holdfast::messaging
