#include "holdfast/http/client.hpp"

#include <gtest/gtest.h>

#include <atomic>

#include "holdfast/http/testing/test_server.hpp"
#include "holdfast/runtime/fiber.hpp"

namespace holdfast::http {
namespace {

using namespace std::chrono_literals;

Router echo() {
  Router router;
  router.post("/echo", [](const Context&, Request& request) {
    return Response::text(201, std::string(request.body)).set("X-Seen", request.header("X-Given"));
  });
  router.get("/headers", [](const Context&, Request& request) {
    std::string all;
    for (const Header& header : request.headers)
      all.append(header.name).append(": ").append(header.value).append("\n");
    return Response::text(200, all);
  });
  router.get("/large",
             [](const Context&, Request&) { return Response::text(200, std::string(3'000'000, 'x')); });
  router.get("/wait", [](const Context& ctx, Request&) {  // past its deadline, until the client hangs up
    runtime::sleep_for(ctx.detached().with_cancellation(ctx.cancellation()), 10s);
    return Response(204);
  });
  router.remove("/thing", [](const Context&, Request&) { return Response(204); });
  return router;
}

class ClientTest : public ::testing::Test {
 protected:
  /// Runs `body` on a fiber of a runtime that is not the server's.
  void run(const std::function<void(const Context&, Client&)>& body, ClientOptions options = {}) {
    runtime::Runtime runtime({.loops = 2}, clock, random);
    options.connect_timeout = 20s;  // TLS counts, and the machine of a test may be busy
    runtime.run([&](const Context& ctx) {
      Client client(runtime, options);
      body(ctx.with_timeout(30s), client);
    });
  }
  std::string url(std::string_view path) const {
    return "http://127.0.0.1:" + std::to_string(server.port()) + std::string(path);
  }
  static Error failure(const std::function<void()>& call) {
    try {
      call();
    } catch (const Error& error) {
      return error;
    }
    return Error(ErrorCode::internal, "nothing was thrown");
  }

  testing::TestServer server{echo()};
  SystemClock clock;
  SystemRandom random;
};

TEST_F(ClientTest, ConnectsToPublicAddressesOnlyWhereItIsToldSo) {
  run(
      [&](const Context& ctx, Client& client) {
        for (const std::string host :
             {"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433"}) {
          const Error refused = failure([&] {
            client.send(ctx, {.url = "http://" + host + ":" + std::to_string(server.port()) + "/headers"});
          });
          EXPECT_EQ(refused.reason(), "address_refused") << host;
          EXPECT_EQ(refused.code(), ErrorCode::permission_denied) << host;
        }
      },
      {.refuse_private_addresses = true});
  EXPECT_EQ(server.server->statistics().connections_accepted, 0U);
}

TEST_F(ClientTest, SendsAndReceives) {
  run([&](const Context& ctx, Client& client) {
    for (int i = 0; i < 3; ++i) {
      const ClientResponse answer = client.send(ctx, {.method = Method::post,
                                                      .url = url("/echo"),
                                                      .headers = {{"X-Given", "yes"}},
                                                      .body = "hello " + std::to_string(i)});
      EXPECT_EQ(answer.status, 201);
      EXPECT_EQ(answer.body, "hello " + std::to_string(i));
      EXPECT_EQ(answer.header("x-seen"), "yes");
    }
    EXPECT_EQ(client.send(ctx, {.url = url("/nothing")}).status, 404);
    EXPECT_EQ(client.send(ctx, {.method = Method::delete_, .url = url("/thing")}).status, 204);
    EXPECT_EQ(client.send(ctx, {.method = Method::head, .url = url("/large")}).status, 200);
    const std::string large(2'000'000, 'y');
    EXPECT_EQ(client.send(ctx, {.method = Method::post, .url = url("/echo"), .body = large}).status, 413);
  });
  EXPECT_LE(server.server->statistics().connections_accepted, 3U) << "connections are used again";
}

TEST_F(ClientTest, CarriesTheContextAlong) {
  run([&](const Context& ctx, Client& client) {
    const auto trace = observe::TraceContext::start(random);
    const Context given = ctx.with_request_id("req-7").with_trace(trace).with_priority(Priority::background);
    const std::string seen = client.send(given, {.url = url("/headers")}).body;
    EXPECT_NE(seen.find("X-Request-Id: req-7"), std::string::npos) << seen;
    EXPECT_NE(seen.find("traceparent: 00-" + trace.trace_id_hex()), std::string::npos);
    EXPECT_NE(seen.find("X-Deadline: "), std::string::npos);
    EXPECT_NE(seen.find("X-Priority: background"), std::string::npos);
  });
}

TEST_F(ClientTest, ManyAtOnceShareFewConnections) {
  run(
      [&](const Context& ctx, Client& client) {
        std::atomic<int> good = 0;
        runtime::FiberGroup group(ctx);
        for (int i = 0; i < 24; ++i) {
          group.spawn("ask", [&](const Context& inner) {
            good +=
                client.send(inner, {.url = url("/large"), .timeout = 30s}).body.size() == 3'000'000 ? 1 : 0;
          });
        }
        group.wait();
        EXPECT_EQ(good, 24);
      },
      {.max_connections_per_host = 4});
  EXPECT_LE(server.server->statistics().connections_accepted, 4U);
}

TEST_F(ClientTest, EndsWithItsDeadlineOrCancellation) {
  run([&](const Context& ctx, Client& client) {
    const Error late = failure([&] { client.send(ctx.with_timeout(50ms), {.url = url("/wait")}); });
    EXPECT_EQ(late.code(), ErrorCode::deadline_exceeded);
    const Error own = failure([&] { client.send(ctx, {.url = url("/wait"), .timeout = 50ms}); });
    EXPECT_EQ(own.code(), ErrorCode::deadline_exceeded);
    EXPECT_NE(own.cause().find("127.0.0.1"), std::string::npos);
    runtime::CancellationSource source(ctx.cancellation());
    runtime::FiberGroup group(ctx);
    group.spawn("cancel", [&](const Context& inner) {
      runtime::sleep_for(inner, 50ms);
      source.cancel();
    });
    const Error stopped =
        failure([&] { client.send(ctx.with_cancellation(source.token()), {.url = url("/wait")}); });
    EXPECT_EQ(stopped.code(), ErrorCode::cancelled);
    EXPECT_EQ(client.send(ctx, {.url = url("/headers")}).status, 200) << "and goes on working";
  });
}

TEST_F(ClientTest, SaysWhatFailed) {
  run([&](const Context& ctx, Client& client) {
    EXPECT_EQ(failure([&] { client.send(ctx, {.url = url("/large"), .max_response_bytes = 1000}); }).reason(),
              "response_too_large");
    const Error refused = failure([&] { client.send(ctx, {.url = "http://127.0.0.1:1/"}); });
    EXPECT_EQ(refused.reason(), "connection_failed");
    EXPECT_EQ(refused.code(), ErrorCode::unavailable);
    EXPECT_NE(refused.cause().find("127.0.0.1:1"), std::string::npos) << refused.cause();
    EXPECT_EQ(failure([&] { client.send(ctx, {.url = "ftp://127.0.0.1/"}); }).reason(), "bad_url");
    EXPECT_EQ(failure([&] {
                client.send(ctx, {.url = "https://127.0.0.1:" + std::to_string(server.port()) + "/"});
              }).reason(),
              "tls_failed");
  });
}

/// Of a process that stands still for two seconds before each look at it.
class LeapingClock final : public Clock {
 public:
  Instant now() const noexcept override { return Instant(2s * ++looks_); }
  WallTime wall_now() const noexcept override { return WallTime(); }

 private:
  mutable std::atomic<std::int64_t> looks_ = 0;
};

TEST(ClientSending, NothingIsSentOnceItsTimeIsOver) {
  std::atomic<int> received = 0;
  Router router;
  router.post("/book", [&](const Context&, Request&) {
    ++received;
    return Response(204);
  });
  testing::TestServer server{std::move(router)};
  LeapingClock clock;
  SystemRandom random;
  runtime::Runtime runtime({.loops = 1}, clock, random);
  runtime.run([&](const Context& ctx) {
    Client client(runtime, {});
    const std::string url = "http://127.0.0.1:" + std::to_string(server.port()) + "/book";
    try {
      client.send(ctx, {.method = Method::post, .url = url, .timeout = 1s});
      ADD_FAILURE() << "it was answered";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::deadline_exceeded) << error.what();
    }
  });
  EXPECT_EQ(received, 0);
}

TEST(ClientSending, APostIsNotSentAgainWhereItsConnectionEndsWithoutAnAnswer) {
  std::atomic<int> arrived{0};
  Router router;
  router.get("/hello", [](const Context&, Request&) { return Response(204); });
  router.post("/order", [&arrived](const Context&, Request&) {
    ++arrived;
    return Response::dropped();
  });
  testing::TestServer server(std::move(router));
  const std::string url = "http://127.0.0.1:" + std::to_string(server.port());
  SystemClock clock;
  SystemRandom random;
  runtime::Runtime runtime({.loops = 1}, clock, random);
  runtime.run([&](const Context& ctx) {
    Client client(runtime, {});
    const auto send_on_a_kept_connection = [&](std::vector<ResponseHeader> headers, std::string body) {
      client.send(ctx.with_timeout(8s), {.url = url + "/hello"});
      try {
        client.send(ctx.with_timeout(8s), {.method = Method::post,
                                           .url = url + "/order",
                                           .headers = std::move(headers),
                                           .body = std::move(body)});
        ADD_FAILURE() << "there was an answer";
      } catch (const Error& error) {
        EXPECT_EQ(error.reason(), "connection_lost");
      }
      return arrived.exchange(0);
    };
    EXPECT_EQ(send_on_a_kept_connection({}, "1 mug"), 1);
    EXPECT_EQ(send_on_a_kept_connection({}, ""), 1);
    EXPECT_GE(send_on_a_kept_connection({{"Idempotency-Key", "k"}}, "1 mug"), 2);  // does no harm
  });
}

}  // namespace
}  // namespace holdfast::http
