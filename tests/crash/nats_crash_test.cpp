// The Order System on NATS JetStream, by settings alone: its server, its workers and nats-server itself are
// killed in the middle of orders, and each order has one receipt all the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <thread>

#include "drills/frame/shop.hpp"
#include "drills/frame/shoppers.hpp"
#include "holdfast/messaging/testing/nats_server.hpp"

namespace holdfast::drills {
namespace {

using namespace std::chrono_literals;
using messaging::NatsServer;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

bool eventually(const std::function<bool()>& holds) {
  const auto until = std::chrono::steady_clock::now() + 30s;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(10ms);
  }
  return true;
}

std::map<std::string, std::string> on(const NatsServer& nats) {
  return {{"HOLDFAST_BROKER_KIND", "nats"}, {"HOLDFAST_BROKER_NATS_SERVERS", nats.url()}};
}

class OnNats : public ::testing::Test {
 protected:
  void SetUp() override {
    if (NatsServer::installed()) return;
    if (std::getenv("HOLDFAST_EMBEDDED_ONLY") != nullptr) GTEST_SKIP() << NatsServer::kMissing;
    FAIL() << NatsServer::kMissing;
  }
  static std::string ready(Shop& shop) { return shop.connect().get("/health/ready").body; }
};

TEST_F(OnNats, EachOrderHasOneReceiptWhateverIsKilled) {
  NatsServer nats;
  Shop shop({.environment = on(nats), .lease = "1s"});
  Journal journal;
  auto worker = shop.server().spawn({"worker"});
  Shoppers shoppers(shop, journal, {.seed = test_seed(), .threads = 2, .pause = 10ms});
  const auto orders_go_on = [&] {
    const std::size_t placed = journal.placed();
    EXPECT_TRUE(eventually([&] { return journal.placed() > placed + 30; }));
  };
  orders_go_on();

  nats.kill_hard();
  orders_go_on();  // the outbox has them
  EXPECT_TRUE(eventually([&] { return ready(shop).find("Events wait in the outbox") != std::string::npos; }))
      << ready(shop);
  EXPECT_THAT(shop.connect().get("/metrics").body, HasSubstr("holdfast_nats_connected 0"));
  nats.start();
  EXPECT_TRUE(eventually([&] { return ready(shop).find("Events wait") == std::string::npos; }))
      << ready(shop);

  worker->kill();
  orders_go_on();
  worker = shop.server().spawn({"worker"});
  orders_go_on();

  nats.freeze();
  orders_go_on();
  nats.thaw();
  shoppers.finish();
  EXPECT_THAT(shop.faults(journal), IsEmpty());
  worker->terminate();
  EXPECT_EQ(worker->wait(20s).code, 0) << worker->err();
}

TEST_F(OnNats, AndBackIsASettingToo) {
  NatsServer nats;
  Shop shop({.environment = on(nats)});
  Journal journal;
  for (const std::string kind : {"embedded", "nats", "embedded"}) {
    const std::string name = "before-" + std::to_string(journal.placed());
    Shoppers shoppers(shop, journal, {.seed = test_seed(), .threads = 2, .name = name, .pause = 5ms});
    const std::size_t placed = journal.placed();
    EXPECT_TRUE(eventually([&] { return journal.placed() > placed + 30; }));
    shoppers.finish();
    shop.server().stop();  // whatever is not handled yet
    shop.server().options().environment["HOLDFAST_BROKER_KIND"] = kind;
    shop.server().start();
  }
  EXPECT_THAT(shop.faults(journal), IsEmpty());
  EXPECT_THAT(shop.server().run({"outbox", "status"}).out, ::testing::Not(HasSubstr("outbox-relay")));
}

TEST_F(OnNats, AWrongSettingIsNamedAtTheStart) {
  NatsServer closed("authorization { user: orders, password: sesame }\njetstream { store_dir: \"store\" }");
  ServerProcess server({.environment = on(closed), .start = false});
  server.launch();
  const ExitStatus status = server.process().wait(20s);
  EXPECT_NE(status.code, 0);
  EXPECT_THAT(server.process().err() + server.process().out(),
              HasSubstr("check broker.nats.user and password"));
}

}  // namespace
}  // namespace holdfast::drills
