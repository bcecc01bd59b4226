// `holdfast migrate data`: the Order System moves from its file to PostgreSQL and back, in the middle of
// things.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <thread>

#include "drills/frame/sqlite_file.hpp"
#include "holdfast/sql/testing/postgres_server.hpp"
#include "support/checkout_shop.hpp"

namespace holdfast::drills {
namespace {

using namespace std::chrono_literals;
using sql::PostgresServer;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class MigrateData : public ::testing::Test {
 protected:
  void SetUp() override {
    if (PostgresServer::not_wanted()) GTEST_SKIP() << PostgresServer::kNotWanted;
    url_ = PostgresServer::shared().url(PostgresServer::shared().create_database());
  }
  static std::string file_url(const ServerProcess& server) {
    return "sqlite:" + (server.data() / "orders.db").string();
  }
  static std::vector<std::string> move(const std::string& from, const std::string& to,
                                       const std::vector<std::string>& more = {}) {
    std::vector<std::string> command{"migrate", "data", "--from", from, "--to", to};
    command.insert(command.end(), more.begin(), more.end());
    return command;
  }
  static void write_sales(const std::filesystem::path& file) {
    std::ofstream csv(file);
    csv << "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n";
    for (int i = 0; i < 300; ++i) {
      csv << 540000 + i << ",2272" << i % 9 << ",\"ALARM CLOCK, \xC3\x84\"," << 1 + i % 5
          << ",2010-12-03 10:00:00,3.75,1258" << i % 7 << ".0,France\n";
    }
    csv << "C540299,22722,\"ALARM CLOCK, \xC3\x84\",-5,2010-12-04 10:00:00,3.75,12585.0,France\n";
  }
  static Finished replay(const ServerProcess& server, const std::string& key,
                         const std::vector<std::string>& more = {}) {
    std::vector<std::string> command{"replay",    (server.folder() / "sales.csv").string(),
                                     "--preset",  "uci-online-retail",
                                     "--url",     server.url(),
                                     "--api-key", key,
                                     "--output",  "json"};
    command.insert(command.end(), more.begin(), more.end());
    return server.run(command);
  }
  static void use(ServerProcess& server, const std::string& url, const char* worker) {
    server.options().environment["HOLDFAST_DATABASE_URL"] = url;
    server.options().environment["HOLDFAST_WORKER_ENABLED"] = worker;
  }

  std::string url_;
};

TEST_F(MigrateData, OrdersEventsAndKeysGoOnWhereTheyWereAndSoBack) {
  ServerProcess server({.environment = {{"HOLDFAST_WORKER_ENABLED", "false"},
                                        {"HOLDFAST_RATE_LIMIT_ENABLED", "false"},
                                        {"HOLDFAST_HTTP_ACCESS_LOG", "false"}}});
  write_sales(server.folder() / "sales.csv");
  const std::string key = server.create_key("admin");
  const Finished first = replay(server, key, {"--no-reconcile"});  // its events wait: there is no worker
  ASSERT_EQ(first.status.code, 0) << first.out << first.err;
  const Finished busy = server.run(move(file_url(server), url_));
  EXPECT_EQ(busy.status.code, 4) << busy.out;
  EXPECT_THAT(busy.err, HasSubstr("Stop all servers and workers"));
  server.kill();

  const Finished dry = server.run(move(file_url(server), url_, {"--dry-run"}));
  EXPECT_EQ(dry.status.code, 0) << dry.err;
  EXPECT_THAT(dry.out, HasSubstr("would be moved"));
  // Killed in the middle, as often as it takes to be there.
  for (const char* until : {"copying order_lines", "copying outbox", "copying stock_movements"}) {
    const auto moving = server.spawn(move(file_url(server), url_, {"--batch", "5"}));
    while (moving->running() && moving->err().find(until) == std::string::npos)
      std::this_thread::sleep_for(1ms);
    moving->kill();
  }
  use(server, url_, "true");
  server.launch();
  const ExitStatus refused = server.process().wait(20s);
  EXPECT_NE(refused.code, 0);
  EXPECT_THAT(server.process().err(), HasSubstr("not all of it is there"));

  const Finished moved = server.run(move(file_url(server), url_, {"--output", "json"}));
  ASSERT_EQ(moved.status.code, 0) << moved.out << moved.err;
  EXPECT_THAT(moved.out, AllOf(HasSubstr(R"("resumed":true)"), HasSubstr(R"("sha256")")));
  EXPECT_THAT(moved.out + moved.err, Not(HasSubstr(PostgresServer::kPassword)));
  const Finished twice = server.run(move(file_url(server), url_));
  EXPECT_EQ(twice.status.code, 4);
  EXPECT_THAT(twice.err, HasSubstr("only moved into an empty database"));

  server.start();
  const Finished again =
      replay(server, key);  // the keys are known, the events are handled, all of it adds up
  EXPECT_EQ(again.status.code, 0) << again.out << again.err;
  EXPECT_THAT(again.out,
              AllOf(HasSubstr(R"("acknowledged":300,"replayed":300)"), HasSubstr(R"("held":true)")));
  HttpConnection http(server.port(), 10s, key);
  const HttpAnswer placed =
      http.post("/v1/orders", R"({"customerId":"ada","items":[{"sku":"22720","quantity":1}]})",
                {{"Idempotency-Key", "one-more"}});
  EXPECT_EQ(placed.status, 409) << placed.body;  // sold out; what matters is that its stock came along
  EXPECT_EQ(server.stop().code, 0);

  const std::string back = "sqlite:" + (server.folder() / "back" / "orders.db").string();
  const Finished returned = server.run(move(url_, back));
  ASSERT_EQ(returned.status.code, 0) << returned.out << returned.err;
  use(server, back, "true");
  server.start();
  const Finished third = replay(server, key);
  EXPECT_EQ(third.status.code, 0) << third.out << third.err;
  EXPECT_THAT(third.out, AllOf(HasSubstr(R"("replayed":300)"), HasSubstr(R"("held":true)")));
}

TEST_F(MigrateData, ACheckoutThatWasUnderWayEnds) {
  CheckoutShop shop({.environment = {{"HOLDFAST_WORKER_ENABLED", "false"}}});
  std::vector<std::string> orders;
  for (int i = 0; i < 5; ++i) orders.push_back(shop.place());
  shop.server().kill();
  const Finished moved = shop.server().run(move(file_url(shop.server()), url_));
  ASSERT_EQ(moved.status.code, 0) << moved.out << moved.err;
  use(shop.server(), url_, "true");
  shop.server().start();
  for (const std::string& order : orders) {
    EXPECT_TRUE(shop.becomes(order, "shipped")) << order << " " << shop.order(order, "status");
  }
  const std::string next = shop.place();
  EXPECT_TRUE(shop.becomes(next, "shipped"));
  EXPECT_THAT(shop.get("/v1/ops/reconciliation").body, HasSubstr(R"("balanced":true)"));
}

TEST_F(MigrateData, WhatCantBeMovedSaysWhy) {
  const ServerProcess server({.start = false});
  const std::string file = file_url(server);
  const Finished missing = server.run(move("sqlite:/nowhere/orders.db", url_));
  EXPECT_EQ(missing.status.code, 4);
  EXPECT_THAT(missing.err, HasSubstr("There is no database at /nowhere/orders.db"));
  EXPECT_EQ(server.run(move(file, file)).status.code, 2);
  EXPECT_EQ(server.run(move("", url_)).status.code, 2);
  EXPECT_EQ(server.run(move("mysql://x/y", url_)).status.code, 3);
  ASSERT_EQ(server.run({"migrate", "up"}).status.code, 0);
  ASSERT_EQ(server.run({"migrate", "down"}).status.code, 0);
  const Finished old = server.run(move(file, url_));
  EXPECT_EQ(old.status.code, 4);
  EXPECT_THAT(old.err, HasSubstr("migrate up"));
}

}  // namespace
}  // namespace holdfast::drills
