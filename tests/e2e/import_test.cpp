// `holdfast import` beside running servers that remember products: they show what was imported.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <thread>

#include "drills/frame/server_process.hpp"
#include "holdfast/redis/testing/server.hpp"

namespace holdfast::drills {
namespace {

using namespace std::chrono_literals;
using redis::testing::RedisServer;
using ::testing::HasSubstr;
using Clock = std::chrono::steady_clock;

/// Far from the minute for which a page's product is remembered, and far from what a busy machine takes.
constexpr auto kShownWithin = 20s;

class ImportBesideServers : public ::testing::Test {
 protected:
  void SetUp() override {
    if (RedisServer::unwanted()) GTEST_SKIP() << "HOLDFAST_EMBEDDED_ONLY=1: no redis-server";
    redis_ = std::make_unique<RedisServer>();
    first_ = std::make_unique<ServerProcess>(options({}));
    second_ = std::make_unique<ServerProcess>(options(first_->data().string()));
  }
  ServerProcessOptions options(const std::string& data) const {
    ServerProcessOptions made{.environment = {{"HOLDFAST_REDIS_URL", redis_->url()}}};
    if (!data.empty()) made.environment["HOLDFAST_DATA"] = data;
    return made;
  }
  Finished import(const std::string& price, const std::vector<std::string>& more = {}) const {
    const std::string file = (first_->folder() / "list.csv").string();
    std::ofstream(file) << "sku,name,price\nMUG,Mug," << price << "\n";
    std::vector<std::string> command{"import", "products", file, "--output", "json"};
    command.insert(command.end(), more.begin(), more.end());
    return first_->run(command);
  }
  static std::string page(const ServerProcess& server) {
    return HttpConnection(server.port()).get("/v1/products/MUG/page").body;
  }
  static void expect_shown(const ServerProcess& server, const std::string& minor) {
    const std::string wanted = R"("minor":)" + minor;
    std::string shown;
    for (const auto until = Clock::now() + kShownWithin; Clock::now() < until;
         std::this_thread::sleep_for(10ms)) {
      shown = page(server);
      if (shown.find(wanted) != std::string::npos) return;
    }
    ADD_FAILURE() << "not shown: " << wanted << " in " << shown;
  }

  std::unique_ptr<RedisServer> redis_;
  std::unique_ptr<ServerProcess> first_;
  std::unique_ptr<ServerProcess> second_;
};

TEST_F(ImportBesideServers, WhatTheyRememberIsForgotten) {
  ASSERT_THAT(import("8.50").out, HasSubstr(R"("created":1)"));
  for (const ServerProcess* server : {first_.get(), second_.get()}) {
    for (int i = 0; i < 3; ++i) EXPECT_THAT(page(*server), HasSubstr(R"("minor":850)"));
  }
  ASSERT_THAT(import("9.25").out, HasSubstr(R"("updated":1)"));
  for (const ServerProcess* server : {first_.get(), second_.get()}) expect_shown(*server, "925");
  const std::string key = first_->create_key("admin");
  ASSERT_THAT(import("9.75", {"--url", first_->url(), "--api-key", key}).out, HasSubstr(R"("updated":1)"));
  for (const ServerProcess* server : {first_.get(), second_.get()}) expect_shown(*server, "975");
}

}  // namespace
}  // namespace holdfast::drills
