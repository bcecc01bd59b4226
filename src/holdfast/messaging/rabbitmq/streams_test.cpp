// What is RabbitMQ's own: what start-up says about a wrong setting, streams that are deleted, limits and
// alarms of the server, TLS; beside the contract's (broker_contract_test.cpp).
#include "holdfast/messaging/rabbitmq/streams.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <thread>

#include "holdfast/base/testing/certificates.hpp"
#include "holdfast/messaging/rabbitmq/internal/log.hpp"
#include "holdfast/messaging/testing/rabbit_kind.hpp"

namespace holdfast::messaging {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class RabbitStreams : public ::testing::Test {
 protected:
  void SetUp() override {
    if (RabbitServer::installed()) return;
    if (std::getenv("HOLDFAST_EMBEDDED_ONLY") != nullptr) GTEST_SKIP() << RabbitServer::kMissing;
    FAIL() << RabbitServer::kMissing;
  }
  void run(const std::function<void(const Context&, runtime::Runtime&)>& test) {
    runtime::Runtime runtime({.loops = 1}, clock_, random_);
    runtime.run([&](const Context& ctx) { test(ctx, runtime); });
  }
  /// What connecting with these options says; empty where it works.
  std::string refusal(const rabbitmq::Options& options) {
    std::string said;
    run([&](const Context& ctx, runtime::Runtime& runtime) {
      observe::Metrics metrics;
      RabbitLink link(runtime, metrics, options);
      try {
        link.streams.connect(ctx);
        EXPECT_TRUE(link.streams.connected()) << link.streams.problem();
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::failed_precondition) << error.what();
        said = error.detail();
      }
      link.close(ctx);
    });
    return said;
  }
  rabbitmq::Options options() const { return rabbit_options(RabbitServer::shared(), prefix_); }
  static Message example(std::int64_t position, std::string payload = "1") {
    return {.id = "msg_" + std::to_string(position),
            .topic = "orders",
            .key = "a",
            .type = "t",
            .headers = {},
            .payload = std::move(payload),
            .occurred_at = WallTime(std::chrono::seconds(1)),
            .position = position,
            .group = {}};
  }
  /// What a reader gives for "a"'s bucket, until `count` messages came.
  static std::vector<std::int64_t> positions(const Context& ctx, Reader& reader, std::size_t count) {
    std::vector<std::int64_t> read;
    std::int64_t head = 0;
    EXPECT_TRUE(eventually(ctx, [&] {
      for (const ReadResult& result : reader.read(ctx, {{.read_to = 0, .buckets = ~BucketMask{0}}}, head)) {
        for (const Message& message : result.messages) read.push_back(message.position);
      }
      return read.size() >= count;
    }));
    return read;
  }

  SystemClock clock_;
  SystemRandom random_;
  const std::string prefix_ = "t" + std::to_string(random_.next() % 1'000'000'000);
  const SubscriptionOptions group_{.group = "g", .topics = {"orders"}};
};

/// Says `text` to whoever connects first, and hangs up.
class Impostor {
 public:
  explicit Impostor(std::string text) : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ::bind(listener_, reinterpret_cast<sockaddr*>(&address), size);
    ::listen(listener_, 4);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this, text = std::move(text)] {
      const int peer = ::accept(listener_, nullptr, nullptr);
      ::send(peer, text.data(), text.size(), MSG_NOSIGNAL);
      char ignored[64];
      while (::recv(peer, ignored, sizeof ignored, 0) > 0) {
      }
      ::close(peer);
    });
  }
  ~Impostor() {
    thread_.join();
    ::close(listener_);
  }
  std::string url() const { return "amqp://127.0.0.1:" + std::to_string(port_); }

 private:
  int listener_;
  std::uint16_t port_ = 0;
  std::thread thread_;
};

TEST_F(RabbitStreams, SaysWhichSettingKeepsItFromStarting) {
  rabbitmq::Options wrong = options();
  wrong.password = config::Secret("wrong");
  EXPECT_THAT(refusal(wrong), HasSubstr("broker.rabbitmq.user and password"));
  wrong = options();
  wrong.vhost = "nowhere";
  EXPECT_THAT(refusal(wrong), HasSubstr("check broker.rabbitmq.vhost"));
  wrong = options();
  wrong.tls.required = true;
  EXPECT_THAT(refusal(wrong), HasSubstr("turn broker.rabbitmq.tls.required off"));
  wrong.tls.ca_file = "/nowhere/ca.pem";
  EXPECT_THAT(refusal(wrong), HasSubstr("tls (ca_file"));
  wrong = options();
  const Impostor web_server("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
  wrong.servers = {web_server.url()};
  EXPECT_THAT(refusal(wrong), HasSubstr("check broker.rabbitmq.servers"));
}

TEST_F(RabbitStreams, RefusesOptionsThatMeanNothing) {
  run([&](const Context&, runtime::Runtime& runtime) {
    observe::Metrics metrics;
    const auto refused = [&](const std::function<void(rabbitmq::Options&)>& change) {
      rabbitmq::Options options;
      change(options);
      EXPECT_THROW(rabbitmq::Streams(runtime, metrics, observe::Logger(), options), Error);
    };
    refused([](rabbitmq::Options& o) { o.servers.clear(); });
    refused([](rabbitmq::Options& o) { o.servers = {"amqp://me:secret@host"}; });
    refused([](rabbitmq::Options& o) { o.prefix = "a.b"; });
    refused([](rabbitmq::Options& o) { o.vhost = ""; });
    refused([](rabbitmq::Options& o) { o.heartbeat = 10ms; });
  });
}

TEST_F(RabbitStreams, SendsOnlyToTheLogThatWasMeantAndKnowsHowFarItIs) {
  run([&](const Context& ctx, runtime::Runtime& runtime) {
    observe::Metrics metrics;
    RabbitLink link(runtime, metrics, options());
    link.streams.connect(ctx);
    const std::string log = link.streams.log_identity(ctx);
    EXPECT_THAT(log, ::testing::StartsWith(prefix_ + "@"));
    EXPECT_THROW(link.streams.send(ctx, prefix_ + "@another", example(1)), Error);
    link.streams.send(ctx, log, example(7));
    link.streams.send(ctx, log, example(8));
    Message unsendable = example(9);
    unsendable.topic = std::string(kMaxNameBytes, 'x');
    try {
      link.streams.send(ctx, log, unsendable);
      ADD_FAILURE() << "its routing key is too long";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::invalid_argument) << "so that it becomes a dead letter";
    }
    link.close(ctx);
    EXPECT_THROW(link.streams.send(ctx, log, example(10)), Error);
    RabbitLink next(runtime, metrics, options());
    next.streams.connect(ctx);
    EXPECT_EQ(next.streams.log_identity(ctx), log);
    EXPECT_EQ(next.streams.last_position(ctx), 8);
    next.close(ctx);
  });
}

TEST_F(RabbitStreams, ProcessesThatStartTogetherAgreeOnALog) {
  run([&](const Context& ctx, runtime::Runtime& runtime) {
    observe::Metrics metrics;
    RabbitLink one(runtime, metrics, options());
    RabbitLink two(runtime, metrics, options());
    runtime::FiberGroup fibers(ctx);
    for (RabbitLink* link : {&one, &two})
      fibers.spawn("connecting", [link](const Context& own) { link->streams.connect(own); });
    fibers.wait();
    EXPECT_TRUE(eventually(ctx, [&] { return one.streams.connected() && two.streams.connected(); }));
    EXPECT_EQ(one.streams.log_identity(ctx), two.streams.log_identity(ctx));
    one.close(ctx);
    two.close(ctx);
  });
}

TEST_F(RabbitStreams, AServerThatFallsSilentIsLeftAfterTwoHeartbeats) {
  RabbitServer& server = RabbitServer::shared();
  run([&](const Context& ctx, runtime::Runtime& runtime) {
    observe::Metrics metrics;
    rabbitmq::Options hasty = options();
    hasty.heartbeat = 1s;
    RabbitLink link(runtime, metrics, hasty);
    link.streams.connect(ctx);
    const std::string log = link.streams.log_identity(ctx);
    server.freeze();
    try {
      link.streams.send(ctx.with_timeout(300ms), log, example(1));
      ADD_FAILURE() << "nobody confirmed that";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::unavailable) << error.what();
    }
    EXPECT_TRUE(eventually(ctx, [&] { return !link.streams.connected(); }));
    server.thaw();
    EXPECT_TRUE(eventually(ctx, [&] { return link.streams.connected(); }));
    link.streams.send(ctx, log, example(2));
    link.close(ctx);
  });
}

TEST_F(RabbitStreams, AReaderPassesOverWhatCameBeforeAndWhatIsForeign) {
  run([&](const Context& ctx, runtime::Runtime& runtime) {
    observe::Metrics metrics;
    RabbitLink link(runtime, metrics, options());
    link.streams.connect(ctx);
    const std::string log = link.streams.log_identity(ctx);
    const auto send = [&](std::int64_t position, const char* topic = "orders") {
      Message message = example(position);
      message.topic = topic;
      link.streams.send(ctx, log, message);
    };
    for (const std::int64_t position : {1, 2, 1, 2, 3}) send(position);  // a relay began anew
    send(4, "stock");
    send(6);
    const int bucket = bucket_of("a");
    auto reader = link.streams.reader(group_);
    reader->open(bucket, 0, "");
    EXPECT_EQ(reader->cursor(bucket), "");
    EXPECT_THAT(positions(ctx, *reader, 4), ElementsAre(1, 2, 3, 6));
    reader->recorded(bucket, 3);
    EXPECT_EQ(reader->cursor(bucket), log + ":6") << "the sixth, stock, is behind the third";
    reader->close(bucket);
    reader->open(bucket, 3, log + ":6");
    EXPECT_THAT(positions(ctx, *reader, 1), ElementsAre(6));
    reader->close(bucket);
    reader->open(bucket, 3, prefix_ + "@another:9000");  // means nothing here: it begins at the beginning
    EXPECT_THAT(positions(ctx, *reader, 1), ElementsAre(6));
    reader.reset();
    link.close(ctx);
  });
}

/// Deletes queues as an operator would.
void remove(const Context& ctx, runtime::Runtime& runtime, const rabbitmq::Options& options,
            const std::vector<std::string>& queues) {
  runtime::Signal changed;
  runtime::OffloadPool resolver(runtime, {.name = "names"});
  rabbitmq::Connection connection(runtime.loop(0), options, "test", changed);
  connection.connect(ctx, rabbitmq::parse_server(options.servers.front()), nullptr, resolver);
  const auto channel = connection.open_channel(ctx);
  for (const std::string& queue : queues) {
    std::string frames;
    rabbitmq::write_queue_delete(frames, channel->id(), queue);
    channel->call(ctx, frames, rabbitmq::Method::queue_delete_ok);
  }
  connection.close(ctx);
}

TEST_F(RabbitStreams, AStreamThatIsDeletedMakesANewLogForAllProcesses) {
  run([&](const Context& ctx, runtime::Runtime& runtime) {
    observe::Metrics metrics;
    RabbitLink one(runtime, metrics, options());
    RabbitLink two(runtime, metrics, options());
    one.streams.connect(ctx);
    two.streams.connect(ctx);
    const std::string log = one.streams.log_identity(ctx);
    one.streams.send(ctx, log, example(1));
    auto reader = two.streams.reader(group_);
    reader->open(bucket_of("a"), 0, "");
    EXPECT_THAT(positions(ctx, *reader, 1), ElementsAre(1));
    const std::string name = log.substr(log.find('@') + 1);
    remove(ctx, runtime, options(),
           {prefix_ + "." + name + "." + std::to_string(bucket_of("a")), prefix_ + "." + name + ".0"});
    const auto identity_of = [&](RabbitLink& link) {
      try {
        return link.streams.log_identity(ctx);
      } catch (const Error&) {
        return log;
      }
    };
    EXPECT_TRUE(
        eventually(ctx, [&] { return identity_of(one) != log && identity_of(one) == identity_of(two); }));
    EXPECT_THROW(one.streams.send(ctx, log, example(2)), Error);
    one.streams.send(ctx, one.streams.log_identity(ctx), example(1));  // as a relay does that begins anew
    one.streams.send(ctx, one.streams.log_identity(ctx), example(2));
    EXPECT_THAT(positions(ctx, *reader, 1), ElementsAre(2));
    reader.reset();
    one.close(ctx);
    two.close(ctx);
  });
}

TEST_F(RabbitStreams, AStreamThatEndsBeforeWhereAGroupIsMakesANewLog) {
  run([&](const Context& ctx, runtime::Runtime& runtime) {
    observe::Metrics metrics;
    rabbitmq::Options hasty = options();
    hasty.request_timeout = 5s;
    RabbitLink link(runtime, metrics, hasty);
    link.streams.connect(ctx);
    const std::string log = link.streams.log_identity(ctx);
    link.streams.send(ctx, log, example(1));
    auto reader = link.streams.reader(group_);
    reader->open(bucket_of("a"), 900, log + ":1000");  // as after a power cut
    std::int64_t head = 0;
    const auto identity = [&] {
      try {
        return link.streams.log_identity(ctx);
      } catch (const Error&) {
        return log;
      }
    };
    EXPECT_TRUE(eventually(ctx, [&] {
      reader->read(ctx, {{.read_to = 900, .buckets = ~BucketMask{0}}}, head);
      return identity() != log;
    }));
    link.streams.send(ctx, identity(), example(901));
    EXPECT_THAT(positions(ctx, *reader, 1), ElementsAre(901));
    reader.reset();
    link.close(ctx);
  });
}

TEST_F(RabbitStreams, OverTlsWithinTheServersLimitsAndUnlessItIsAlarmed) {
  const Certificates made;
  RabbitServer server("max_message_size = 65536");
  const std::string tls = "listeners.ssl.1 = 127.0.0.1:" + std::to_string(server.tls_port()) +
                          "\nssl_options.cacertfile = " + made.authority() +
                          "\nssl_options.certfile = " + made.server() +
                          "\nssl_options.keyfile = " + made.server_key() +
                          "\nssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true\n";
  run([&](const Context& ctx, runtime::Runtime& runtime) {
    observe::Metrics metrics;
    RabbitLink link(runtime, metrics, rabbit_options(server, prefix_));
    link.streams.connect(ctx);
    const std::string log = link.streams.log_identity(ctx);
    try {
      link.streams.send(ctx, log, example(1, std::string(70'000, '1')));
      ADD_FAILURE() << "larger than max_message_size";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::too_large) << error.what();
    }
    EXPECT_TRUE(eventually(ctx, [&] {  // the server has closed the channel, with whatever else was under way
      try {
        link.streams.send(ctx, log, example(2));
        return true;
      } catch (const Error&) {
        return false;
      }
    }));
    server.restart_with(tls + "vm_memory_high_watermark.absolute = 1MB");
    EXPECT_TRUE(eventually(ctx, [&] { return link.streams.connected(); }));
    std::string said;
    EXPECT_TRUE(eventually(ctx, [&] {
      try {
        link.streams.send(ctx.with_timeout(200ms), log, example(3));
      } catch (const Error& error) {
        said = error.what();
      }
      return said.contains("rabbitmq_blocked");
    })) << said;
    EXPECT_THAT(said, HasSubstr("low on memory"));
    auto reader = link.streams.reader(group_);
    reader->open(bucket_of("a"), 0, "");
    EXPECT_THAT(positions(ctx, *reader, 1), ::testing::Contains(2)) << "who reads is not blocked";
    reader.reset();
    link.close(ctx);
  });
  rabbitmq::Options options = rabbit_options(server, prefix_);
  options.servers = {"amqp://127.0.0.1:" + std::to_string(server.tls_port())};
  EXPECT_THAT(refusal(options), HasSubstr("turn broker.rabbitmq.tls.required on"));
  options.tls = {.required = true, .ca_file = made.authority()};
  EXPECT_THAT(refusal(options), HasSubstr("certificate_file")) << "the server asks who we are";
  options.tls.certificate_file = made.client();
  options.tls.key_file = made.client_key();
  EXPECT_EQ(refusal(options), "");
  options.tls.ca_file = made.stranger();
  EXPECT_THAT(refusal(options), HasSubstr("check broker.rabbitmq.tls.ca_file"));
  options.tls.ca_file = made.authority();
  options.tls.server_name = "elsewhere.example";
  EXPECT_THAT(refusal(options), HasSubstr("server_name"));
}

}  // namespace
}  // namespace holdfast::messaging
