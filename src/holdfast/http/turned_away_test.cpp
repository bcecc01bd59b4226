// What ServerOptions::turns_away promises, over real connections.
#include <gmock/gmock.h>

#include <atomic>
#include <optional>
#include <string>
#include <thread>

#include "holdfast/http/testing/test_server.hpp"
#include "holdfast/runtime/sync.hpp"

namespace holdfast::http {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::status_of;

class TurnedAway : public ::testing::Test {
 protected:
  TurnedAway() {
    Router router;
    router.use([this](const Context& ctx, Request& request, const Next& next) {
      ++seen_;
      return next(ctx, request);
    });
    const auto echo = [](const Context&, Request& request) {
      return Response::text(200, std::string(request.body));
    };
    router.get("/thing", echo);
    router.post("/thing", echo);
    router.post("/stream",
                [](const Context& ctx, Request& request) {
                  std::string all;
                  for (std::string_view part = request.body_reader->read(ctx); !part.empty();
                       part = request.body_reader->read(ctx))
                    all += part;
                  return Response::text(200, std::to_string(all.size()));
                },
                {.streaming_body = true});
    ServerOptions options;
    options.limits.max_discarded_bytes = 64 * 1024;
    options.turns_away = [this](const Request& request) -> std::optional<Duration> {
      ++asked_;
      EXPECT_NE(request.route, nullptr);
      if (!full_) return std::nullopt;
      return wait_;
    };
    server_.emplace(std::move(router), std::move(options));
  }

  std::atomic<bool> full_ = true;
  std::atomic<Duration> wait_ = Duration(1500ms);
  std::atomic<int> asked_ = 0;
  std::atomic<int> seen_ = 0;
  std::optional<testing::TestServer> server_;
};

TEST_F(TurnedAway, IsAnsweredWhenToComeAgainAndNoMiddlewareSeesIt) {
  testing::RawClient client(server_->port());
  client.send("GET /thing HTTP/1.1\r\nHost: x\r\n\r\n");
  const std::string refused = client.response();
  EXPECT_EQ(status_of(refused), 503);
  EXPECT_THAT(refused, HasSubstr("Retry-After: 2\r\n"));
  EXPECT_THAT(refused, HasSubstr("application/problem+json"));
  EXPECT_THAT(refused, HasSubstr("\"overloaded\""));
  EXPECT_THAT(refused, Not(HasSubstr("Connection: close")));
  EXPECT_EQ(seen_, 0);
  wait_ = Duration(1ms);
  client.send("GET /thing HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(client.response(), HasSubstr("Retry-After: 1\r\n")) << "never 0";
  EXPECT_EQ(server_->server->statistics().requests_shed, 2U);
  EXPECT_EQ(server_->server->statistics().requests_in_flight, 0U);
  full_ = false;
  client.send("GET /thing HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(status_of(client.response()), 200) << "the connection stays usable";
  EXPECT_EQ(seen_, 1);
  EXPECT_EQ(asked_, 3);
}

TEST_F(TurnedAway, IsNotAskedAboutWhatIsRefusedForItsOwnSake) {
  testing::RawClient client(server_->port());
  client.send("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(status_of(client.response()), 404);
  client.send("DELETE /thing HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(status_of(client.response()), 405);
  client.send("POST /thing HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n");
  EXPECT_EQ(status_of(client.response()), 413);
  EXPECT_EQ(asked_, 0);
}

TEST_F(TurnedAway, ABodyIsNotTakenForTheNextRequest) {
  testing::RawClient client(server_->port());
  const std::string trap = "GET /trap HTTP/1.1\r\nHost: x\r\n\r\n";
  client.send("POST /thing HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(trap.size()) +
              "\r\n\r\n" + trap);
  EXPECT_EQ(status_of(client.response()), 503);
  client.send("POST /thing HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
  EXPECT_EQ(status_of(client.response()), 503);
  full_ = false;
  client.send("POST /thing HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi");
  const std::string served = client.response();
  EXPECT_EQ(status_of(served), 200);
  EXPECT_THAT(served, ::testing::EndsWith("hi"));
  EXPECT_EQ(server_->server->statistics().requests_shed, 2U);
}

TEST_F(TurnedAway, AStreamedBodyIsNotWaitedForAndItsConnectionGoesOn) {
  testing::RawClient client(server_->port());
  client.send("POST /stream HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n");
  EXPECT_EQ(status_of(client.response()), 503) << "before a byte of its body has come";
  client.send(std::string(20000, 'x'));
  full_ = false;
  client.send("POST /stream HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
  const std::string served = client.response();
  EXPECT_EQ(status_of(served), 200);
  EXPECT_THAT(served, ::testing::EndsWith("5"));
}

TEST_F(TurnedAway, ABodyThatIsTooLargeToReadForNothingEndsTheConnection) {
  testing::RawClient client(server_->port());
  client.send("POST /stream HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n");
  const std::string refused = client.response();
  EXPECT_EQ(status_of(refused), 503);
  client.send(std::string(1000000, 'x'));
  client.all();
  EXPECT_TRUE(client.ended);
}

TEST_F(TurnedAway, WhoAsksToCloseIsClosed) {
  testing::RawClient client(server_->port());
  client.send("GET /thing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const std::string refused = client.all();
  EXPECT_EQ(status_of(refused), 503);
  EXPECT_THAT(refused, HasSubstr("Connection: close"));
  EXPECT_TRUE(client.ended);
}

TEST_F(TurnedAway, PipelinedRequestsAreEachAnsweredInOrder) {
  testing::RawClient client(server_->port());
  std::string three;
  for (int i = 0; i < 3; ++i) three += "GET /thing HTTP/1.1\r\nHost: x\r\n\r\n";
  client.send(three);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(status_of(client.response()), 503);
  EXPECT_EQ(asked_, 3);
}

}  // namespace
}  // namespace holdfast::http
