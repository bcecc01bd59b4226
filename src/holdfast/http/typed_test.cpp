#include "holdfast/http/typed.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "holdfast/base/clock.hpp"
#include "holdfast/base/id.hpp"

namespace holdfast::http::typed_test {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

struct ItemPath {
  Id<"itm"> id;
};
HOLDFAST_DESCRIBE(ItemPath, (id))

enum class Sort { name, price };
HOLDFAST_DESCRIBE_ENUM(Sort, name, price)

struct ItemQuery {
  std::int32_t limit = 20;
  std::optional<Sort> sort_by;
  std::vector<std::string> fields;
  std::optional<bool> archived;
  static constexpr auto rules() {
    return holdfast::rules(field<&ItemQuery::limit>().range(1, 200).defaulted(),
                           field<&ItemQuery::fields>().size(0, 3).length(1, 10).defaulted());
  }
};
HOLDFAST_DESCRIBE(ItemQuery, (limit, sort_by, fields, archived))

struct NewItem {
  std::string sku;
  std::int64_t price = 0;
  static constexpr auto rules() {
    return holdfast::rules(field<&NewItem::sku>().length(1, 8), field<&NewItem::price>().range(0, 1'000));
  }
};
HOLDFAST_DESCRIBE(NewItem, (sku, price))

constexpr std::string_view kId = "itm_01jz3s4m5e6f7g8h9jakbmcndp";

class Typed : public testing::Test {
 protected:
  Typed() : ctx_(Context(clock_).with_request_id("req-1")) { router_.use(problem_details()); }

  Response call(Method method, std::string target, std::string body = {},
                std::string type = "application/json", std::vector<Header> more = {}) {
    router_.seal();
    target_ = std::move(target);
    body_ = std::move(body);
    type_ = std::move(type);
    Request request;
    request.method = method;
    EXPECT_TRUE(request.set_target(target_));
    request.body = body_;
    if (!type_.empty()) request.headers.push_back({"content-type", type_});
    for (const Header& header : more) request.headers.push_back(header);
    return router_.handle(ctx_, request);
  }

  static std::vector<std::string> faults(const Response& response) {
    std::vector<std::string> found;
    const auto problem = from_json<Problem>(response.body);
    for (const auto& fault : problem.errors.value_or(std::vector<ProblemFault>())) {
      found.push_back(fault.pointer + " " + fault.code);
    }
    return found;
  }

  ManualClock clock_;
  Context ctx_;
  Router router_;
  std::string target_, body_, type_;
};

TEST_F(Typed, ReadsPathQueryAndBodyAndAnswersInJson) {
  route(router_, Method::post, "/items/{id}", {},
        [](const Context& ctx, Path<ItemPath> path, Query<ItemQuery> query,
           Body<NewItem> body) -> Created<NewItem> {
          EXPECT_EQ(ctx.request_id(), "req-1");
          EXPECT_EQ(path->id.text(), kId);
          EXPECT_EQ(query->limit, 5);
          EXPECT_EQ(query->sort_by, Sort::price);
          EXPECT_THAT(query->fields, ElementsAre("sku", "name"));
          EXPECT_EQ(query->archived, std::nullopt);
          EXPECT_EQ(body.raw, R"( {"price":3,"sku":"A"} )");
          return {body.value, "/items/" + path->id.text()};
        });
  const Response response =
      call(Method::post, "/items/" + std::string(kId) + "?limit=5&sortBy=price&fields=sku%2Cname",
           R"( {"price":3,"sku":"A"} )", "Application/JSON; charset=UTF-8");
  EXPECT_EQ(response.status, 201) << response.body;
  EXPECT_EQ(response.body, R"({"sku":"A","price":3})");
}

TEST_F(Typed, ListsTheFaultsOfPathQueryAndBodyTogether) {
  bool called = false;
  route(router_, Method::post, "/items/{id}", {},
        [&](Path<ItemPath>, Query<ItemQuery>, Body<NewItem>) -> NoContent {
          called = true;
          return {};
        });
  const Response response =
      call(Method::post, "/items/itm_7?limit=0&limit=3&sortBy=size&archived=1&x%22y=1&fields=a,,b",
           R"({"sku":""})");
  EXPECT_EQ(response.status, 400);
  EXPECT_FALSE(called);
  EXPECT_EQ(response.content_type(), "application/problem+json");
  EXPECT_THAT(faults(response),
              ElementsAre("path id malformed", "?limit out_of_range", "?limit duplicate_parameter",
                          "?sortBy unknown_value", "?archived wrong_type", "?x\"y unknown_parameter",
                          "?fields too_short", "/sku too_short", "/price required"));
}

TEST_F(Typed, NumbersInQueriesAreStrict) {
  route(router_, Method::get, "/items", {}, [](Query<ItemQuery> query) -> NewItem {
    return {"A", query->limit};
  });
  EXPECT_EQ(call(Method::get, "/items", "", "").body, R"({"sku":"A","price":20})");
  EXPECT_EQ(call(Method::get, "/items?limit=7", "", "").body, R"({"sku":"A","price":7})");
  for (const std::string bad : {"", "+7", "7.0", "7x", " 7", "0x7"}) {
    EXPECT_THAT(faults(call(Method::get,
                            "/items?limit=" + (bad == "+7"   ? "%2B7"
                                               : bad == " 7" ? "%207"
                                                             : bad),
                            "", "")),
                ElementsAre("?limit wrong_type"))
        << bad;
  }
  EXPECT_THAT(faults(call(Method::get, "/items?limit=99999999999", "", "")),
              ElementsAre("?limit out_of_range"));
  EXPECT_THAT(faults(call(Method::get, "/items?fields=a,b,c,d,e,f", "", "")),
              ElementsAre("?fields too_many"));
}

TEST_F(Typed, TheBodyMustBeJsonAndSaySo) {
  route(router_, Method::post, "/items", {},
        [](Body<NewItem> body) -> Accepted<NewItem> { return {body.value}; });
  const std::string sound = R"({"sku":"A","price":1})";
  EXPECT_EQ(call(Method::post, "/items", sound).status, 202);
  for (const std::string type : {"", "text/plain", "application/json; charset=latin1",
                                 "application/merge-patch+json", "application/jsonx"}) {
    const Response response = call(Method::post, "/items", sound, type);
    EXPECT_EQ(response.status, 415) << type;
    EXPECT_THAT(response.body, HasSubstr("unsupported_media_type"));
  }
  const Response coded =
      call(Method::post, "/items", sound, "application/json", {{"content-encoding", "gzip"}});
  EXPECT_EQ(coded.status, 415);
  EXPECT_THAT(coded.body, HasSubstr("unsupported_content_coding"));
  const Response malformed = call(Method::post, "/items", R"({"sku":)");
  EXPECT_EQ(malformed.status, 400);
  EXPECT_THAT(malformed.body, HasSubstr(R"("code":"malformed_json")"));
  EXPECT_EQ(call(Method::post, "/items", "").status, 400);
  EXPECT_EQ(call(Method::post, "/items", std::string(10'000, '[')).status, 400);
}

TEST_F(Typed, ResultsBecomeResponses) {
  route(router_, Method::delete_, "/items/{id}", {}, [](Path<ItemPath>) { return NoContent{}; });
  route(router_, Method::get, "/items/{id}", {}, [](Path<ItemPath>) -> Reply<NewItem> {
    return {{"A", 1}, {{"ETag", "\"7\""}}};
  });
  route(router_, Method::get, "/raw", {},
        [](Request& request) { return Response::text(200, std::string(request.path)); });
  route(router_, Method::post, "/items", {}, [](Body<NewItem> body) -> Created<NewItem> {
    return {body.value, "/items/1"};
  });
  const std::string item = "/items/" + std::string(kId);
  EXPECT_EQ(call(Method::delete_, item).status, 204);
  EXPECT_EQ(call(Method::get, item).header("ETag"), "\"7\"");
  EXPECT_EQ(call(Method::get, "/raw").body, "/raw");
  const Response created = call(Method::post, "/items", R"({"sku":"A","price":1})");
  EXPECT_EQ(created.status, 201);
  EXPECT_EQ(created.header("Location"), "/items/1");
  EXPECT_EQ(created.body, R"({"sku":"A","price":1})");
}

TEST_F(Typed, APathThatDiffersFromThePatternIsRefusedAtOnce) {
  EXPECT_THROW(route(router_, Method::get, "/items/{itemId}", {}, [](Path<ItemPath>) { return NoContent{}; }),
               Error);
  EXPECT_THROW(route(router_, Method::get, "/items", {}, [](Path<ItemPath>) { return NoContent{}; }), Error);
}

TEST_F(Typed, ProblemsIdentifyTheRequestAndLeakNothing) {
  std::string told;
  Router router;
  router.use(
      problem_details({.on_failure = [&](const Context&, const Request&, int status, std::string_view what) {
        told += std::to_string(status) + " " + std::string(what) + "\n";
      }}));
  route(router, Method::get, "/error", {}, []() -> Response {
    throw Error(ErrorCode::internal, "secret detail").reason("secret_reason").cause("secret cause");
  });
  route(router, Method::get, "/std", {}, []() -> Response { throw std::runtime_error("secret what"); });
  route(router, Method::get, "/busy", {}, []() -> Response {
    throw Error(ErrorCode::unavailable, "Busy.")
        .reason("overloaded")
        .cause("secret cause")
        .retry_after(std::chrono::milliseconds(1500));
  });
  route(router, Method::get, "/who", {},
        []() -> Response { throw Error(ErrorCode::unauthenticated, "Who?"); });
  router_ = std::move(router);

  for (const std::string path : {"/error", "/std"}) {
    const Response response = call(Method::get, path);
    EXPECT_EQ(response.status, 500);
    EXPECT_THAT(response.body, Not(HasSubstr("secret")));
    EXPECT_EQ(from_json<Problem>(response.body).request_id, "req-1");
    EXPECT_EQ(from_json<Problem>(response.body).instance, path);
  }
  const Response busy = call(Method::get, "/busy");
  EXPECT_EQ(busy.status, 503);
  EXPECT_EQ(busy.header("Retry-After"), "2");
  EXPECT_THAT(busy.body, HasSubstr(R"("retryAfter":2)"));
  EXPECT_THAT(busy.body, HasSubstr(R"("code":"overloaded")"));
  EXPECT_THAT(busy.body, Not(HasSubstr("secret")));
  EXPECT_EQ(call(Method::get, "/who").header("WWW-Authenticate"), "Bearer");
  EXPECT_THAT(told, HasSubstr("secret cause"));
  EXPECT_THAT(told, HasSubstr("500 secret what"));
}

TEST_F(Typed, ProblemsMadeByTheRouterAreCompleted) {
  route(router_, Method::get, "/items", {}, [] { return NoContent{}; });
  const Response missing = call(Method::get, "/nothing");
  EXPECT_EQ(missing.status, 404);
  const auto problem = from_json<Problem>(missing.body, {.ignore_unknown = true});
  EXPECT_EQ(problem.request_id, "req-1");
  EXPECT_EQ(problem.instance, "/nothing");
  EXPECT_EQ(call(Method::post, "/items").status, 405);
}

}  // namespace holdfast::http::typed_test
