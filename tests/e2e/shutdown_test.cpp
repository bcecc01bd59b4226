// SIGTERM and Ctrl-C as clients meet them: whatever they sent is answered, and the hard limit ends what
// never would.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <mutex>
#include <thread>

#include "drills/frame/raw_connection.hpp"
#include "drills/frame/server_process.hpp"

namespace holdfast::drills {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using Clock = std::chrono::steady_clock;

constexpr const char* kOrder = R"({"customerId":"ada","items":[{"sku":"MUG-GULL","quantity":1}]})";

ServerProcessOptions quiet(std::map<std::string, std::string> more = {}) {
  more.insert({{"HOLDFAST_HTTP_ACCESS_LOG", "false"}, {"HOLDFAST_RATE_LIMIT_ENABLED", "false"}});
  return {.arguments = {"--demo"}, .environment = std::move(more)};
}

/// What a client counts until the server is gone.
struct Outcome {
  std::vector<std::string> acknowledged;  ///< bodies of 201
  int refused = 0;                        ///< answered, but not 201
  int unanswered = 0;                     ///< sent on an open connection and never answered
  bool told_to_close = false;
};

/// One connection, one request after the other, until it is told to close or can't send any more.
Outcome order_until_closed(std::uint16_t port, const std::string& api_key, const std::string& name,
                           std::atomic<int>& running, std::atomic<int>& acknowledged) {
  Outcome outcome;
  HttpConnection http(port, 15s, api_key);
  for (int i = 0; !outcome.told_to_close; ++i) {
    try {
      const HttpAnswer answer =
          http.post("/v1/orders", kOrder, {{"Idempotency-Key", name + std::to_string(i)}});
      if (answer.status == 201) {
        outcome.acknowledged.push_back(answer.body);
        ++acknowledged;
      } else {
        ++outcome.refused;
      }
      outcome.told_to_close = answer.header("connection") == "close";
    } catch (const NoAnswer&) {
      ++outcome.unanswered;
      break;
    }
    if (i == 0) ++running;
  }
  return outcome;
}

class ShutdownUnderLoad : public ::testing::TestWithParam<int> {};

TEST_P(ShutdownUnderLoad, EveryRequestIsAnsweredAndEveryAnswerKept) {
  constexpr int kClients = 16;
  ServerProcess server(quiet());
  const std::string key = server.create_key("admin");
  {
    HttpConnection http(server.port(), 10s, key);
    ASSERT_EQ(http.post("/v1/stock/MUG-GULL/adjustments", R"({"delta":1000000,"reason":"received"})").status,
              200);
  }
  std::atomic<int> running{0};
  std::atomic<int> acknowledged_by_then{0};
  std::vector<Outcome> outcomes(kClients);
  std::vector<std::thread> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.emplace_back([&, i] {
      outcomes[static_cast<std::size_t>(i)] = order_until_closed(
          server.port(), key, "c" + std::to_string(i) + "-", running, acknowledged_by_then);
    });
  }
  while (running < kClients || acknowledged_by_then <= 100) std::this_thread::sleep_for(5ms);
  server.process().signal(GetParam());
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(server.process().wait(30s).code, 0) << server.process().err();

  std::vector<std::string> acknowledged;
  for (const Outcome& outcome : outcomes) {
    EXPECT_EQ(outcome.unanswered, 0) << "a connection was closed with a request in flight";
    EXPECT_EQ(outcome.refused, 0);
    EXPECT_TRUE(outcome.told_to_close);
    acknowledged.insert(acknowledged.end(), outcome.acknowledged.begin(), outcome.acknowledged.end());
  }
  EXPECT_GT(acknowledged.size(), 100U);

  server.start();
  HttpConnection http(server.port(), 10s, key);
  for (const std::string& body : acknowledged) {
    const std::string id = body.substr(body.find("ord_"), 30);
    const HttpAnswer stored = http.get("/v1/orders/" + id);
    ASSERT_EQ(stored.status, 200) << body;
    EXPECT_EQ(stored.body, body);
  }
  EXPECT_EQ(server.stop().code, 0);
}

INSTANTIATE_TEST_SUITE_P(Shutdown, ShutdownUnderLoad, ::testing::Values(SIGTERM, SIGINT),
                         [](const auto& each) { return each.param == SIGTERM ? "Sigterm" : "CtrlC"; });

TEST(Shutdown, NewConnectionsAreEitherServedOrRefusedNeverCutOff) {
  ServerProcess server(quiet());
  std::atomic<int> served{0};
  std::atomic<int> cut_off{0};
  std::vector<std::thread> clients;
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([&] {
      for (;;) {
        HttpConnection http(server.port(), 15s);
        try {
          http.get("/v1/products?limit=1");
          ++served;
        } catch (const NoAnswer& silence) {
          if (std::string(silence.what()).find("connecting") == std::string::npos) ++cut_off;
          return;
        }
      }
    });
  }
  while (served < 200) std::this_thread::sleep_for(5ms);
  EXPECT_EQ(server.stop().code, 0);
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(cut_off, 0) << "of " << served;
}

TEST(Shutdown, AStreamOfEventsEndsWhole) {
  ServerProcess server(quiet());
  const std::string key = server.create_key("admin");
  HttpConnection http(server.port(), 10s, key);
  const std::string body = http.post("/v1/orders", kOrder, {{"Idempotency-Key", "k"}}).body;
  RawConnection stream(server.port());
  stream.send("GET /v1/orders/" + body.substr(body.find("ord_"), 30) +
              "/events HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer " + key + "\r\n\r\n");
  ASSERT_TRUE(stream.receive_until("order.placed")) << stream.received();
  // Another order wakes the stream, which then pauses before it looks again: it is stopped in that pause.
  ASSERT_EQ(http.post("/v1/orders", kOrder, {{"Idempotency-Key", "k2"}}).status, 201);
  const auto begun = Clock::now();
  server.process().terminate();
  const RawAnswer answer = stream.receive();
  EXPECT_EQ(answer.status, 200);
  EXPECT_TRUE(answer.closed && !answer.reset);
  EXPECT_THAT(answer.text, HasSubstr("\r\n0\r\n\r\n")) << "the last chunk: the stream is whole";
  EXPECT_EQ(server.process().wait(20s).code, 0) << server.process().err();
  EXPECT_LT(Clock::now() - begun, 15s) << "a stream that never ends by itself is ended at once";
}

TEST(Shutdown, ASlowUploadIsCutOffAtTheHardLimit) {
  ServerProcess server(quiet({{"HOLDFAST_SHUTDOWN_TIMEOUT", "1s"}}));
  RawConnection slow(server.port());
  slow.send("POST /v1/orders HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer " + server.create_key("write") +
            "\r\nIdempotency-Key: k\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{");
  HttpConnection http(server.port());
  ASSERT_EQ(http.get("/health/live").status, 200);
  const auto begun = Clock::now();
  server.process().terminate();
  const RawAnswer answer = slow.receive();
  EXPECT_TRUE(answer.closed);
  EXPECT_NE(answer.status, 201);
  server.process().wait(20s);
  EXPECT_LT(Clock::now() - begun, 15s);
}

TEST(Shutdown, ASecondSignalEndsItAtOnce) {
  ServerProcess server(quiet({{"HOLDFAST_SHUTDOWN_TIMEOUT", "60s"}}));
  RawConnection slow(server.port());
  slow.send("POST /v1/orders HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer " + server.create_key("write") +
            "\r\nIdempotency-Key: k\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{");
  HttpConnection http(server.port());
  ASSERT_EQ(http.get("/health/live").status, 200);
  server.process().interrupt();
  std::this_thread::sleep_for(500ms);
  ASSERT_TRUE(server.running()) << "it waits for the request that is on its way";
  const auto begun = Clock::now();
  server.process().interrupt();
  server.process().wait(20s);
  EXPECT_LT(Clock::now() - begun, 15s) << "of a minute that it might wait for the request";
}

}  // namespace
}  // namespace holdfast::drills
