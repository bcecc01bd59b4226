#include "holdfast/http/sse.hpp"

#include <gtest/gtest.h>

#include <atomic>

#include "holdfast/http/testing/test_server.hpp"

namespace holdfast::http {
namespace {

using namespace std::chrono_literals;
using testing::RawClient;
using testing::TestServer;

struct Ticker {
  runtime::Signal changed;
  std::atomic<int> count = 0;

  void tick() {
    ++count;
    changed.notify();
  }

  Router router(Duration heartbeat) {
    Router router;
    router.get("/events", [this, heartbeat](const Context&, Request& request) {
      return event_stream(
          [this, next = std::atoi(last_event_id(request).c_str()) + 1](const Context& ctx,
                                                                       EventStream& out) mutable {
            for (;;) {
              const std::uint64_t seen = changed.version();
              for (; next <= count; ++next) {
                out.send(ctx, {.id = std::to_string(next),
                               .event = "tick",
                               .data = "one\ntwo " + std::to_string(next)});
              }
              if (!out.wait_past(ctx, changed, seen)) return;
            }
          },
          {.heartbeat = heartbeat, .retry = 500ms});
    });
    return router;
  }
};

constexpr std::string_view kAsk = "GET /events HTTP/1.1\r\nHost: x\r\n";

TEST(EventStream, SendsEventsAsTheyComeAndGoesOnAfterTheLastOne) {
  Ticker ticker;
  TestServer server(ticker.router(15s));
  RawClient client(server.port());
  client.send(std::string(kAsk) + "\r\n");
  EXPECT_NE(client.until("\r\n\r\n").find("text/event-stream"), std::string::npos);
  EXPECT_NE(client.until("\n\n").find("retry: 500"), std::string::npos);
  ticker.tick();
  EXPECT_NE(client.until("\n\n").find("id: 1\nevent: tick\ndata: one\ndata: two 1\n\n"), std::string::npos);
  ticker.tick();
  EXPECT_NE(client.until("\n\n").find("id: 2\n"), std::string::npos);

  RawClient again(server.port());
  again.send(std::string(kAsk) + "Last-Event-ID: 1\r\n\r\n");
  again.until("retry: 500\n\n");
  EXPECT_NE(again.until("\n\n").find("id: 2\n"), std::string::npos);
}

TEST(EventStream, BeatsWhileNothingHappens) {
  Ticker ticker;
  TestServer server(ticker.router(20ms));
  RawClient client(server.port());
  client.send(std::string(kAsk) + "\r\n");
  client.until("retry: 500\n\n");
  EXPECT_NE(client.until(":\n\n").find(":\n\n"), std::string::npos);
  EXPECT_NE(client.until(":\n\n").find(":\n\n"), std::string::npos);
}

TEST(EventStream, EndsWholeWhenTheServerDrains) {
  Ticker ticker;
  TestServer server(ticker.router(15s));
  RawClient client(server.port());
  client.send(std::string(kAsk) + "\r\n");
  client.until("retry: 500\n\n");
  server.begin_drain();
  EXPECT_TRUE(client.all().ends_with("0\r\n\r\n"));
  EXPECT_TRUE(client.ended);
  client.close();
  EXPECT_TRUE(server.drained());
}

TEST(EventStream, EndsWhenItsClientHasGone) {
  Ticker ticker;
  TestServer server(ticker.router(15s));
  {
    RawClient client(server.port());
    client.send(std::string(kAsk) + "\r\n");
    client.until("retry: 500\n\n");
  }
  const auto limit = std::chrono::steady_clock::now() + 3s;
  while (server.server->statistics().requests_in_flight > 0 && std::chrono::steady_clock::now() < limit) {
    std::this_thread::yield();
  }
  EXPECT_EQ(server.server->statistics().requests_in_flight, 0U);
}

}  // namespace
}  // namespace holdfast::http
