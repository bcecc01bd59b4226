// What a lone server without secrets can't show: TLS both ways, and a cluster that loses a node.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "holdfast/base/testing/certificates.hpp"
#include "holdfast/messaging/testing/nats_kind.hpp"

namespace holdfast::messaging {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

class NatsCluster : public ::testing::Test {
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
  /// What connecting with these options says; empty where it works and a message gets through.
  std::string refusal(const nats::Options& options) {
    std::string said;
    run([&](const Context& ctx, runtime::Runtime& runtime) {
      observe::Metrics metrics;
      NatsLink link(runtime, metrics, options);
      try {
        link.stream.connect(ctx);
        link.stream.send(ctx, link.stream.log_identity(ctx), example(++last_));
      } catch (const Error& error) {
        said = error.detail();
      }
      link.close(ctx);
    });
    return said;
  }
  static Message example(std::int64_t position) {
    return {.id = "msg_" + std::to_string(position),
            .topic = "orders",
            .key = "a",
            .type = "t",
            .headers = {},
            .payload = "1",
            .occurred_at = WallTime(std::chrono::seconds(1)),
            .position = position,
            .group = {}};
  }

  SystemClock clock_;
  SystemRandom random_;
  std::int64_t last_ = 0;
};

std::string secured(const std::string& certificate, const std::string& key, const Certificates& made,
                    bool clients_too) {
  return "jetstream { store_dir: \"store\" }\ntls { cert_file: \"" + certificate + "\", key_file: \"" + key +
         "\", ca_file: \"" + made.authority() + "\", verify: " + (clients_too ? "true" : "false") + " }";
}

TEST_F(NatsCluster, SpeaksTlsWithWhomItKnowsOnly) {
  const Certificates made;
  NatsServer server(secured(made.server(), made.server_key(), made, false));
  nats::Options options = nats_options(server, "S");
  EXPECT_THAT(refusal(options), HasSubstr("check broker.nats.tls.ca_file"))
      << "TLS is spoken where the server wants it";
  options.tls = {.required = true, .ca_file = made.authority()};
  EXPECT_EQ(refusal(options), "");
  options.tls.ca_file = made.stranger();
  EXPECT_THAT(refusal(options), HasSubstr("check broker.nats.tls.ca_file"));
  options.tls.ca_file = "";  // the system's authorities have not signed it
  EXPECT_THAT(refusal(options), HasSubstr("check broker.nats.tls.ca_file"));
}

TEST_F(NatsCluster, IsNotTakenInByAnotherHostsCertificate) {
  const Certificates made;
  NatsServer server(secured(made.elsewhere(), made.elsewhere_key(), made, false));
  nats::Options options = nats_options(server, "S");
  options.tls = {.required = true, .ca_file = made.authority()};
  EXPECT_THAT(refusal(options), HasSubstr("server_name"));
  options.tls.server_name = "elsewhere.example";
  EXPECT_EQ(refusal(options), "");
}

TEST_F(NatsCluster, ShowsItsOwnCertificateWhereTheServerAsks) {
  const Certificates made;
  NatsServer server(secured(made.server(), made.server_key(), made, true));
  nats::Options options = nats_options(server, "S");
  options.tls = {.required = true, .ca_file = made.authority()};
  EXPECT_THAT(refusal(options), HasSubstr("certificate_file"));
  options.tls.certificate_file = made.client();
  options.tls.key_file = made.client_key();
  EXPECT_EQ(refusal(options), "");
}

/// Three servers that know each other.
std::vector<std::unique_ptr<NatsServer>> three_servers() {
  std::vector<std::uint16_t> ports;
  for (int i = 0; i < 3; ++i) ports.push_back(free_port());
  std::vector<std::unique_ptr<NatsServer>> servers;
  for (int i = 0; i < 3; ++i) {
    std::string routes;
    for (const std::uint16_t port : ports) routes += ", \"nats://127.0.0.1:" + std::to_string(port) + "\"";
    servers.push_back(std::make_unique<NatsServer>(
        "server_name: n" + std::to_string(i) +
        "\njetstream { store_dir: \"store\" }\ncluster { name: c, listen: \"127.0.0.1:" +
        std::to_string(ports[static_cast<std::size_t>(i)]) + "\", routes: [" + routes.substr(2) + "] }"));
  }
  return servers;
}

TEST_F(NatsCluster, GoesOnWithTwoOfThreeServersAndHasEveryMessage) {
  const auto servers = three_servers();
  run([&](const Context& ctx, runtime::Runtime& runtime) {
    observe::Metrics metrics;
    nats::Options options = nats_options(*servers[0], "S");
    for (int i = 1; i < 3; ++i) options.servers.push_back(servers[static_cast<std::size_t>(i)]->url());
    options.replicas = 3;
    NatsLink link(runtime, metrics, options);
    link.stream.connect(ctx);  // the cluster may not have chosen its leader yet
    ASSERT_TRUE(eventually(ctx, [&] { return link.stream.connected(); })) << link.stream.problem();
    const std::string log = link.stream.log_identity(ctx);
    const auto send = [&](std::int64_t position) {
      return eventually(ctx, [&] {
        try {
          link.stream.send(ctx, log, example(position));
          return true;
        } catch (const Error& error) {
          EXPECT_EQ(error.code(), ErrorCode::unavailable) << error.what();
          return false;
        }
      });
    };
    std::int64_t sent = 0;
    while (sent < 20) ASSERT_TRUE(send(++sent));
    servers.front()->kill_hard();  // it has our connection
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(send(++sent)) << link.stream.problem();
    const SubscriptionOptions wanted{.group = "g", .topics = {"orders"}};
    auto reader = link.stream.reader(wanted);
    reader->open(bucket_of("a"), 0, "");
    std::int64_t read = 0;
    std::int64_t head = 0;
    EXPECT_TRUE(eventually(ctx,
                           [&] {
                             for (const ReadResult& result :
                                  reader->read(ctx, {{.read_to = 0, .buckets = ~BucketMask{0}}}, head)) {
                               for (const Message& message : result.messages)
                                 EXPECT_EQ(message.position, ++read);
                             }
                             return read == sent;
                           }))
        << read << " of " << sent;
    reader.reset();
    link.close(ctx);
  });
}

}  // namespace
}  // namespace holdfast::messaging
