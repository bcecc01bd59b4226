// The Order System on a real PostgreSQL, chosen by one setting: what it says where it can't start, and that
// it keeps its promises while the database and a worker are killed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "drills/frame/server_process.hpp"
#include "holdfast/base/json.hpp"
#include "holdfast/sql/testing/postgres_server.hpp"

namespace holdfast::drills {
namespace {

using namespace std::chrono_literals;
using sql::PostgresServer;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Clock = std::chrono::steady_clock;

template <class Holds>
bool within(std::chrono::milliseconds at_most, const Holds& holds) {
  for (const auto until = Clock::now() + at_most; Clock::now() < until; std::this_thread::sleep_for(10ms)) {
    if (holds()) return true;
  }
  return holds();
}

class OnPostgres : public ::testing::Test {
 protected:
  void SetUp() override {
    if (PostgresServer::not_wanted()) GTEST_SKIP() << PostgresServer::kNotWanted;
    database_ = PostgresServer::shared().create_database();
  }

  static ServerProcessOptions with_url(const std::string& url) {
    return {.environment = {{"HOLDFAST_DATABASE_URL", url},
                            {"HOLDFAST_RATE_LIMIT_ENABLED", "false"},
                            {"HOLDFAST_HTTP_ACCESS_LOG", "false"},
                            {"HOLDFAST_MESSAGING_LEASE", "1s"},
                            {"HOLDFAST_SAGA_LEASE", "1s"}}};
  }
  std::string url() const { return PostgresServer::shared().url(database_); }
  /// What `holdfast serve` says before it ends; it must.
  static std::string refusal(const std::string& url, const std::vector<std::string>& more = {}) {
    ServerProcessOptions options = with_url(url);
    options.start = false;
    const ServerProcess server(options);
    std::vector<std::string> command{"serve", "--set", "http.address=127.0.0.1:0"};
    command.insert(command.end(), more.begin(), more.end());
    const Finished ended = server.run(command);
    EXPECT_NE(ended.status.code, 0);
    EXPECT_EQ(ended.status.signal, 0);
    EXPECT_THAT(ended.err, Not(HasSubstr(PostgresServer::kPassword)));
    return ended.err;
  }
  static std::string replaced(std::string text, const std::string& what, const std::string& with) {
    return text.replace(text.find(what), what.size(), with);
  }

  std::string database_;
};

TEST_F(OnPostgres, WhatKeepsItFromStartingNamesTheSettingAndTheRemedy) {
  const auto names = [](const char* remedy) {
    return AllOf(HasSubstr("HOLDFAST_DATABASE_URL"), HasSubstr(remedy));
  };
  EXPECT_THAT(refusal("postgres://holdfast:sesame@127.0.0.1:1/orders"), names("nothing listens there"));
  EXPECT_THAT(refusal(replaced(url(), ":sesame@", ":open@")), names("check `user` and `password`"));
  EXPECT_THAT(refusal(PostgresServer::shared().url("nowhere")), names("createdb"));
  EXPECT_THAT(refusal(replaced(url(), "sslmode=disable", "sslmode=require")), names("sslmode"));
  EXPECT_THAT(refusal("mysql://root@localhost/orders"), names("postgres://"));
  EXPECT_THAT(refusal("postgres://holdfast:sesame@127.0.0.1:port/x"), names("can't be read"));
  EXPECT_THAT(refusal("postgres://holdfast:p@sesame@127.0.0.1:1/x"), names("can't be read"));
  EXPECT_THAT(refusal(url(), {"--set", "database.migrate=false"}), HasSubstr("holdfast migrate up"));

  PostgresServer::shared().run_sql("postgres",
                                   "alter database " + database_ + " set default_transaction_read_only = on");
  EXPECT_THAT(refusal(url()), names("read only"));
}

TEST_F(OnPostgres, EveryCommandWorksOnIt) {
  ServerProcess server(with_url(url()));
  const std::string key = server.create_key("admin");
  for (const std::vector<std::string>& command :
       std::vector<std::vector<std::string>>{{"migrate", "status"},
                                             {"keys", "list"},
                                             {"outbox", "status"},
                                             {"dead-letters", "list"},
                                             {"sagas", "list"},
                                             {"webhooks", "list"}}) {
    const Finished ended = server.run(command);
    EXPECT_EQ(ended.status.code, 0) << command.front() << ": " << ended.out << ended.err;
  }
  const Finished settings = server.run({"config", "print"});
  EXPECT_THAT(settings.out, AllOf(HasSubstr("***"), Not(HasSubstr(PostgresServer::kPassword))));
  EXPECT_THAT(server.process().err(), Not(HasSubstr(PostgresServer::kPassword)));
  EXPECT_EQ(server.stop().code, 0);

  PostgresServer::shared().run_sql(database_,
                                   "insert into holdfast_migrations values(99999, 'of_tomorrow', 'x', 0)");
  EXPECT_THAT(refusal(url()), HasSubstr("Run a newer one"));
}

TEST_F(OnPostgres, AReplayEndsReconciled) {
  ServerProcess server(with_url(url()));
  const std::string file = (server.folder() / "sales.csv").string();
  std::ofstream csv(file);
  csv << "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n";
  for (int i = 0; i < 200; ++i) {
    csv << 540000 + i << ",2272" << i % 9 << ",ALARM CLOCK," << 1 + i % 5 << ",2010-12-03 10:00:00,3.75,1258"
        << i % 7 << ".0,France\n";
  }
  csv << "C540300,22720,ALARM CLOCK,-1,2010-12-04 10:00:00,3.75,12580.0,France\n";
  csv.close();
  const std::vector<std::string> replay{"replay",   file,         "--preset",  "uci-online-retail",
                                        "--url",    server.url(), "--api-key", server.create_key("admin"),
                                        "--output", "json"};
  const Finished first = server.run(replay);
  EXPECT_EQ(first.status.code, 0) << first.out << first.err;
  EXPECT_THAT(first.out, HasSubstr(R"("held":true)"));
  const Finished again = server.run(replay);
  EXPECT_EQ(again.status.code, 0) << again.out << again.err;
  EXPECT_THAT(again.out, HasSubstr(R"("acknowledged":200,"replayed":200)"));
}

TEST_F(OnPostgres, AReplicaAnswersWhatMayBeLate) {
  PostgresServer standby(PostgresServer::shared(), {});
  ServerProcessOptions options = with_url(url());
  options.environment["HOLDFAST_DATABASE_REPLICAS"] = standby.url(database_);
  ServerProcess server(options);
  HttpConnection http(server.port(), 10s, server.create_key("admin"));
  const auto replicas = [&] { return http.get("/v1/ops/replicas").body; };
  ASSERT_TRUE(within(20s, [&] { return replicas().find(R"("state":"used")") != std::string::npos; }))
      << replicas();
  EXPECT_THAT(replicas(), Not(HasSubstr(PostgresServer::kPassword)));
  for (int i = 0; i < 20; ++i) {
    const std::string sku = "NEW-" + std::to_string(i);
    const HttpAnswer made = http.post(
        "/v1/products",
        R"({"sku":")" + sku + R"(","name":"Goods","price":{"minor":100,"currency":"GBP"},"initialStock":1})");
    ASSERT_EQ(made.status, 201) << made.body;
    const std::string position = made.header("x-read-after");
    ASSERT_THAT(position, HasSubstr("/"));
    EXPECT_THAT(http.get("/v1/products?limit=100", {{"X-Read-After", position}}).body, HasSubstr(sku));
  }
  EXPECT_TRUE(within(10s, [&] {
    EXPECT_EQ(http.get("/v1/products").status, 200);
    return replicas().find(R"("reads":0,)") == std::string::npos;
  })) << replicas();
  standby.kill_hard();
  EXPECT_EQ(http.get("/v1/products").status, 200);
  EXPECT_TRUE(within(20s, [&] { return replicas().find(R"("state":"away")") != std::string::npos; }))
      << replicas();
  EXPECT_EQ(http.get("/health/ready").status, 200);
}

/// Customers that order until they are told to stop, and ask again with the same key where they got no
/// answer.
class Customers {
 public:
  Customers(std::uint16_t port, const std::string& key, int count) {
    for (int c = 0; c < count; ++c) threads_.emplace_back([this, port, key, c] { order(port, key, c); });
  }
  ~Customers() { finish(); }

  void finish() {
    stop_ = true;
    for (std::thread& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
  }
  int placed() const { return placed_; }
  int refused() const { return refused_; }             // 503, each with Retry-After
  const std::string& fault() const { return fault_; }  // after finish()
  std::set<std::string> orders() const { return orders_; }

 private:
  void order(std::uint16_t port, const std::string& key, int customer) {
    HttpConnection http(port, 10s, key);
    for (int n = 0; !stop_; ++n) {
      const std::string name = "c" + std::to_string(customer) + "-" + std::to_string(n);
      const std::string sku = n % 3 == 0 ? "SCARCE" : "HOT";
      const std::string body =
          R"({"customerId":")" + name + R"(","items":[{"sku":")" + sku + R"(","quantity":1}]})";
      if (!place(http, name, body)) return;
    }
  }
  bool place(HttpConnection& http, const std::string& name, const std::string& body) {
    for (const auto until = Clock::now() + 60s; Clock::now() < until;) {
      try {
        const HttpAnswer answer = http.post("/v1/orders", body, {{"Idempotency-Key", name}});
        if (answer.status == 201) {
          const JsonDocument document = JsonDocument::parse(answer.body);
          const std::lock_guard lock(mutex_);
          orders_.insert(std::string(document.root().find("id")->as_string()));
          ++placed_;
          return true;
        }
        if (answer.status == 409 && answer.body.find("insufficient_stock") != std::string::npos) return true;
        if (answer.status != 503 || answer.header("retry-after").empty()) {
          const std::lock_guard lock(mutex_);
          fault_ = std::to_string(answer.status) + " " + answer.body;
          return false;
        }
        ++refused_;
      } catch (const NoAnswer&) {
        http.close();
      }
      std::this_thread::sleep_for(20ms);
    }
    const std::lock_guard lock(mutex_);
    fault_ = name + " got no answer for a minute";
    return false;
  }

  std::atomic<bool> stop_{false};
  std::atomic<int> placed_{0};
  std::atomic<int> refused_{0};
  std::mutex mutex_;
  std::set<std::string> orders_;
  std::string fault_;
  std::vector<std::thread> threads_;
};

TEST(OnPostgresKilled, TheDatabaseAndAWorkerMayDieInTheMiddle) {
  if (PostgresServer::not_wanted()) GTEST_SKIP() << PostgresServer::kNotWanted;
  constexpr int kScarce = 40;
  PostgresServer postgres;
  ServerProcess server({.environment = {{"HOLDFAST_DATABASE_URL", postgres.url(postgres.create_database())},
                                        {"HOLDFAST_WORKER_ENABLED", "false"},
                                        {"HOLDFAST_RATE_LIMIT_ENABLED", "false"},
                                        {"HOLDFAST_HTTP_ACCESS_LOG", "false"},
                                        {"HOLDFAST_MESSAGING_LEASE", "1s"},
                                        {"HOLDFAST_SAGA_LEASE", "1s"}}});
  const auto doomed = server.start_worker();
  const auto survivor = server.start_worker();
  const std::string key = server.create_key("admin");
  HttpConnection http(server.port(), 10s, key);
  for (const auto& [sku, stock] : {std::pair{"HOT", 1'000'000}, std::pair{"SCARCE", kScarce}}) {
    const HttpAnswer made = http.post(
        "/v1/products", R"({"sku":")" + std::string(sku) +
                            R"(","name":"Goods","price":{"minor":100,"currency":"GBP"},"initialStock":)" +
                            std::to_string(stock) + "}");
    ASSERT_EQ(made.status, 201) << made.body;
  }

  Customers customers(server.port(), key, 6);
  ASSERT_TRUE(within(60s, [&] { return customers.placed() >= 60; }));
  doomed->kill();
  ASSERT_TRUE(within(60s, [&] { return customers.placed() >= 120; }));
  postgres.kill_hard();
  EXPECT_TRUE(within(20s, [&] { return customers.refused() > 0; })) << "nobody was told to come back";
  EXPECT_TRUE(within(20s, [&] { return http.get("/health/ready").status == 503; }));
  EXPECT_EQ(http.get("/health/live").status, 200);
  postgres.start();
  const int before = customers.placed();
  const auto started = Clock::now();
  EXPECT_TRUE(within(30s, [&] { return customers.placed() > before; })) << "it does not come back";
  std::printf("    an order %ld ms after PostgreSQL was back\n",
              static_cast<long>((Clock::now() - started) / 1ms));
  EXPECT_TRUE(within(30s, [&] { return http.get("/health/ready").status == 200; }));
  ASSERT_TRUE(within(60s, [&] { return customers.placed() >= before + 60; }));
  customers.finish();
  EXPECT_EQ(customers.fault(), "");

  std::string books;
  EXPECT_TRUE(within(60s, [&] {
    books = http.get("/v1/ops/reconciliation").body;
    return books.find(R"("balanced":true)") != std::string::npos &&
           books.find(R"("complete":true)") != std::string::npos;
  })) << books;
  EXPECT_THAT(books, HasSubstr(R"("orders":)" + std::to_string(customers.orders().size()) + ","));
  EXPECT_THAT(http.get("/v1/stock/SCARCE").body, HasSubstr(R"("quantity":0)"));
  EXPECT_TRUE(survivor->running());
  std::printf("    %d orders, %d times told to come back\n", customers.placed(), customers.refused());
}

}  // namespace
}  // namespace holdfast::drills
