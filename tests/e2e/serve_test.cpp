// `holdfast serve` as an operator meets it: the first order, signals, second starts, and what is wrong
// with the machine told in one line.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <csignal>
#include <fstream>

#include "drills/frame/server_process.hpp"

namespace holdfast::drills {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

constexpr const char* kOrder = R"({"customerId":"ada","items":[{"sku":"MUG-ANCHOR","quantity":2}]})";

TEST(Serve, TheFirstOrderOfANewcomer) {
  ServerProcess server({.arguments = {"--demo", "--banner"}});
  HttpConnection http(server.port());
  EXPECT_EQ(http.get("/v1/products?limit=3").status, 200);
  EXPECT_EQ(http.post("/v1/orders", kOrder, {{"Idempotency-Key", "k"}}).status, 401);

  http.authorize(server.create_key("write"));
  const HttpAnswer placed = http.post("/v1/orders", kOrder, {{"Idempotency-Key", "k"}});
  ASSERT_EQ(placed.status, 201) << placed.body;
  const HttpAnswer again = http.post("/v1/orders", kOrder, {{"Idempotency-Key", "k"}});
  EXPECT_EQ(again.body, placed.body);
  EXPECT_EQ(again.header("idempotent-replayed"), "true");

  const std::string said = server.process().out() + server.process().err();
  EXPECT_THAT(said, HasSubstr(server.url()));
  EXPECT_THAT(said, HasSubstr("curl"));
  EXPECT_EQ(read_text(server.data() / "holdfast.pid"), std::to_string(server.process().pid()) + "\n");
  EXPECT_EQ(server.stop().code, 0);
}

TEST(Serve, BothSignalsStopItGracefully) {
  for (const int signal : {SIGTERM, SIGINT}) {
    ServerProcess server;
    server.process().signal(signal);
    EXPECT_EQ(server.process().wait(20s).code, 0) << server.process().err();
  }
}

TEST(Serve, WhatWasAcknowledgedIsThereAfterKillAndRestart) {
  ServerProcess server({.arguments = {"--demo"}});
  const std::string key = server.create_key("admin");
  {
    HttpConnection http(server.port());
    http.authorize(key);
    ASSERT_EQ(http.post("/v1/orders", kOrder, {{"Idempotency-Key", "k"}}).status, 201);
  }
  server.kill();
  server.start();
  HttpConnection http(server.port());
  http.authorize(key);
  EXPECT_THAT(http.get("/v1/orders").body, HasSubstr("MUG-ANCHOR"));
  const HttpAnswer again = http.post("/v1/orders", kOrder, {{"Idempotency-Key", "k"}});
  EXPECT_EQ(again.header("idempotent-replayed"), "true");
  EXPECT_EQ(server.stop().code, 0);
}

TEST(Serve, TheDemoCatalogIsLoadedIntoAnEmptyDatabaseOnly) {
  ServerProcess server({.arguments = {"--demo"}});
  HttpConnection http(server.port());
  http.authorize(server.create_key("admin"));
  const HttpAnswer archived = http.request("DELETE", "/v1/products/MUG-ANCHOR");
  ASSERT_LT(archived.status, 300) << archived.body;
  EXPECT_EQ(server.stop().code, 0);
  server.start();
  HttpConnection later(server.port());
  EXPECT_THAT(later.get("/v1/products/MUG-ANCHOR").body, HasSubstr("archived"));
}

TEST(Serve, ATakenPortIsSaidWithTheRemedy) {
  ServerProcess server;
  ServerProcess other(
      {.environment = {{"HOLDFAST_HTTP_ADDRESS", "127.0.0.1:" + std::to_string(server.port())}},
       .start = false});
  other.launch();
  EXPECT_EQ(other.process().wait(20s).code, 4);
  EXPECT_THAT(other.process().err(), HasSubstr(std::to_string(server.port())));
  EXPECT_THAT(other.process().err(), HasSubstr("HOLDFAST_HTTP_ADDRESS"));
}

TEST(Serve, AnUnusableDataFolderIsSaidWithTheRemedy) {
  ServerProcess server({.start = false});
  std::ofstream(server.data()) << "a file where the folder should be";
  server.launch();
  EXPECT_EQ(server.process().wait(20s).code, 4);
  EXPECT_THAT(server.process().err(), HasSubstr(server.data().string()));
  EXPECT_THAT(server.process().err(), HasSubstr("HOLDFAST_DATA"));
}

TEST(Serve, TwoProcessesMayShareADataFolder) {
  ServerProcess server({.arguments = {"--demo"}});
  const auto worker = server.start_worker();
  HttpConnection http(server.port());
  http.authorize(server.create_key("admin"));
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(http.post("/v1/orders", kOrder, {{"Idempotency-Key", "k" + std::to_string(i)}}).status, 201);
  }
  worker->terminate();
  EXPECT_EQ(worker->wait(20s).code, 0) << worker->err();
  EXPECT_EQ(server.stop().code, 0);
}

TEST(Serve, ANewerSchemaIsNotTouched) {
  ServerProcess server({.start = false});
  ASSERT_EQ(server.run({"migrate", "up"}).status.code, 0);
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open((server.data() / "orders.db").c_str(), &database), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(database, "insert into holdfast_migrations values(999, 'from_the_future', 'x', 0)",
                         nullptr, nullptr, nullptr),
            SQLITE_OK);
  sqlite3_close(database);
  server.launch();
  EXPECT_EQ(server.process().wait(20s).code, 4);
  EXPECT_THAT(server.process().err(), HasSubstr("from_the_future"));
  EXPECT_EQ(server.run({"keys", "list"}).status.code, 4);
}

TEST(Serve, AnEarlierSchemaIsLeftAloneWhereMigrationsAreOff) {
  ServerProcess server({.environment = {{"HOLDFAST_DATABASE_MIGRATE", "false"}}, .start = false});
  server.launch();
  EXPECT_EQ(server.process().wait(20s).code, 4);
  EXPECT_THAT(server.process().err(), HasSubstr("holdfast migrate up"));
}

}  // namespace
}  // namespace holdfast::drills
