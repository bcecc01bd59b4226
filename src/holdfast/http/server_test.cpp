#include "holdfast/http/server.hpp"

#include <gtest/gtest.h>

#include <atomic>

#include "holdfast/http/testing/test_server.hpp"
#include "holdfast/runtime/fiber.hpp"

namespace holdfast::http {
namespace {

using namespace std::chrono_literals;
using testing::body_of;
using testing::RawClient;
using testing::status_of;
using testing::TestServer;

Router echo_router() {
  Router router;
  router.get("/hello", [](const Context&, Request&) { return Response::text(200, "hello"); });
  router.post("/echo", [](const Context&, Request& request) {
    return Response::text(200, std::string(request.body));
  });
  router.get("/slow", [](const Context& ctx, Request&) {
    runtime::sleep_for(ctx, 150ms);
    return Response::text(200, "slow");
  });
  router.get("/large",
             [](const Context&, Request&) { return Response::text(200, std::string(3'000'000, 'x')); });
  router.get("/throws",
             [](const Context&, Request&) -> Response { throw std::runtime_error("secret path /etc/x"); });
  router.get("/who", [](const Context& ctx, Request& request) {
    return Response::text(
        200, ctx.request_id() + " " + ctx.trace().trace_id_hex() + " " + std::string(request.remote_address) +
                 " " + std::to_string(static_cast<int>(ctx.priority())) + " " +
                 std::to_string(std::chrono::ceil<std::chrono::seconds>(ctx.remaining()).count()));
  });
  router.post("/count",
              [](const Context& ctx, Request& request) {
                std::size_t bytes = 0;
                for (std::string_view piece; !(piece = request.body_reader->read(ctx)).empty();)
                  bytes += piece.size();
                return Response::text(200, std::to_string(bytes));
              },
              {.max_body_bytes = 100'000'000, .streaming_body = true});
  router.post("/ignores", [](const Context&, Request&) { return Response::text(200, "ignored"); },
              {.max_body_bytes = 100'000'000, .streaming_body = true});
  router.get("/stream", [](const Context&, Request&) {
    return Response::streamed(200, "text/csv", [](const Context& ctx, BodyWriter& out) {
      for (int i = 0; i < 20'000; ++i) out.write(ctx, "0123456789abcdefghijklmnopqrstuvwxyz line\r\n");
    });
  });
  router.get("/breaks", [](const Context&, Request& request) {
    return Response::streamed(
        200, "text/csv", [late = request.query("late").has_value()](const Context& ctx, BodyWriter& out) {
          if (late) {
            out.write(ctx, "first");
            out.flush(ctx);
          }
          throw Error(ErrorCode::unavailable, "The export is broken.");
        });
  });
  return router;
}

std::string get(std::string_view path, std::string_view more = "") {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: x\r\n" + std::string(more) + "\r\n";
}

std::string post(std::string_view path, std::string_view body, std::string_view more = "") {
  return "POST " + std::string(path) + " HTTP/1.1\r\nHost: x\r\n" + std::string(more) +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

TEST(Server, AnswersOnOneConnectionAgainAndAgain) {
  TestServer server(echo_router());
  RawClient client(server.port());
  for (int i = 0; i < 5; ++i) {
    client.send(get("/hello"));
    const std::string response = client.response();
    EXPECT_EQ(status_of(response), 200);
    EXPECT_EQ(body_of(response), "hello");
    EXPECT_NE(response.find("Date: "), std::string::npos);
  }
  EXPECT_EQ(server.server->statistics().connections_accepted, 1U);
}

TEST(Server, AnswersPipelinedRequestsInOrder) {
  TestServer server(echo_router());
  RawClient client(server.port());
  client.send(get("/slow") + post("/echo", "two") + get("/large") + get("/hello") + get("/nothing"));
  EXPECT_EQ(body_of(client.response()), "slow");
  EXPECT_EQ(body_of(client.response()), "two");
  EXPECT_EQ(body_of(client.response()).size(), 3'000'000U);
  EXPECT_EQ(body_of(client.response()), "hello");
  EXPECT_EQ(status_of(client.response()), 404);
}

TEST(Server, SendsAnAnswerAlthoughALaterPipelinedRequestWaits) {
  Router router = echo_router();
  runtime::Latch release;
  router.get("/held", [&](const Context& ctx, Request&) {
    release.wait(ctx, "test");
    return Response::text(200, "held");
  });
  TestServer server(std::move(router));
  RawClient client(server.port());
  client.send(get("/hello") + get("/held"));
  EXPECT_EQ(body_of(client.response()), "hello");
  release.open();
  EXPECT_EQ(body_of(client.response()), "held");
}

TEST(Server, DropsAConnectionWithoutAnAnswerWhereAHandlerSaysSo) {
  Router router = echo_router();
  std::atomic<int> served = 0;
  router.get("/dropped", [&](const Context&, Request&) {
    ++served;
    return Response::dropped();
  });
  TestServer server(std::move(router));
  RawClient client(server.port());
  client.send(get("/hello") + get("/dropped") + get("/hello"));
  const std::string all = client.all();
  EXPECT_EQ(all.find("HTTP/1.1", 1), std::string::npos) << "one answer at most, that before it: " << all;
  EXPECT_EQ(served, 1);
  RawClient next(server.port());
  next.send(get("/hello"));
  EXPECT_EQ(status_of(next.response()), 200) << "and service goes on";
}

TEST(Server, ServesManyPipelinedRequestsSentInSmallCuts) {
  TestServer server(echo_router());
  RawClient client(server.port());
  std::string all;
  for (int i = 0; i < 300; ++i) all += post("/echo", "body " + std::to_string(i));
  for (std::size_t at = 0; at < all.size(); at += 997) client.send(std::string_view(all).substr(at, 997));
  for (int i = 0; i < 300; ++i) ASSERT_EQ(body_of(client.response()), "body " + std::to_string(i));
}

TEST(Server, ServesHttp10) {
  TestServer server(echo_router());
  RawClient closing(server.port());
  closing.send("GET /hello HTTP/1.0\r\n\r\n");
  const std::string response = closing.all();
  EXPECT_TRUE(closing.ended);
  EXPECT_EQ(body_of(response), "hello");
  EXPECT_NE(response.find("Connection: close"), std::string::npos);

  RawClient keeping(server.port());
  keeping.send("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_NE(keeping.response().find("Connection: keep-alive"), std::string::npos);
  keeping.send("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  const std::string stream = keeping.all();
  EXPECT_TRUE(keeping.ended);
  EXPECT_EQ(body_of(stream).size(), 20'000U * 43);
}

TEST(Server, TakesBodiesInEveryForm) {
  TestServer server(echo_router());
  RawClient client(server.port());
  const std::string large(500'000, 'b');
  client.send(post("/echo", large));
  EXPECT_EQ(body_of(client.response()), large);
  client.send(
      "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n "
      "world\r\n0\r\n\r\n");
  EXPECT_EQ(body_of(client.response()), "hello world");
  client.send(post("/count", std::string(5'000'000, 'c')));
  EXPECT_EQ(body_of(client.response()), "5000000");
  client.send(post("/count", ""));
  EXPECT_EQ(body_of(client.response()), "0");
}

TEST(Server, SaysContinueWhereItIsExpected) {
  TestServer server(echo_router());
  for (const std::string path : {"/echo", "/count"}) {
    RawClient client(server.port());
    client.send("POST " + path + " HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    EXPECT_EQ(client.until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hello");
    EXPECT_EQ(body_of(client.response()), path == "/echo" ? "hello" : "5");
    client.send(get("/hello"));
    EXPECT_EQ(body_of(client.response()), "hello");
  }
  RawClient refused(server.port());
  refused.send("POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 50000000\r\n\r\n");
  EXPECT_EQ(status_of(refused.response()), 413);
}

TEST(Server, ARefusedRequestLeavesItsConnectionUsable) {
  TestServer server(echo_router());
  RawClient client(server.port());
  client.send(post("/nothing", std::string(100'000, 'x')));
  EXPECT_EQ(status_of(client.response()), 404);
  client.send(post("/ignores", std::string(100'000, 'x')));
  EXPECT_EQ(body_of(client.response()), "ignored");
  client.send(get("/hello"));
  EXPECT_EQ(body_of(client.response()), "hello");
}

TEST(Server, TellsOfATooLargeBodyBeforeItCloses) {
  TestServer server(echo_router());
  RawClient client(server.port());
  client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n");
  client.send(std::string(2'000'000, 'x'));  // sent regardless; the answer must not be lost to a reset
  const std::string response = client.response();
  EXPECT_EQ(status_of(response), 413);
  EXPECT_NE(response.find("Connection: close"), std::string::npos);
  EXPECT_NE(response.find("application/problem+json"), std::string::npos);

  RawClient chunked(server.port());
  chunked.send("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (int i = 0; i < 20; ++i) chunked.send("10000\r\n" + std::string(0x10000, 'x') + "\r\n");
  EXPECT_EQ(status_of(chunked.response()), 413);
}

TEST(Server, RefusesMalformedRequestsWithAProblemAndCloses) {
  std::atomic<int> told = 0;
  ServerOptions options;
  options.on_refused = [&](std::string_view reason, int status) {
    EXPECT_EQ(reason, "bare_line_feed");
    EXPECT_EQ(status, 400);
    ++told;
  };
  TestServer server(echo_router(), std::move(options));
  RawClient client(server.port());
  client.send(get("/hello") + "GET /hello HTTP/1.1\nHost: x\n\n" + get("/hello"));
  EXPECT_EQ(status_of(client.response()), 200);
  const std::string refused = client.response();
  EXPECT_EQ(status_of(refused), 400);
  EXPECT_NE(refused.find("\"code\":\"bare_line_feed\""), std::string::npos) << refused;
  EXPECT_EQ(client.all(), "");
  EXPECT_TRUE(client.ended);
  EXPECT_EQ(told, 1);
}

TEST(Server, LeaksNothingOfAnUnknownException) {
  TestServer server(echo_router());
  RawClient client(server.port());
  client.send(get("/throws"));
  const std::string response = client.response();
  EXPECT_EQ(status_of(response), 500);
  EXPECT_EQ(response.find("secret"), std::string::npos);
  client.send(get("/hello"));
  EXPECT_EQ(status_of(client.response()), 200);
}

TEST(Server, AnswersHeadWithoutABody) {
  TestServer server(echo_router());
  RawClient client(server.port());
  client.send("HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_NE(client.until("\r\n\r\n").find("Content-Length: 5"), std::string::npos);
  client.send(get("/hello"));
  EXPECT_EQ(body_of(client.response()), "hello");
}

TEST(Server, StreamsInChunksToASlowReader) {
  TestServer server(echo_router());
  RawClient client(server.port(), 4096);
  client.send(get("/stream"));
  const std::string head = client.until("\r\n\r\n");
  EXPECT_NE(head.find("Transfer-Encoding: chunked"), std::string::npos);
  const std::string body = client.until("\r\n0\r\n\r\n");
  EXPECT_GT(body.size(), 20'000U * 43);
  client.send(get("/hello"));
  EXPECT_EQ(body_of(client.response()), "hello");
}

TEST(Server, AStreamThatBreaksIsSeenToBeBroken) {
  TestServer server(echo_router());
  RawClient early(server.port());
  early.send(get("/breaks"));
  EXPECT_EQ(status_of(early.response()), 503);
  RawClient late(server.port());
  late.send(get("/breaks?late"));
  const std::string all = late.all();
  EXPECT_EQ(status_of(all), 200);
  EXPECT_NE(all.find("first"), std::string::npos);
  EXPECT_EQ(all.find("\r\n0\r\n"), std::string::npos)
      << "no last chunk: the client must see that it isn't whole";
}

TEST(Server, GivesARequestItsContext) {
  TestServer server(echo_router());
  RawClient client(server.port());
  client.send(
      get("/who",
          "X-Request-Id: abc-1\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
          "X-Priority: background\r\nX-Request-Timeout: 2\r\n"));
  EXPECT_EQ(body_of(client.response()), "abc-1 0af7651916cd43dd8448eb211c80319c 127.0.0.1 2 2");
  client.send(get("/who", "X-Request-Id: a b\r\nX-Deadline: never\r\n"));
  const std::string response = client.response();
  EXPECT_EQ(response.find("a b"), std::string::npos);
  EXPECT_TRUE(body_of(response).ends_with(" 127.0.0.1 1 30")) << response;
  client.send(get("/who", "X-Deadline: 1000\r\n"));
  EXPECT_EQ(status_of(client.response()), 504) << "nothing works for a caller that has given up";
}

TEST(Server, CancelsTheRequestOfAClientThatHungUp) {
  Router router;
  runtime::Latch started;
  std::promise<bool> cancelled;
  router.get("/wait", [&](const Context& ctx, Request&) -> Response {
    started.open();
    try {
      runtime::sleep_for(ctx, 20s);
      cancelled.set_value(false);
    } catch (const Error& error) {
      cancelled.set_value(error.code() == ErrorCode::cancelled);
    }
    return Response(204);
  });
  TestServer server(std::move(router));
  RawClient client(server.port());
  client.send(get("/wait"));
  while (!started.is_open()) std::this_thread::yield();
  client.close();
  auto future = cancelled.get_future();
  ASSERT_EQ(future.wait_for(10s), std::future_status::ready);
  EXPECT_TRUE(future.get());
}

/// Two handlers whose clients hang up: one waits by its Context, the other works on regardless.
TEST(Server, CountsTheWorkThatWentOnForAClientThatHadGone) {
  Router router;
  runtime::Latch waits;
  runtime::Latch works;
  runtime::Latch may_end;
  std::atomic<bool> gone = false;
  router.get("/waits", [&](const Context& ctx, Request&) -> Response {
    waits.open();
    runtime::sleep_for(ctx, 20s);
    return Response(204);
  });
  router.get("/works", [&](const Context& ctx, Request&) -> Response {
    works.open();
    while (!ctx.cancelled()) runtime::yield();
    gone = true;
    may_end.wait(ctx.detached().with_timeout(20s), "test");
    return Response(204);
  });
  TestServer server(std::move(router));
  const auto until = [&](auto holds) {
    const auto give_up = std::chrono::steady_clock::now() + 5s;
    while (!holds() && std::chrono::steady_clock::now() < give_up) std::this_thread::yield();
    return holds();
  };
  const auto statistics = [&] { return server.server->statistics(); };
  RawClient first(server.port());
  first.send(get("/waits"));
  ASSERT_TRUE(until([&] { return waits.is_open(); }));
  first.close();
  EXPECT_TRUE(until([&] { return statistics().clients_gone == 1; })) << "cancelled, and so ended at once";
  EXPECT_EQ(statistics().ghost_work, 0u);

  RawClient second(server.port());
  second.send(get("/works"));
  ASSERT_TRUE(until([&] { return works.is_open(); }));
  second.close();
  ASSERT_TRUE(until([&] { return gone.load(); }));
  may_end.open();
  EXPECT_TRUE(until([&] { return statistics().clients_gone == 2; }));
  EXPECT_EQ(statistics().ghost_work, 1u);
}

TEST(Server, AnswersAClientThatHasFinishedSending) {
  TestServer server(echo_router());
  RawClient client(server.port());
  client.send(get("/hello") + get("/hello"));
  client.finish_sending();
  const std::string all = client.all();
  EXPECT_TRUE(client.ended);
  EXPECT_EQ(status_of(all), 200);
  EXPECT_NE(all.find("hello", all.find("hello") + 5), std::string::npos) << all;
}

TEST(Server, CutsOffSlowSenders) {
  // Each with the other limits as they are: this thread may be late with what it does send.
  ServerOptions impatient_with_heads;
  impatient_with_heads.limits.head_timeout = 60ms;
  TestServer for_heads(echo_router(), impatient_with_heads);
  RawClient head(for_heads.port());
  head.send("GET /hello HT");
  EXPECT_NE(head.all().find("head_too_slow"), std::string::npos);
  ServerOptions impatient_with_bodies;
  impatient_with_bodies.limits.body_rate_window = 50ms;
  TestServer for_bodies(echo_router(), impatient_with_bodies);
  RawClient body(for_bodies.port());
  body.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc");
  EXPECT_NE(body.all().find("body_too_slow"), std::string::npos);
  RawClient stream(for_bodies.port());
  stream.send("POST /count HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc");
  EXPECT_NE(stream.all().find("body_too_slow"), std::string::npos);
  ServerOptions impatient_with_silence;
  impatient_with_silence.limits.idle_timeout = 1s;
  TestServer for_silence(echo_router(), impatient_with_silence);
  RawClient idle(for_silence.port());
  idle.send(get("/hello"));
  EXPECT_EQ(body_of(idle.response()), "hello");
  EXPECT_EQ(idle.all(), "");
  EXPECT_TRUE(idle.ended);
}

TEST(Server, ShedsWhatIsTooMuchAndKeepsTheConnection) {
  Router router = echo_router();
  runtime::Latch release;
  router.post("/held", [&](const Context& ctx, Request&) {
    release.wait(ctx, "test");
    return Response::text(200, "held");
  });
  ServerOptions options;
  options.limits.max_requests_in_flight_per_loop = 1;
  options.limits.max_connections_per_loop = 2;
  TestServer server(std::move(router), options);
  RawClient first(server.port());
  first.send(post("/held", "x"));
  while (server.server->statistics().requests_in_flight == 0) std::this_thread::yield();
  RawClient second(server.port());
  second.send(post("/echo", "shed me"));
  const std::string shed = second.response();
  EXPECT_EQ(status_of(shed), 503);
  EXPECT_NE(shed.find("Retry-After"), std::string::npos);
  RawClient third(server.port());
  third.send(get("/hello"));
  EXPECT_NE(third.all().find("too_many_connections"), std::string::npos);
  release.open();
  EXPECT_EQ(body_of(first.response()), "held");
  second.send(post("/echo", "served"));
  EXPECT_EQ(body_of(second.response()), "served");
}

TEST(Server, DrainsWithoutLosingAnything) {
  ServerOptions options;
  options.limits.drain_idle_grace = 2s;  // this thread may be late
  Router router = echo_router();
  runtime::Latch release;
  router.get("/held", [&](const Context& ctx, Request&) {
    release.wait(ctx, "test");
    return Response::text(200, "held");
  });
  TestServer server(std::move(router), options);
  RawClient busy(server.port());
  RawClient idle(server.port());
  RawClient silent(server.port());
  busy.send(get("/held"));
  idle.send(get("/hello"));
  EXPECT_EQ(body_of(idle.response()), "hello");
  while (server.server->statistics().requests_in_flight == 0) std::this_thread::yield();
  RawClient queued(server.port());  // connected, perhaps not yet accepted
  server.begin_drain();
  queued.send(get("/hello"));
  EXPECT_EQ(body_of(queued.response()), "hello");
  idle.send(get("/hello"));
  const std::string last = idle.response();
  EXPECT_EQ(body_of(last), "hello");
  EXPECT_EQ(silent.all(), "");
  EXPECT_TRUE(silent.ended);
  release.open();
  const std::string held = busy.response();
  EXPECT_EQ(body_of(held), "held");
  EXPECT_NE(held.find("Connection: close"), std::string::npos);
  busy.close();
  EXPECT_TRUE(server.drained());
  EXPECT_FALSE(RawClient(server.port()).connected);
}

TEST(Server, DrainHasAHardLimit) {
  Router router;
  router.get("/wait", [&](const Context& ctx, Request&) -> Response {
    runtime::sleep_for(ctx, 20s);
    return Response(204);
  });
  TestServer server(std::move(router));
  server.drain_limit = 150ms;
  RawClient client(server.port());
  client.send(get("/wait"));
  while (server.server->statistics().requests_in_flight == 0) std::this_thread::yield();
  server.begin_drain();
  EXPECT_FALSE(server.drained());
}

TEST(Server, AcceptsNoRequestLessWhileItStops) {
  // Clients that connect as fast as they can while the server stops: who connected gets an answer.
  for (int round = 0; round < 2; ++round) {
    TestServer server(echo_router(), {}, 2);
    std::atomic<int> lost = 0;
    std::atomic<int> served = 0;
    std::atomic<bool> go_on = true;
    std::thread clients([&] {
      while (go_on) {
        RawClient client(server.port());
        if (!client.connected) break;
        client.send(get("/hello", "Connection: close\r\n"));
        ++(status_of(client.all()) == 200 ? served : lost);
      }
    });
    while (served < 20) std::this_thread::yield();
    server.begin_drain();
    EXPECT_TRUE(server.drained());
    go_on = false;
    clients.join();
    EXPECT_EQ(lost, 0) << "after " << served;
  }
}

}  // namespace
}  // namespace holdfast::http
