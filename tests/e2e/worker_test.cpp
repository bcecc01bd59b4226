// A worker as its operator sees it: where it shows itself, and what it says there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "drills/frame/server_process.hpp"

namespace holdfast::drills {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Clock = std::chrono::steady_clock;

/// The first line of a file that a process writes once it is ready.
std::string told(const std::filesystem::path& file, Process& process) {
  for (const auto give_up = Clock::now() + 20s; Clock::now() < give_up; std::this_thread::sleep_for(5ms)) {
    std::string line;
    if (std::ifstream from(file); std::getline(from, line)) return line;
    if (!process.running()) break;
  }
  throw std::runtime_error("the worker is not ready: " + process.err());
}

std::uint16_t port_of(const std::string& url) {
  return static_cast<std::uint16_t>(std::stoi(url.substr(url.rfind(':') + 1)));
}

class WorkerProcess : public ::testing::Test {
 protected:
  ServerProcess server_{{.arguments = {"--demo", "--no-worker"}}};
  const std::filesystem::path ready_ = server_.folder() / "worker.ready";
};

TEST_F(WorkerProcess, ShowsItsHealthAndItsMetricsWhereItIsTold) {
  const auto worker =
      server_.spawn({"worker", "--set", "worker.address=127.0.0.1:0", "--ready-file", ready_.string()});
  HttpConnection there(port_of(told(ready_, *worker)));
  EXPECT_EQ(there.get("/health/live").status, 200);
  const HttpAnswer ready = there.get("/health/ready");
  EXPECT_EQ(ready.status, 200);
  EXPECT_THAT(ready.body, AllOf(HasSubstr("messaging"), HasSubstr("sagas"), HasSubstr("database")));
  EXPECT_EQ(there.get("/v1/orders").status, 404) << "the API is the server's";

  HttpConnection http(server_.port());
  http.authorize(server_.create_key("write"));
  ASSERT_EQ(http.post("/v1/orders", R"({"customerId":"ada","items":[{"sku":"MUG-GULL","quantity":1}]})",
                      {{"Idempotency-Key", "one"}})
                .status,
            201);
  std::string metrics;
  for (const auto give_up = Clock::now() + 20s; Clock::now() < give_up; std::this_thread::sleep_for(20ms)) {
    metrics = there.get("/metrics").body;
    if (metrics.find("holdfast_maildir_delivered_total 1") != std::string::npos) break;
  }
  EXPECT_THAT(metrics, HasSubstr("holdfast_maildir_delivered_total 1"));
  EXPECT_THAT(http.get("/metrics").body, Not(HasSubstr("holdfast_maildir_delivered_total 1")))
      << "what a worker does is not seen at the server";

  worker->terminate();
  EXPECT_EQ(worker->wait(20s).code, 0);
  EXPECT_THROW(there.get("/health/live"), NoAnswer);
}

TEST_F(WorkerProcess, ShowsItselfNowhereUnlessTold) {
  const auto worker = server_.spawn({"worker", "--ready-file", ready_.string()});
  EXPECT_EQ(told(ready_, *worker), "ready");
}

TEST_F(WorkerProcess, AnAddressThatIsTakenIsNamedWithTheSetting) {
  const Finished refused =
      server_.run({"worker", "--set", "worker.address=127.0.0.1:" + std::to_string(server_.port())});
  EXPECT_NE(refused.status.code, 0);
  EXPECT_THAT(refused.err, AllOf(HasSubstr("worker.address"), HasSubstr("HOLDFAST_WORKER_ADDRESS")));
}

}  // namespace
}  // namespace holdfast::drills
