#include "holdfast/http/router.hpp"

#include <gtest/gtest.h>

#include "holdfast/http/request.hpp"

namespace holdfast::http {
namespace {

Handler saying(std::string text) {
  return [text = std::move(text)](const Context&, Request& request) {
    std::string body = text;
    for (const PathParameter& parameter : request.path_parameters) {
      body.append(" ").append(parameter.name).append("=").append(parameter.value);
    }
    return Response::text(200, body);
  };
}

class RouterTest : public ::testing::Test {
 protected:
  Response ask(Method method, std::string_view target) {
    router.seal();
    Request request;
    request.method = method;
    EXPECT_TRUE(request.set_target(target)) << target;
    return router.handle(ctx, request);
  }
  std::string body(Method method, std::string_view target) {
    try {
      return ask(method, target).body;
    } catch (const Error& error) {
      return std::string(error.reason());
    }
  }

  ManualClock clock;
  Context ctx{clock};
  Router router;
};

TEST_F(RouterTest, FindsLiteralsParametersAndTheRest) {
  router.get("/", saying("root"));
  router.get("/v1/orders", saying("list"));
  router.get("/v1/orders/{id}", saying("one"));
  router.get("/v1/orders/{id}/events", saying("events"));
  router.post("/v1/orders/batch", saying("batch"));
  router.get("/files/{path...}", saying("file"));

  EXPECT_EQ(body(Method::get, "/"), "root");
  EXPECT_EQ(body(Method::get, "/v1/orders?status=new"), "list");
  EXPECT_EQ(body(Method::get, "/v1/orders/ord_1"), "one id=ord_1");
  EXPECT_EQ(body(Method::get, "/v1/orders/ord_1/events"), "events id=ord_1");
  EXPECT_EQ(body(Method::post, "/v1/orders/batch"), "batch");
  EXPECT_EQ(body(Method::get, "/v1/orders/batch"), "one id=batch");  // the literal has no GET
  EXPECT_EQ(body(Method::get, "/files/a/b%20c"), "file path=a/b c");
  EXPECT_EQ(body(Method::get, "/v1/orders/"), "no_such_route");
  EXPECT_EQ(body(Method::get, "/v1/orders/a/b"), "no_such_route");
  EXPECT_EQ(body(Method::get, "/v2/orders"), "no_such_route");
  EXPECT_EQ(body(Method::get, std::string(200, '/')), "no_such_route");
}

TEST_F(RouterTest, DecodesAParameterAfterSplitting) {
  router.get("/skus/{sku}", saying("sku"));
  EXPECT_EQ(body(Method::get, "/skus/a%2Fb"), "sku sku=a/b");
  EXPECT_EQ(body(Method::get, "/skus/%C3%A9"), "sku sku=\xC3\xA9");
}

TEST_F(RouterTest, SaysWhichMethodsAPathTakes) {
  router.get("/things/{id}", saying("get"));
  router.remove("/things/{id}", saying("delete"));
  const Response refused = ask(Method::put, "/things/1");
  EXPECT_EQ(refused.status, 405);
  EXPECT_EQ(refused.header("allow"), "GET, HEAD, DELETE, OPTIONS");
  const Response options = ask(Method::options, "/things/1");
  EXPECT_EQ(options.status, 204);
  EXPECT_EQ(options.header("Allow"), "GET, HEAD, DELETE, OPTIONS");
  EXPECT_EQ(ask(Method::head, "/things/1").status, 200);
  EXPECT_EQ(body(Method::options, "/nothing"), "no_such_route");
  EXPECT_EQ(ask(Method::options, "*").status, 204);
}

TEST_F(RouterTest, RunsMiddlewaresInTheStatedOrder) {
  const auto naming = [](std::string name) {
    return [name](const Context& ctx, Request& request, const Next& next) {
      Response response = next(ctx, request);
      response.body.append("<").append(name);
      return response;
    };
  };
  router.use(naming("first"));
  router.use(naming("second"));
  router.get("/x", saying("x"), {}, {naming("own")});
  EXPECT_EQ(body(Method::get, "/x"), "x<own<second<first");
  EXPECT_TRUE(ask(Method::post, "/x").body.ends_with("<second<first")) << "a 405 passes the global ones";
}

TEST_F(RouterTest, StaysValidWhenMovedAfterSealing) {
  router.get("/x", saying("x"));
  router.seal();
  Router moved = std::move(router);
  Request request;
  request.method = Method::post;
  ASSERT_TRUE(request.set_target("/x"));
  EXPECT_EQ(moved.handle(ctx, request).status, 405);
}

TEST_F(RouterTest, RefusesConflictsWhereTheyAreMade) {
  router.get("/a/{id}", saying(""));
  const auto refused = [&](Method method, std::string pattern, RouteInfo info = {}) {
    try {
      router.add(method, std::move(pattern), saying(""), std::move(info));
    } catch (const Error& error) {
      return error.detail();
    }
    return std::string("accepted");
  };
  EXPECT_EQ(refused(Method::get, "/a/{id}"), "Route '/a/{id}' is taken for GET by '/a/{id}'.");
  EXPECT_EQ(refused(Method::post, "/a/{key}"), "Route '/a/{key}' names {key} what '/a/{id}' names {id}.");
  EXPECT_EQ(refused(Method::get, "a"), "Route 'a' must begin with '/' and have at most 32 segments.");
  EXPECT_EQ(refused(Method::get, "/a//b"), "Route '/a//b' has an empty segment.");
  EXPECT_EQ(refused(Method::get, "/a/x{id}"),
            "Route '/a/x{id}' must have a parameter alone in its segment: '/{name}/'.");
  EXPECT_EQ(refused(Method::get, "/r/{rest...}/b"), "Route '/r/{rest...}/b' has segments after '{name...}'.");
  EXPECT_EQ(refused(Method::get, "/z", {.name = "getAId"}),
            "Route '/z' has the name 'getAId', which '/a/{id}' has.");
}

TEST(Request, RefusesTargetsThatCouldBeReadInTwoWays) {
  for (const std::string_view target : {"", "x", "/a/../b", "/a/%2e%2e/b", "/.", "/a%00", "/a%0d", "/%zz",
                                        "/%4", "/%", "/%C0%AF", "/%FF", "/a#b", "http://"}) {
    Request request;
    const bool accepted = request.set_target(target);
    EXPECT_FALSE(accepted && target != "http://") << target;
  }
  Request request;
  EXPECT_TRUE(request.set_target("http://example.com/x?y=1"));
  EXPECT_EQ(request.path, "/x");
  EXPECT_EQ(request.query_string, "y=1");
}

TEST(Request, ReadsQueryParameters) {
  Request request;
  ASSERT_TRUE(request.set_target("/x?a=1&b=two+words&c=%C3%A9&a=3&&d"));
  EXPECT_EQ(request.query("a"), "1");
  EXPECT_EQ(request.query("b"), "two words");
  EXPECT_EQ(request.query("c"), "\xC3\xA9");
  EXPECT_EQ(request.query("d"), "");
  EXPECT_EQ(request.query("e"), std::nullopt);
  EXPECT_EQ(request.query_parameters().size(), 5U);
  ASSERT_TRUE(request.set_target("/x?a=%f"));
  EXPECT_THROW(static_cast<void>(request.query("a")), Error);
}

TEST(Response, HeadersCanNotBeSplit) {
  Response response(200);
  response.set("X-Name", "a\r\nSet-Cookie: b");
  EXPECT_EQ(response.header("x-name"), "a  Set-Cookie: b");
  response.add_token("Vary", "Origin");
  response.add_token("Vary", "origin");
  response.add_token("Vary", "Accept-Encoding");
  EXPECT_EQ(response.header("Vary"), "Origin, Accept-Encoding");
}

}  // namespace
}  // namespace holdfast::http
