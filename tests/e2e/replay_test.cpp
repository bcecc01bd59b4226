// `holdfast import` and `holdfast replay` against the real server, on a small file that is as dirty as
// real ones are.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <regex>

#include "drills/frame/server_process.hpp"

namespace holdfast::drills {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

/// Scattered lines, a repeated sku, a guest, a cancellation that matches, one that is partial, one that
/// matches nothing, and lines that are left out.
std::string sales() {
  std::string csv =
      "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
      "536365,85123A,\"WHITE HANGING HEART, T-LIGHT HOLDER\",6,2010-12-01 08:26:00,2.55,17850.0,United "
      "Kingdom\n"
      "536367,84879,ASSORTED COLOUR BIRD ORNAMENT,32,2010-12-01 08:34:00,1.69,13047.0,United Kingdom\n"
      "536365,71053,WHITE METAL LANTERN,6,2010-12-01 08:26:00,3.39,17850.0,United Kingdom\n"
      "536368,85123a,WHITE  HANGING HEART T-LIGHT HOLDER,1,2010-12-01 08:45:00,2.95,,United Kingdom\n"
      "536365,85123A,WHITE HANGING HEART T-LIGHT HOLDER,2,2010-12-01 08:26:00,2.55,17850.0,United Kingdom\n"
      "536370,POST,POSTAGE,3,2010-12-01 08:45:00,18.00,12583.0,France\n"
      "536370,22728,ALARM CLOCK BAKELIKE PINK,24,2010-12-01 08:45:00,3.75,12583.0,France\n"
      "536371,22727,ALARM CLOCK BAKELIKE RED,2,2010-12-01 08:46:00,0.00,12583.0,France\n"
      "536372,21730,,-4,2010-12-01 08:47:00,0.00,,United Kingdom\n"
      "C536379,84879,ASSORTED COLOUR BIRD ORNAMENT,-32,2010-12-02 09:00:00,1.69,13047.0,United Kingdom\n"
      "C536380,71053,WHITE METAL LANTERN,-1,2010-12-02 09:01:00,3.39,17850.0,United Kingdom\n"
      "C536381,22728,ALARM CLOCK BAKELIKE PINK,-99,2010-12-02 09:02:00,3.75,12583.0,France\n";
  for (int i = 0; i < 60; ++i) {
    csv += std::to_string(540000 + i) + ",22728,ALARM CLOCK BAKELIKE PINK," + std::to_string(1 + i % 5) +
           ",2010-12-03 10:00:00,3.75,1258" + std::to_string(i % 7) + ".0,France\n";
  }
  return csv;
}

class Replay : public ::testing::Test {
 protected:
  Replay() {
    std::ofstream(file_) << sales();
    key_ = server_.create_key("admin");
  }
  Finished replay(std::vector<std::string> more = {}) {
    std::vector<std::string> arguments{"replay",      file_,       "--preset", "uci-online-retail", "--url",
                                       server_.url(), "--api-key", key_,       "--output",          "json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return server_.run(arguments);
  }
  std::string orders() {
    HttpConnection http(server_.port());
    http.authorize(key_);
    return http.get("/v1/orders?limit=200").body;
  }
  ServerProcess server_;
  const std::string file_ = (server_.folder() / "sales.csv").string();
  std::string key_;
};

TEST_F(Replay, EndsReconciledAndAgainWithTheSameState) {
  const Finished first = replay();
  EXPECT_EQ(first.status.code, 0) << first.out << first.err;
  EXPECT_THAT(first.out, HasSubstr(R"("orders":{"planned":64,"acknowledged":64,"replayed":0)"));
  EXPECT_THAT(first.out, HasSubstr(R"("cancellations":{"planned":1,"acknowledged":1)"));
  EXPECT_THAT(first.out, HasSubstr(R"("partial_cancellation":1)"));
  EXPECT_THAT(first.out, HasSubstr(R"("unmatched_cancellation":1)"));
  EXPECT_THAT(first.out, HasSubstr(R"("not_a_product":1,)"));
  EXPECT_THAT(first.out, HasSubstr(R"("held":true)"));
  const std::string stored = orders();

  const Finished second = replay();
  EXPECT_EQ(second.status.code, 0) << second.out << second.err;
  EXPECT_THAT(second.out, HasSubstr(R"("acknowledged":64,"replayed":64)"));
  EXPECT_EQ(orders(), stored);
}

TEST_F(Replay, WithAStateFileSendsOnlyTheRest) {
  const std::string state = (server_.folder() / "sales.state").string();
  EXPECT_EQ(replay({"--state", state, "--limit", "10"}).status.code, 0);
  const Finished rest = replay({"--state", state});
  EXPECT_EQ(rest.status.code, 0) << rest.out << rest.err;
  EXPECT_THAT(rest.out, HasSubstr(R"("orders":{"planned":64,"acknowledged":54,"replayed":0,"known":10)"));
}

TEST_F(Replay, InterruptedItFinishesWhatIsInFlightAndGoesOnLater) {
  const std::vector<std::string> arguments{"replay", file_,         "--preset",  "uci-online-retail",
                                           "--url",  server_.url(), "--api-key", key_,
                                           "--rate", "20",          "--clients", "2"};
  const auto slow = server_.spawn(arguments);
  HttpConnection http(server_.port());
  http.authorize(key_);
  while (http.get("/v1/orders?limit=5").body.find("nextCursor") == std::string::npos)
    ASSERT_TRUE(slow->running());
  slow->interrupt();
  EXPECT_EQ(slow->wait(20s).code, 130) << slow->err();
  EXPECT_THAT(slow->err(), HasSubstr("Run the same command again"));

  const Finished rest = replay();
  EXPECT_EQ(rest.status.code, 0) << rest.out << rest.err;
  EXPECT_THAT(rest.out, HasSubstr(R"("held":true)"));
}

TEST_F(Replay, GoesOnWhileTheServerIsKilledAndStartedAgain) {
  const std::vector<std::string> arguments{"replay", file_,         "--preset",  "uci-online-retail",
                                           "--url",  server_.url(), "--api-key", key_,
                                           "--rate", "40",          "--output",  "json"};
  const auto running = server_.spawn(arguments);
  HttpConnection http(server_.port());
  http.authorize(key_);
  while (http.get("/v1/orders?limit=5").body.find("nextCursor") == std::string::npos)
    ASSERT_TRUE(running->running());
  http.close();
  server_.kill();
  server_.start();
  EXPECT_EQ(running->wait(60s).code, 0) << running->out() << running->err();
  EXPECT_THAT(running->out(), HasSubstr(R"("held":true)"));
}

TEST_F(Replay, ABadKeyIsAFailureAtOnce) {
  key_ = "hf_nobody_knows";
  const Finished refused = replay();
  EXPECT_EQ(refused.status.code, 1);
  EXPECT_THAT(refused.err, HasSubstr("401"));
}

TEST_F(Replay, TooLittleStockIsReportedNotHidden) {
  const Finished short_of = replay({"--stock", "10"});
  EXPECT_EQ(short_of.status.code, 0) << short_of.out << short_of.err;
  EXPECT_THAT(short_of.out, HasSubstr("insufficient_stock"));
  EXPECT_THAT(short_of.out, HasSubstr(R"("held":true)"));
}

TEST_F(Replay, ImportsProductsDirectlyAndThroughTheApi) {
  const Finished direct =
      server_.run({"import", "products", file_, "--preset", "uci-online-retail", "--stock", "100", "--output",
                   "json", "--rejects", (server_.folder() / "rejects.csv").string()});
  EXPECT_EQ(direct.status.code, 0) << direct.out << direct.err;
  EXPECT_THAT(direct.out, HasSubstr(R"("created":4)"));
  EXPECT_THAT(read_text(server_.folder() / "rejects.csv"), HasSubstr("not_a_product"));

  const Finished remote = server_.run({"import", "products", file_, "--preset", "uci-online-retail",
                                       "--output", "json", "--url", server_.url(), "--api-key", key_});
  EXPECT_EQ(remote.status.code, 0) << remote.out << remote.err;
  EXPECT_THAT(remote.out, HasSubstr(R"("created":0)"));
  HttpConnection http(server_.port());
  EXPECT_THAT(http.get("/v1/products/85123A").body, HasSubstr("WHITE HANGING HEART"));
}

}  // namespace
}  // namespace holdfast::drills
