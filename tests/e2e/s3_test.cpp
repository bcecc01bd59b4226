// The Order System with its large payloads in S3: settings, server, worker and a broker, all real but S3
// itself, which checks every signature.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <thread>

#include "drills/frame/journal.hpp"
#include "drills/frame/server_process.hpp"
#include "holdfast/blob/internal/testing/s3_server.hpp"
#include "holdfast/redis/testing/server.hpp"

namespace holdfast::drills {
namespace {

using namespace std::chrono_literals;
using blob::S3Server;
using redis::testing::RedisServer;
using ::testing::AllOf;
using ::testing::HasSubstr;
using Clock = std::chrono::steady_clock;

bool within(std::chrono::milliseconds at_most, const std::function<bool()>& holds) {
  for (const auto until = Clock::now() + at_most; Clock::now() < until; std::this_thread::sleep_for(10ms)) {
    if (holds()) return true;
  }
  return holds();
}

class PayloadsInS3 : public ::testing::Test {
 protected:
  void SetUp() override {
    if (RedisServer::unwanted()) GTEST_SKIP() << "HOLDFAST_EMBEDDED_ONLY=1: no redis-server";
    redis_ = std::make_unique<RedisServer>(
        std::vector<std::string>{"--appendonly", "yes", "--appendfsync", "always"});
  }

  /// A server and a worker; both send to the broker and take from it.
  void open(const std::string& secret = S3Server::kSecret, bool with_worker = true) {
    server_ = std::make_unique<ServerProcess>(ServerProcessOptions{
        .environment = {{"HOLDFAST_BROKER_KIND", "redis"},
                        {"HOLDFAST_BROKER_REDIS_URL", redis_->url()},
                        {"HOLDFAST_BLOB_KIND", "s3"},
                        {"HOLDFAST_BLOB_MAX_INLINE", "64B"},  // less than any order's event
                        {"HOLDFAST_BLOB_S3_ENDPOINT", "http://127.0.0.1:" + std::to_string(s3_.port())},
                        {"HOLDFAST_BLOB_S3_REGION", S3Server::kRegion},
                        {"HOLDFAST_BLOB_S3_BUCKET", S3Server::kBucket},
                        {"HOLDFAST_BLOB_S3_ACCESS_KEY_ID", S3Server::kKey},
                        {"HOLDFAST_BLOB_S3_SECRET_ACCESS_KEY", secret},
                        {"HOLDFAST_BLOB_S3_PATH_STYLE", "true"},
                        {"HOLDFAST_BLOB_S3_PREFIX", "events/"},
                        {"HOLDFAST_MESSAGING_LEASE", "1s"},
                        {"HOLDFAST_RATE_LIMIT_ENABLED", "false"}}});
    if (with_worker) worker_ = server_->spawn({"worker"});
    http_ = std::make_unique<HttpConnection>(server_->port(), 10s, server_->create_key("admin"));
    ASSERT_EQ(
        http_
            ->post("/v1/products", R"({"sku":"MUG","name":"Mug","price":{"minor":100,"currency":"GBP"},)"
                                   R"("initialStock":1000})")
            .status,
        201);
  }
  void order(int count) {
    for (int i = 0; i < count; ++i) {
      const std::string key = "order-" + std::to_string(++ordered_);
      const HttpAnswer answer =
          http_->post("/v1/orders", R"({"customerId":"ada","items":[{"sku":"MUG","quantity":1}]})",
                      {{"Idempotency-Key", key}});
      ASSERT_EQ(answer.status, 201) << answer.body;
      orders_.push_back(order_id(answer.body));
    }
  }
  /// By order.
  std::map<std::string, int> receipts() const {
    std::map<std::string, int> found;
    const auto mail = server_->data() / "mail" / "new";
    if (!std::filesystem::exists(mail)) return found;
    for (const auto& file : std::filesystem::directory_iterator(mail)) {
      const std::string name = file.path().filename().string();
      if (const auto at = name.find(".receipt"); at != std::string::npos) ++found[name.substr(0, at)];
    }
    return found;
  }
  void expect_a_receipt_each() {
    EXPECT_TRUE(within(30s, [&] { return receipts().size() >= orders_.size(); }))
        << receipts().size() << " receipts of " << orders_.size() << "\n"
        << server_->process().err() << worker_->err();
    for (const std::string& order : orders_) EXPECT_EQ(receipts()[order], 1) << order;
  }
  std::ptrdiff_t asked(const std::string& method) {
    const auto seen = s3_.seen();
    return std::ranges::count_if(seen, [&](const std::string& what) { return what.starts_with(method); });
  }

  std::unique_ptr<RedisServer> redis_;
  S3Server s3_;
  std::unique_ptr<ServerProcess> server_;
  std::unique_ptr<Process> worker_;
  std::unique_ptr<HttpConnection> http_;
  std::vector<std::string> orders_;
  int ordered_ = 0;
};

TEST_F(PayloadsInS3, GoThereAndComeBackAlsoWhereItIsBusyAndLosesAnswers) {
  open();
  order(5);
  expect_a_receipt_each();
  EXPECT_GE(asked("PUT"), 5);
  EXPECT_GE(asked("GET"), 5);

  for (const auto how : {S3Server::Failure::busy_before, S3Server::Failure::lost_after}) {
    for (const char* what : {"PUT ", "GET "}) {
      s3_.fail_next(2, how, what);
      order(3);
      expect_a_receipt_each();
    }
  }
  EXPECT_EQ(s3_.refused_signatures, 0);
  const HttpAnswer ready = http_->get("/health/ready");
  EXPECT_EQ(ready.status, 200) << ready.body;
  EXPECT_THAT(http_->get("/v1/ops/dependencies").body, HasSubstr(R"("name":"blobs")"));

  worker_->terminate();
  EXPECT_EQ(worker_->wait(30s).code, 0) << worker_->err();
  EXPECT_EQ(server_->stop().code, 0) << server_->process().err();
}

TEST_F(PayloadsInS3, AWrongKeyIsToldAndCostsNoOrder) {
  open("another", false);  // one process, so that it is the one that meets it
  order(2);
  std::string ready;
  EXPECT_TRUE(within(30s, [&] {
    ready = http_->get("/health/ready").body;
    return ready.find("SignatureDoesNotMatch") != std::string::npos &&
           ready.find("Events wait in the outbox") != std::string::npos;
  })) << ready;
  EXPECT_THAT(ready, HasSubstr(R"("status":"degraded")"));
  EXPECT_TRUE(receipts().empty());
  EXPECT_GT(s3_.refused_signatures, 0);
  const HttpAnswer one = http_->get("/v1/orders/" + orders_.front());
  EXPECT_EQ(one.status, 200) << one.body;

  EXPECT_EQ(server_->stop().code, 0) << server_->process().err();
  server_->options().environment["HOLDFAST_BLOB_S3_SECRET_ACCESS_KEY"] = S3Server::kSecret;
  http_->close();
  server_->start();
  worker_ = server_->spawn({"worker"});
  expect_a_receipt_each();
  EXPECT_THAT(http_->get("/health/ready").status, 200);
}

}  // namespace
}  // namespace holdfast::drills
