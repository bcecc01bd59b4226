// The middlewares together, in the order docs/architecture.md states, over a real socket.
#include <gtest/gtest.h>

#include <mutex>
#include <string>
#include <vector>

#include "holdfast/http/compression.hpp"
#include "holdfast/http/conditional.hpp"
#include "holdfast/http/cors.hpp"
#include "holdfast/http/identity.hpp"
#include "holdfast/http/observed.hpp"
#include "holdfast/http/problem.hpp"
#include "holdfast/http/security_headers.hpp"
#include "holdfast/http/testing/test_server.hpp"

namespace holdfast::http {
namespace {

using testing::body_of;
using testing::RawClient;
using testing::status_of;
using testing::TestServer;

class StackTest : public ::testing::Test {
 protected:
  StackTest() {
    Router router;
    router.use(request_identity());
    router.use(observed([this](const Context& ctx, const RequestRecord& record) {
      const std::lock_guard lock(mutex_);
      records_.push_back(ctx.request_id() + " " + std::string(record.method) + " " +
                         std::string(record.route) + " " + std::to_string(record.status));
    }));
    router.use(problem_details());
    router.use(cors({.origins = {"https://shop.example"}}));
    router.use(compression());
    router.use(conditional_get());
    router.use(security_headers());
    router.get("/v1/list", [](const Context&, Request&) {
      return Response::json(200, "[" + std::string(4000, '1') + "]");
    });
    router.post("/v1/list", [](const Context&, Request&) -> Response {
      throw Error(ErrorCode::conflict, "It is taken.").reason("taken").cause("row 7 of shard 3");
    });
    server_ = std::make_unique<TestServer>(std::move(router));
    client_ = std::make_unique<RawClient>(server_->port());
  }

  std::string ask(std::string_view line, std::string_view headers = "") {
    client_->send(std::string(line) + " HTTP/1.1\r\nHost: x\r\nX-Request-Id: r1\r\n" + std::string(headers) +
                  "\r\n");
    return client_->response();
  }
  static std::string header(std::string_view response, std::string_view name) {
    const std::size_t at = response.find("\r\n" + std::string(name) + ": ");
    if (at == std::string_view::npos) return "";
    response.remove_prefix(at + name.size() + 4);
    return std::string(response.substr(0, response.find("\r\n")));
  }
  std::vector<std::string> records() {
    const std::lock_guard lock(mutex_);
    return records_;
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> records_;
  std::unique_ptr<TestServer> server_;
  std::unique_ptr<RawClient> client_;
};

TEST_F(StackTest, AnAnswerHasPassedThemAll) {
  const std::string first = ask("GET /v1/list", "Accept-Encoding: gzip\r\nOrigin: https://shop.example\r\n");
  EXPECT_EQ(status_of(first), 200);
  EXPECT_EQ(header(first, "X-Request-Id"), "r1");
  EXPECT_EQ(header(first, "Content-Encoding"), "gzip");
  EXPECT_EQ(header(first, "Access-Control-Allow-Origin"), "https://shop.example");
  EXPECT_EQ(header(first, "X-Content-Type-Options"), "nosniff");
  EXPECT_LT(body_of(first).size(), 500U);
  const std::string tag = header(first, "ETag");
  const std::string second = ask("GET /v1/list", "Accept-Encoding: gzip\r\nIf-None-Match: " + tag + "\r\n");
  EXPECT_EQ(status_of(second), 304);
  EXPECT_EQ(body_of(second), "");
  EXPECT_EQ(records(), (std::vector<std::string>{"r1 GET /v1/list 200", "r1 GET /v1/list 304"}));
}

TEST_F(StackTest, RefusalsOfEveryOriginAreProblemsAndAreRecorded) {
  const std::string conflict = ask("POST /v1/list", "Content-Length: 0\r\n");
  EXPECT_EQ(status_of(conflict), 409);
  EXPECT_NE(conflict.find("\"code\":\"taken\""), std::string::npos);
  EXPECT_EQ(conflict.find("shard"), std::string::npos);
  EXPECT_EQ(status_of(ask("GET /nothing")), 404);
  const std::string method = ask("PUT /v1/list", "Content-Length: 0\r\n");
  EXPECT_EQ(status_of(method), 405);
  EXPECT_EQ(header(method, "Allow"), "GET, HEAD, POST, OPTIONS");
  EXPECT_NE(method.find("\"requestId\":\"r1\""), std::string::npos) << method;
  EXPECT_EQ(status_of(ask("POST /v1/list", "Content-Length: 90000000\r\n")), 413);
  EXPECT_EQ(records(), (std::vector<std::string>{"r1 POST /v1/list 409", "r1 GET (none) 404",
                                                 "r1 PUT (none) 405", "r1 POST /v1/list 413"}));
}

}  // namespace
}  // namespace holdfast::http
