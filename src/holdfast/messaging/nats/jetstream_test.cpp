// What is NATS' own: what start-up says about a wrong setting, and connections that die in other ways than
// the contract's (broker_contract_test.cpp).
#include "holdfast/messaging/nats/jetstream.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <string>

#include "holdfast/messaging/testing/nats_kind.hpp"

namespace holdfast::messaging {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

class NatsJetStream : public ::testing::Test {
 protected:
  void SetUp() override {
    if (NatsServer::installed()) return;
    if (std::getenv("HOLDFAST_EMBEDDED_ONLY") != nullptr) GTEST_SKIP() << NatsServer::kMissing;
    FAIL() << NatsServer::kMissing;
  }
  void run(const std::function<void(const Context&, runtime::Runtime&)>& test) {
    runtime::Runtime runtime({.loops = 1}, clock_, random_);
    runtime.run([&](const Context& ctx) { test(ctx, runtime); });
  }
  /// What connecting with these options says; empty where it works.
  std::string refusal(const nats::Options& options) {
    std::string said;
    run([&](const Context& ctx, runtime::Runtime& runtime) {
      observe::Metrics metrics;
      nats::JetStream stream(runtime, metrics, observe::Logger(), options);
      try {
        stream.connect(ctx);
        EXPECT_TRUE(stream.connected()) << stream.problem();
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::failed_precondition) << error.what();
        said = error.detail();
      }
      stream.close(ctx);
    });
    return said;
  }

  SystemClock clock_;
  SystemRandom random_;
};

TEST_F(NatsJetStream, SaysWhichSettingKeepsItFromStarting) {
  NatsServer closed("authorization { user: orders, password: sesame }\njetstream { store_dir: \"store\" }");
  nats::Options options = nats_options(closed, "S");
  EXPECT_THAT(refusal(options), HasSubstr("broker.nats.user and password"));
  options.user = "orders";
  options.password = config::Secret("wrong");
  EXPECT_THAT(refusal(options), HasSubstr("broker.nats.user and password"));
  options.password = config::Secret("sesame");
  EXPECT_EQ(refusal(options), "");
  options.tls.required = true;
  EXPECT_THAT(refusal(options), HasSubstr("turn broker.nats.tls.required off"));
  options.tls.required = false;
  options.prefix = "other";
  EXPECT_THAT(refusal(options), HasSubstr("other.>")) << "the stream has other subjects";
  options.stream = "T";
  options.prefix = "S";
  EXPECT_THAT(refusal(options), HasSubstr("are another stream's"));
  options.tls.required = true;
  options.tls.ca_file = "/nowhere/ca.pem";
  EXPECT_THAT(refusal(options), HasSubstr("tls.ca_file"));
}

TEST_F(NatsJetStream, SaysThatTheServerHasNoJetStream) {
  NatsServer plain("");
  EXPECT_THAT(refusal(nats_options(plain, "S")), HasSubstr("start nats-server with -js"));
}

TEST_F(NatsJetStream, RefusesOptionsThatMeanNothing) {
  run([&](const Context&, runtime::Runtime& runtime) {
    observe::Metrics metrics;
    const auto refused = [&](const std::function<void(nats::Options&)>& change) {
      nats::Options options;
      change(options);
      EXPECT_THROW(nats::JetStream(runtime, metrics, observe::Logger(), options), Error);
    };
    refused([](nats::Options& o) { o.servers.clear(); });
    refused([](nats::Options& o) { o.servers = {"nats://me:secret@host:4222"}; });
    refused([](nats::Options& o) { o.stream = "a.b"; });
    refused([](nats::Options& o) { o.prefix = ".a"; });
    refused([](nats::Options& o) { o.prefix = "a.>"; });
    refused([](nats::Options& o) { o.replicas = 0; });
  });
}

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

TEST_F(NatsJetStream, SendsOnlyToTheLogThatWasMeant) {
  run([&](const Context& ctx, runtime::Runtime& runtime) {
    observe::Metrics metrics;
    NatsLink link(runtime, metrics, nats_options(NatsServer::shared(), "meant"));
    link.stream.connect(ctx);
    const std::string log = link.stream.log_identity(ctx);
    EXPECT_THAT(log, HasSubstr("meant@"));
    EXPECT_EQ(link.stream.last_position(ctx), 0);
    EXPECT_THROW(link.stream.send(ctx, "meant@1970", example(1)), Error);
    EXPECT_EQ(link.stream.last_position(ctx), 0);
    link.stream.send(ctx, log, example(7));
    EXPECT_EQ(link.stream.last_position(ctx), 7);
    link.close(ctx);
    EXPECT_THROW(link.stream.send(ctx, log, example(8)), Error);
  });
}

TEST_F(NatsJetStream, AServerThatFallsSilentIsLeftWithinTheTimeOfARequest) {
  NatsServer server;
  run([&](const Context& ctx, runtime::Runtime& runtime) {
    observe::Metrics metrics;
    NatsLink link(runtime, metrics, nats_options(server, "silent"));
    link.stream.connect(ctx);
    const std::string log = link.stream.log_identity(ctx);
    server.freeze();
    const Instant begun = ctx.now();
    try {
      link.stream.send(ctx.with_timeout(300ms), log, example(1));
      ADD_FAILURE() << "nobody acknowledged that";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::unavailable) << error.what();
    }
    EXPECT_LT(ctx.now() - begun, 5s);
    EXPECT_TRUE(eventually(ctx, [&] { return !link.stream.connected(); })) << "pings go unanswered";
    server.thaw();
    EXPECT_TRUE(eventually(ctx, [&] { return link.stream.connected(); }));
    link.stream.send(ctx, log, example(2));
    link.close(ctx);
  });
}

/// What a reader of `topics` gives for "a"'s bucket, until `count` messages came.
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

TEST_F(NatsJetStream, AReaderPassesOverWhatCameBeforeAndWhatIsForeign) {
  run([&](const Context& ctx, runtime::Runtime& runtime) {
    observe::Metrics metrics;
    NatsLink link(runtime, metrics, nats_options(NatsServer::shared(), "reader"));
    link.stream.connect(ctx);
    const std::string log = link.stream.log_identity(ctx);
    const auto send = [&](std::int64_t position, const char* topic = "orders") {
      Message message = example(position);
      message.topic = topic;
      message.id += "-" + std::to_string(random_.next());
      link.stream.send(ctx, log, message);
    };
    for (const std::int64_t position : {1, 2, 1, 2, 3}) send(position);  // a relay began anew
    send(4, "stock");
    send(6);
    const SubscriptionOptions options{.group = "g", .topics = {"orders"}};
    const int bucket = bucket_of("a");
    auto reader = link.stream.reader(options);
    reader->open(bucket, 0, "");
    EXPECT_EQ(reader->cursor(bucket), "");
    EXPECT_THAT(positions(ctx, *reader, 4), ::testing::ElementsAre(1, 2, 3, 6));
    reader->recorded(bucket, 3);
    EXPECT_EQ(reader->cursor(bucket), log + ":6")
        << "the fourth, stock, is behind the third; its own is the sixth";
    reader->close(bucket);
    reader->open(bucket, 3, log + ":6");
    EXPECT_THAT(positions(ctx, *reader, 1), ::testing::ElementsAre(6));
    reader->close(bucket);
    reader->open(bucket, 3, "another@1970:9000");  // means nothing here: it begins at the beginning
    EXPECT_THAT(positions(ctx, *reader, 1), ::testing::ElementsAre(6));
    reader.reset();
    link.close(ctx);
  });
}

}  // namespace
}  // namespace holdfast::messaging
