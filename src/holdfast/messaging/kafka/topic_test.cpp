// What is Kafka's own: what start-up says about a wrong setting, and servers that fail in other ways than the
// contract's (broker_contract_test.cpp).
#include "holdfast/messaging/kafka/topic.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>

#include <cstring>
#include <functional>
#include <optional>
#include <string>

#include "holdfast/messaging/testing/kafka_kind.hpp"

namespace holdfast::messaging {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class KafkaTopic : public ::testing::Test {
 protected:
  void run(const std::function<void(const Context&, runtime::Runtime&)>& test) {
    runtime::Runtime runtime({.loops = 1}, clock_, random_);
    runtime.run([&](const Context& ctx) { test(ctx, runtime); });
  }
  kafka::Options options(const char* name) {
    return kafka_options(KafkaServer::shared(), name + std::to_string(random_.next() % 1'000'000'000));
  }
  /// What is thrown; empty where nothing is.
  static std::string thrown_by(const std::function<void()>& work) {
    try {
      work();
    } catch (const Error& error) {
      return error.what();
    }
    return {};
  }

  SystemClock clock_;
  SystemRandom random_;
};

Message example(std::int64_t position, std::string key = "a") {
  return {.id = "msg_" + std::to_string(position),
          .topic = "orders",
          .key = std::move(key),
          .type = "t",
          .headers = {},
          .payload = "1",
          .occurred_at = WallTime(std::chrono::seconds(1)),
          .position = position,
          .group = {}};
}

TEST_F(KafkaTopic, SendsOnlyToTheLogThatWasMeant) {
  run([&](const Context& ctx, runtime::Runtime& runtime) {
    observe::Metrics metrics;
    const kafka::Options options = this->options("meant");
    KafkaServer::shared().make_topic(options.topic, 4);
    KafkaLink link(runtime, metrics, options);
    link.topic.connect(ctx);
    ASSERT_EQ(link.topic.problem(), "");
    const std::string log = link.topic.log_identity(ctx);
    EXPECT_THAT(log, HasSubstr(options.topic + "@4-")) << "as many partitions as there are";
    EXPECT_EQ(link.topic.last_position(ctx), 0);
    EXPECT_NE(thrown_by([&] { link.topic.send(ctx, "meant@4-0", example(1)); }), "");
    EXPECT_EQ(link.topic.last_position(ctx), 0);
    link.topic.send(ctx, log, example(7));
    link.topic.send(ctx, log, example(6, "b"));
    EXPECT_EQ(link.topic.last_position(ctx), 7);
    KafkaLink other(runtime, metrics, options);
    other.topic.connect(ctx);
    EXPECT_EQ(other.topic.log_identity(ctx), log) << "whoever comes later finds the same";
    other.close(ctx);
    link.close(ctx);
    EXPECT_NE(thrown_by([&] { link.topic.send(ctx, log, example(8)); }), "");
  });
}

TEST_F(KafkaTopic, SaysWhichSettingKeepsItFromStarting) {
  const auto refusal = [&](const std::function<void(kafka::Options&)>& change) {
    std::string said;
    run([&](const Context& ctx, runtime::Runtime& runtime) {
      observe::Metrics metrics;
      kafka::Options options = this->options("refused");
      KafkaServer::shared().make_topic(options.topic, 1);
      change(options);
      KafkaLink link(runtime, metrics, options);
      try {
        link.topic.connect(ctx);
        said = link.topic.problem();
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::failed_precondition) << error.what();
        said = error.detail();
      }
      link.close(ctx);
    });
    return said;
  };
  EXPECT_EQ(refusal([](auto&) {}), "");
  EXPECT_THAT(refusal([](auto& o) { o.tls.required = true; }), HasSubstr("check broker.kafka.tls.required"));
  EXPECT_THAT(refusal([](auto& o) { o.tls = {.required = true, .ca_file = "/nowhere/ca.pem"}; }),
              HasSubstr("broker.kafka.tls.ca_file"));
  EXPECT_THAT(refusal([](auto& o) {
                o.tls = {
                    .required = true, .certificate_file = "/nowhere/a.pem", .key_file = "/nowhere/b.pem"};
              }),
              HasSubstr("broker.kafka.tls.certificate_file"));
  EXPECT_THAT(refusal([](auto& o) { o.compression = "rar"; }), HasSubstr("broker.kafka.compression"));
}

TEST_F(KafkaTopic, RefusesOptionsThatMeanNothing) {
  run([&](const Context&, runtime::Runtime& runtime) {
    observe::Metrics metrics;
    const auto refusal = [&](const std::function<void(kafka::Options&)>& change) {
      kafka::Options options;
      change(options);
      return thrown_by([&] { kafka::Topic(runtime, metrics, observe::Logger(), options); });
    };
    EXPECT_EQ(refusal([](auto&) {}), "");
    EXPECT_THAT(refusal([](auto& o) { o.servers.clear(); }), HasSubstr("servers"));
    EXPECT_THAT(refusal([](auto& o) { o.servers = {"me:secret@host:9092"}; }), HasSubstr("credentials"));
    EXPECT_THAT(refusal([](auto& o) { o.servers = {"kafka://host:9092"}; }), HasSubstr("scheme"));
    EXPECT_THAT(refusal([](auto& o) { o.topic = "a b"; }), HasSubstr("topic"));
    EXPECT_THAT(refusal([](auto& o) { o.partitions = 65; }), HasSubstr("partitions"));
    EXPECT_THAT(refusal([](auto& o) { o.replication = 0; }), HasSubstr("replication"));
    EXPECT_THAT(refusal([](auto& o) { o.max_message_bytes = 10; }), HasSubstr("max_message_bytes"));
    EXPECT_THAT(refusal([](auto& o) { o.sasl.mechanism = "GUESS"; }), HasSubstr("sasl.mechanism"));
    EXPECT_THAT(refusal([](auto& o) { o.sasl.mechanism = "PLAIN"; }), HasSubstr("sasl.mechanism and user"));
    EXPECT_THAT(refusal([](auto& o) { o.tls.key_file = "k.pem"; }), HasSubstr("tls.certificate_file"));
  });
}

/// What a reader gives, until `count` messages came: their positions.
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

/// What Kafka's own tools would show.
std::int64_t committed(const kafka::Options& options, const std::string& group, int partition) {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  char error[512];
  rd_kafka_conf_set(conf, "bootstrap.servers", options.servers.front().c_str(), error, sizeof error);
  rd_kafka_conf_set(conf, "group.id", group.c_str(), error, sizeof error);
  rd_kafka_t* client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof error);
  rd_kafka_topic_partition_list_t* list = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_list_add(list, options.topic.c_str(), partition);
  rd_kafka_committed(client, list, 5000);
  const std::int64_t offset = list->elems[0].offset;
  rd_kafka_topic_partition_list_destroy(list);
  rd_kafka_destroy(client);
  return offset;
}

/// As a process does that has found the topic to be another: from then on the log has this mark.
void set_mark(const kafka::Options& options, const std::string& mark) {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  char error[512];
  const std::string group = options.topic + ".outbox-relay";
  rd_kafka_conf_set(conf, "bootstrap.servers", options.servers.front().c_str(), error, sizeof error);
  rd_kafka_conf_set(conf, "group.id", group.c_str(), error, sizeof error);
  rd_kafka_t* client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof error);
  rd_kafka_topic_partition_list_t* list = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_t* part = rd_kafka_topic_partition_list_add(list, options.topic.c_str(), 0);
  part->offset = 0;
  part->metadata = strdup(mark.c_str());
  part->metadata_size = mark.size();
  EXPECT_EQ(rd_kafka_commit(client, list, 0), RD_KAFKA_RESP_ERR_NO_ERROR);
  rd_kafka_topic_partition_list_destroy(list);
  rd_kafka_destroy(client);
}

TEST_F(KafkaTopic, AReaderPassesOverWhatCameBeforeAndWhatIsNotForIt) {
  run([&](const Context& ctx, runtime::Runtime& runtime) {
    observe::Metrics metrics;
    kafka::Options options = this->options("reader");
    options.commit_interval = 50ms;
    KafkaServer::shared().make_topic(options.topic, 64);
    KafkaLink link(runtime, metrics, options);
    link.topic.connect(ctx);
    const std::string log = link.topic.log_identity(ctx);
    const auto send = [&](std::int64_t position, const char* topic = "orders") {
      Message message = example(position);
      message.topic = topic;
      link.topic.send(ctx, log, message);
    };
    for (const std::int64_t position : {1, 2, 1, 2, 3}) send(position);  // a relay began anew
    send(4, "stock");
    send(6);
    const SubscriptionOptions subscription{.group = "g", .topics = {"orders"}};
    const int bucket = bucket_of("a");
    auto reader = link.topic.reader(subscription);
    reader->open(bucket, 0, "");
    EXPECT_EQ(reader->cursor(bucket), "");
    EXPECT_THAT(positions(ctx, *reader, 4), ElementsAre(1, 2, 3, 6));
    reader->recorded(bucket, 3);
    EXPECT_EQ(reader->cursor(bucket), log + ":6") << "the seventh is the first that is not recorded";
    reader->close(bucket);
    reader->open(bucket, 3, log + ":6");
    EXPECT_THAT(positions(ctx, *reader, 1), ElementsAre(6));
    reader->recorded(bucket, 6);
    EXPECT_EQ(reader->cursor(bucket), log + ":7");
    reader->close(bucket);
    reader->open(bucket, 3, "another@64-0:9000");  // means nothing here: it begins at the beginning
    EXPECT_THAT(positions(ctx, *reader, 1), ElementsAre(6));
    reader->recorded(bucket, 6);
    runtime::sleep_for(ctx, options.commit_interval);
    std::int64_t head = 0;
    static_cast<void>(reader->read(ctx, {}, head));
    EXPECT_TRUE(eventually(ctx, [&] { return committed(options, options.topic + ".g", bucket % 64) == 7; }));
    reader.reset();
    link.close(ctx);
  });
}

/// The topic was made anew and this process has not heard of it: it sends on, and its reader, which goes on
/// at an offset of the former one, finds only what came later.
TEST_F(KafkaTopic, WhatMissesTheOneBeforeItIsTakenOnceTheLogIsSeenToBeTheSame) {
  run([&](const Context& ctx, runtime::Runtime& runtime) {
    observe::Metrics metrics;
    const auto doubted = [&] { return metrics.counter("holdfast_kafka_doubted_total", "").value(); };
    kafka::Options options = this->options("doubt");
    options.check_interval = 1h;
    KafkaServer::shared().make_topic(options.topic, 64);
    KafkaLink link(runtime, metrics, options);
    link.topic.connect(ctx);
    const std::string log = link.topic.log_identity(ctx);
    const SubscriptionOptions subscription{.group = "g", .topics = {"orders"}};
    auto reader = link.topic.reader(subscription);
    for (std::int64_t position = 1; position <= 5; ++position) link.topic.send(ctx, log, example(position));
    reader->open(bucket_of("a"), 2, log + ":4");
    EXPECT_THAT(positions(ctx, *reader, 1), ElementsAre(5))
        << "it is the same log: the others are gone from it";
    EXPECT_EQ(doubted(), 1u);

    set_mark(options, "64-00000000000000ff");
    link.topic.send(ctx, log, example(6));
    reader->close(bucket_of("a"));
    reader->open(bucket_of("a"), 2, log + ":5");
    std::int64_t head = 0;
    const auto given = [&] {
      std::size_t count = 0;
      for (const ReadResult& result : reader->read(ctx, {{.read_to = 0, .buckets = ~BucketMask{0}}}, head))
        count += result.messages.size();
      return count;
    };
    std::size_t count = 0;
    ASSERT_TRUE(eventually(ctx, [&] {
      count += given();
      return link.topic.log_identity(ctx) == options.topic + "@64-00000000000000ff";
    }));
    EXPECT_EQ(count, 0u) << "it was sent to a log that is gone, and 3 to 5 had not been seen";
    EXPECT_EQ(doubted(), 2u);
    for (std::int64_t position = 3; position <= 6; ++position)
      link.topic.send(ctx, link.topic.log_identity(ctx), example(position));
    EXPECT_THAT(positions(ctx, *reader, 4), ElementsAre(3, 4, 5, 6)) << "sent anew by the relay";
    EXPECT_EQ(doubted(), 2u);
    reader.reset();
    link.close(ctx);
  });
}

TEST_F(KafkaTopic, BucketsThatShareAPartitionAreReadEachFromItsOwnPlace) {
  run([&](const Context& ctx, runtime::Runtime& runtime) {
    observe::Metrics metrics;
    const kafka::Options options = this->options("shared");
    KafkaServer::shared().make_topic(options.topic, 1);
    KafkaLink link(runtime, metrics, options);
    link.topic.connect(ctx);
    const std::string log = link.topic.log_identity(ctx);
    const std::string other = bucket_of("b") == bucket_of("a") ? "c" : "b";
    for (std::int64_t position = 1; position <= 6; ++position)
      link.topic.send(ctx, log, example(position, position % 2 == 1 ? "a" : other));
    const SubscriptionOptions subscription{.group = "g", .topics = {"orders"}};
    auto reader = link.topic.reader(subscription);
    reader->open(bucket_of("a"), 3, log + ":3");
    EXPECT_THAT(positions(ctx, *reader, 1), ElementsAre(5));
    reader->open(bucket_of(other), 0, "");  // the partition is begun anew for it, and "a" gets nothing twice
    EXPECT_THAT(positions(ctx, *reader, 3), ElementsAre(2, 4, 6));
    link.topic.send(ctx, log, example(7, "a"));
    EXPECT_THAT(positions(ctx, *reader, 1), ElementsAre(7));
    reader.reset();
    link.close(ctx);
  });
}

TEST_F(KafkaTopic, ABucketThatIsFullKeepsNothingFromTheNextRead) {
  run([&](const Context& ctx, runtime::Runtime& runtime) {
    observe::Metrics metrics;
    const kafka::Options options = this->options("full");
    KafkaServer::shared().make_topic(options.topic, 1);
    KafkaLink link(runtime, metrics, options);
    link.topic.connect(ctx);
    const std::string log = link.topic.log_identity(ctx);
    std::vector<std::int64_t> all;
    for (std::int64_t position = 1; position <= 30; ++position) {
      link.topic.send(ctx, log, example(position));
      all.push_back(position);
    }
    const SubscriptionOptions subscription{.group = "g", .topics = {"orders"}, .read_ahead = 4};
    auto reader = link.topic.reader(subscription);
    reader->open(bucket_of("a"), 0, "");
    EXPECT_EQ(positions(ctx, *reader, 30), all);
    reader.reset();
    link.close(ctx);
  });
}

class KafkaFailures : public KafkaTopic {
 protected:
  static constexpr int kProduce = 0, kOffsetCommit = 8, kOffsetFetch = 9, kFindCoordinator = 10;
};

TEST_F(KafkaFailures, WhatTheServerRefusesForAMomentIsSentAllTheSame) {
  run([&](const Context& ctx, runtime::Runtime& runtime) {
    observe::Metrics metrics;
    KafkaServer server;
    kafka::Options options = this->options("moment");
    options.servers = {server.address()};
    server.make_topic(options.topic, 4);
    KafkaLink link(runtime, metrics, options);
    link.topic.connect(ctx);
    const std::string log = link.topic.log_identity(ctx);
    std::int64_t position = 0;
    for (const int error : {RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
                            RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT}) {
      server.fail(kProduce, error, 2);
      EXPECT_EQ(thrown_by([&] { link.topic.send(ctx, log, example(++position)); }), "") << error;
    }
    // A connection that is lost may be told first: whoever sends tries again, as the relay does.
    server.fail(kProduce, RD_KAFKA_RESP_ERR__TRANSPORT, 2);
    ++position;
    EXPECT_TRUE(eventually(
        ctx, [&] { return thrown_by([&] { link.topic.send(ctx, log, example(position)); }).empty(); }));
    server.fail(kProduce, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, 1);
    EXPECT_THAT(thrown_by([&] { link.topic.send(ctx, log, example(++position)); }),
                HasSubstr("message_too_large"));
    EXPECT_EQ(link.topic.last_position(ctx), position - 1);
    link.close(ctx);
  });
}

TEST_F(KafkaFailures, AProducerThatLostItsPlaceBeginsAnew) {
  run([&](const Context& ctx, runtime::Runtime& runtime) {
    observe::Metrics metrics;
    KafkaServer server;
    kafka::Options options = this->options("place");
    options.servers = {server.address()};
    options.request_timeout = 500ms;
    server.make_topic(options.topic, 4);
    KafkaLink link(runtime, metrics, options);
    link.topic.connect(ctx);
    std::int64_t position = 0;
    for (const int error :
         {RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
          RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED}) {
      ++position;
      server.fail(kProduce, error, 1);
      EXPECT_TRUE(eventually(ctx,
                             [&] {
                               return thrown_by([&] {
                                        link.topic.send(ctx.with_timeout(500ms), link.topic.log_identity(ctx),
                                                        example(position));
                                      })
                                   .empty();
                             }))
          << error << link.topic.problem();
    }
    EXPECT_EQ(link.topic.last_position(ctx), position);
    EXPECT_GE(metrics.counter("holdfast_kafka_producer_renewals_total", "").value(), 1u);
    link.close(ctx);
  });
}

TEST_F(KafkaFailures, ACoordinatorThatMovesIsFoundAgain) {
  run([&](const Context& ctx, runtime::Runtime& runtime) {
    observe::Metrics metrics;
    KafkaServer server;
    kafka::Options options = this->options("coordinator");
    options.servers = {server.address()};
    server.make_topic(options.topic, 4);
    for (const int api : {kOffsetFetch, kOffsetCommit}) {
      server.fail(api, RD_KAFKA_RESP_ERR_NOT_COORDINATOR, 2);
    }
    server.fail(kFindCoordinator, RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, 2);
    KafkaLink link(runtime, metrics, options);
    link.topic.connect(ctx);
    EXPECT_TRUE(eventually(ctx, [&] { return link.topic.connected(); })) << link.topic.problem();
    const std::string log = link.topic.log_identity(ctx);
    server.fail(kOffsetFetch, RD_KAFKA_RESP_ERR_NOT_COORDINATOR, 2);
    runtime::sleep_for(ctx, 3 * options.check_interval);
    EXPECT_TRUE(eventually(ctx, [&] { return link.topic.connected(); })) << link.topic.problem();
    EXPECT_EQ(link.topic.log_identity(ctx), log);
    link.close(ctx);
  });
}

TEST_F(KafkaFailures, WhatAclsForbidIsSaidAtTheStart) {
  run([&](const Context& ctx, runtime::Runtime& runtime) {
    observe::Metrics metrics;
    KafkaServer server;
    kafka::Options options = this->options("acl");
    options.servers = {server.address()};
    server.make_topic(options.topic, 4);
    server.fail(kOffsetFetch, RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, 1);
    KafkaLink link(runtime, metrics, options);
    EXPECT_THAT(thrown_by([&] { link.topic.connect(ctx); }),
                HasSubstr("groups with the prefix " + options.topic));
    link.close(ctx);
  });
}

TEST_F(KafkaFailures, AServerThatFallsSilentIsLeftWithinTheTimeOfARequest) {
  run([&](const Context& ctx, runtime::Runtime& runtime) {
    observe::Metrics metrics;
    KafkaServer server;
    kafka::Options options = this->options("silent");
    options.servers = {server.address()};
    server.make_topic(options.topic, 4);
    KafkaLink link(runtime, metrics, options);
    link.topic.connect(ctx);
    const std::string log = link.topic.log_identity(ctx);
    server.freeze();
    const Instant begun = ctx.now();
    EXPECT_THAT(thrown_by([&] { link.topic.send(ctx.with_timeout(300ms), log, example(1)); }),
                HasSubstr("kafka_unavailable"));
    EXPECT_LT(ctx.now() - begun, 2s);
    EXPECT_TRUE(eventually(ctx, [&] { return !link.topic.connected(); }));
    server.thaw();
    EXPECT_TRUE(eventually(ctx, [&] { return link.topic.connected(); })) << link.topic.problem();
    EXPECT_EQ(thrown_by([&] { link.topic.send(ctx, log, example(1)); }), "");
    EXPECT_EQ(thrown_by([&] { link.topic.send(ctx, log, example(2)); }), "");
    link.close(ctx);
  });
}

TEST_F(KafkaFailures, AServerKilledWithItsStoreIsAnotherLog) {
  run([&](const Context& ctx, runtime::Runtime& runtime) {
    observe::Metrics metrics;
    KafkaServer server;
    kafka::Options options = this->options("killed");
    options.servers = {server.address()};
    server.make_topic(options.topic, 4);
    KafkaLink link(runtime, metrics, options);
    link.topic.connect(ctx);
    const std::string log = link.topic.log_identity(ctx);
    link.topic.send(ctx, log, example(1));
    const SubscriptionOptions subscription{.group = "g", .topics = {"orders"}};
    auto reader = link.topic.reader(subscription);
    reader->open(bucket_of("a"), 0, "");
    EXPECT_THAT(positions(ctx, *reader, 1), ElementsAre(1));
    server.kill_hard();
    EXPECT_NE(thrown_by([&] { link.topic.send(ctx.with_timeout(300ms), log, example(2)); }), "");
    server.start();
    const auto identity = [&] { return link.topic.connected() ? link.topic.log_identity(ctx) : log; };
    ASSERT_TRUE(eventually(ctx, [&] { return identity() != log; })) << link.topic.problem();
    EXPECT_NE(thrown_by([&] { link.topic.send(ctx, log, example(2)); }), "") << "it was meant for the former";
    link.topic.send(ctx, identity(), example(1));
    link.topic.send(ctx, identity(), example(3));
    EXPECT_THAT(positions(ctx, *reader, 1), ElementsAre(3)) << "the first is known";
    reader.reset();
    link.close(ctx);
  });
}

}  // namespace
}  // namespace holdfast::messaging
