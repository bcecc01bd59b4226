#include "holdfast/http/openapi.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "holdfast/base/clock.hpp"
#include "holdfast/base/id.hpp"
#include "holdfast/http/typed.hpp"

namespace holdfast::http::openapi_test {

using testing::HasSubstr;
using testing::Not;

struct ThingPath {
  Id<"thg"> thing_id;
};
HOLDFAST_DESCRIBE(ThingPath, (thing_id))

struct ThingQuery {
  std::int32_t limit = 20;
  std::optional<std::vector<std::string>> fields;
  static constexpr auto rules() {
    return holdfast::rules(field<&ThingQuery::limit>().range(1, 200).defaulted().doc("How many at most."));
  }
};
HOLDFAST_DESCRIBE(ThingQuery, (limit, fields))

struct Part {
  std::string name;
};
HOLDFAST_DESCRIBE(Part, (name))

struct NewThing {
  std::vector<Part> parts;
};
HOLDFAST_DESCRIBE(NewThing, (parts))

struct Thing {
  Id<"thg"> id;
  std::vector<Part> parts;
};
HOLDFAST_DESCRIBE(Thing, (id, parts))

Router sample() {
  Router router;
  route(router, Method::post, "/v1/things",
        {.name = "createThing",
         .summary = "Makes a thing",
         .tags = {"things"},
         .scope = "write",
         .idempotency = Idempotency::required},
        [](Body<NewThing>) -> Created<Thing> { return {}; });
  route(router, Method::get, "/v1/things", {.name = "listThings", .tags = {"things"}},
        [](Query<ThingQuery>) -> std::vector<Thing> { return {}; });
  route(router, Method::get, "/v1/things/{thingId}",
        {.name = "getThing", .tags = {"things"}, .errors = {406}},
        [](Path<ThingPath>) -> Thing { return {}; });
  route(router, Method::patch, "/v1/things/{thingId}",
        {.name = "patchThing", .scope = "write", .errors = {412}},
        [](Path<ThingPath>, Body<NewThing>) -> Thing { return {}; });
  router.get("/files/{path...}", [](const Context&, Request&) { return Response(200); }, {.name = "getFile"});
  router.get("/metrics", [](const Context&, Request&) { return Response(200); },
             {.name = "metrics", .hidden = true});
  return router;
}

/// Walks a document as a validator would: what the specification requires of what we use of it.
class Checker {
 public:
  explicit Checker(const std::string& text) : document_(JsonDocument::parse(text)) {}

  void check() {
    const JsonValue& root = document_.root();
    EXPECT_EQ(text(root, "openapi"), "3.1.0");
    EXPECT_NE(text(at(root, "info"), "title"), "");
    EXPECT_NE(text(at(root, "info"), "version"), "");
    for (const JsonMember& path : at(root, "paths").members()) {
      EXPECT_TRUE(path.key.starts_with('/')) << path.key;
      for (const JsonMember& operation : path.value.members()) check_operation(path.key, operation);
    }
    check_references(root);
    EXPECT_FALSE(operation_ids_.empty());
  }

  const JsonValue& at(const JsonValue& value, std::string_view key) {
    static const JsonValue nothing;
    const JsonValue* const found = value.find(key);
    EXPECT_NE(found, nullptr) << "no " << key;
    return found != nullptr ? *found : nothing;
  }
  const JsonValue& root() const { return document_.root(); }
  std::string text(const JsonValue& value, std::string_view key) {
    const JsonValue& found = at(value, key);
    EXPECT_TRUE(found.is_string()) << key;
    return found.is_string() ? std::string(found.as_string()) : "";
  }

 private:
  void check_operation(std::string_view path, const JsonMember& operation) {
    static const std::set<std::string_view> kMethods{"get",     "put",  "post", "delete",
                                                     "options", "head", "patch"};
    EXPECT_TRUE(kMethods.contains(operation.key)) << operation.key;
    EXPECT_TRUE(operation_ids_.insert(text(operation.value, "operationId")).second) << "operationId twice";

    std::set<std::string> in_path;
    std::set<std::string> all;
    for (const JsonValue& parameter : at(operation.value, "parameters").items()) {
      const std::string where = text(parameter, "in");
      const std::string name = text(parameter, "name");
      EXPECT_TRUE(all.insert(where + " " + name).second) << "parameter twice: " << name;
      EXPECT_TRUE(at(parameter, "schema").is_object());
      if (where != "path") continue;
      in_path.insert("{" + name + "}");
      EXPECT_TRUE(at(parameter, "required").as_bool()) << "path parameters are required";
    }
    std::set<std::string> in_template;
    for (std::size_t open = path.find('{'); open != path.npos; open = path.find('{', open + 1)) {
      in_template.insert(std::string(path.substr(open, path.find('}', open) - open + 1)));
    }
    EXPECT_EQ(in_path, in_template) << path;

    const JsonValue& responses = at(operation.value, "responses");
    EXPECT_FALSE(responses.members().empty());
    for (const JsonMember& response : responses.members()) {
      EXPECT_EQ(response.key.size(), 3U) << response.key;
      const bool inline_response = response.value.find("$ref") == nullptr;
      EXPECT_TRUE(!inline_response || !text(response.value, "description").empty());
    }
    for (const JsonValue& requirement : at(operation.value, "security").items()) {
      for (const JsonMember& scheme : requirement.members()) {
        at(at(at(root(), "components"), "securitySchemes"), scheme.key);
      }
    }
  }

  /// Every $ref leads somewhere within the document.
  void check_references(const JsonValue& value) {
    for (const JsonValue& item : value.is_array() ? value.items() : std::span<const JsonValue>())
      check_references(item);
    if (!value.is_object()) return;
    for (const JsonMember& member : value.members()) {
      if (member.key == "$ref") {
        const JsonValue* target = &root();
        std::string_view rest = member.value.as_string();
        ASSERT_TRUE(rest.starts_with("#/")) << rest;
        rest.remove_prefix(2);
        while (!rest.empty() && target != nullptr) {
          const std::size_t slash = std::min(rest.find('/'), rest.size());
          target = target->find(rest.substr(0, slash));
          rest.remove_prefix(std::min(slash + 1, rest.size()));
        }
        EXPECT_NE(target, nullptr) << member.value.as_string();
      }
      check_references(member.value);
    }
  }

  JsonDocument document_;
  std::set<std::string> operation_ids_;
};

TEST(Openapi, TheDocumentIsSound) {
  Checker(openapi_document(sample(), {"Things", "1.2.3", "About."})).check();
}

TEST(Openapi, SaysWhatTheRoutesSay) {
  Checker checker(openapi_document(sample(), {"Things", "1.2.3", ""}));
  const JsonValue& paths = checker.at(checker.root(), "paths");
  ASSERT_EQ(paths.members().size(), 3U) << "/metrics is hidden";

  const JsonValue& create = checker.at(checker.at(paths, "/v1/things"), "post");
  EXPECT_EQ(
      JsonText(checker.at(create, "requestBody")).text(),
      R"({"required":true,"content":{"application/json":{"schema":{"$ref":"#/components/schemas/NewThing"}}}})");
  EXPECT_EQ(JsonText(checker.at(create, "security")).text(), R"([{"apiKey":["write"]}])");
  EXPECT_EQ(checker.text(checker.at(create, "parameters").items()[0], "name"), "Idempotency-Key");
  std::set<std::string> statuses;
  for (const JsonMember& response : checker.at(create, "responses").members()) statuses.emplace(response.key);
  EXPECT_EQ(statuses, (std::set<std::string>{"201", "400", "401", "403", "409", "413", "415", "422", "429",
                                             "500", "503"}));
  checker.at(checker.at(checker.at(create, "responses"), "201"), "headers");

  const JsonValue& list = checker.at(checker.at(paths, "/v1/things"), "get");
  EXPECT_EQ(JsonText(checker.at(list, "parameters")).text(),
            R"([{"name":"limit","in":"query","required":false,"description":"How many at most.","schema":)"
            R"({"type":"integer","format":"int32","minimum":1,"maximum":200,"default":20}},)"
            R"({"name":"fields","in":"query","required":false,"style":"form","explode":false,)"
            R"("schema":{"type":"array","items":{"type":"string"}}}])");
  EXPECT_EQ(JsonText(checker.at(list, "security")).text(), "[]");

  const JsonValue& patch = checker.at(checker.at(paths, "/v1/things/{thingId}"), "patch");
  checker.at(checker.at(checker.at(patch, "requestBody"), "content"), "application/merge-patch+json");
  checker.at(checker.at(patch, "responses"), "412");
  checker.at(checker.at(paths, "/files/{path}"), "get");

  const JsonValue& schemas = checker.at(checker.at(checker.root(), "components"), "schemas");
  EXPECT_THAT(JsonText(checker.at(schemas, "NewThing")).text(), HasSubstr(R"("additionalProperties":false)"));
  EXPECT_THAT(JsonText(checker.at(schemas, "Part")).text(), HasSubstr(R"("additionalProperties":false)"));
  EXPECT_THAT(JsonText(checker.at(schemas, "Thing")).text(), Not(HasSubstr("additionalProperties")));
  checker.at(schemas, "Problem");
}

TEST(Openapi, ServesTheDocumentAndThePage) {
  ManualClock clock;
  const Context ctx(clock);
  Router router = sample();
  add_api_pages(router, {"Things", "1.2.3", ""});
  router.seal();
  Request request;
  ASSERT_TRUE(request.set_target("/openapi.json"));
  const Response document = router.handle(ctx, request);
  EXPECT_EQ(document.status, 200);
  EXPECT_THAT(document.body, Not(HasSubstr("/docs")));
  const std::string etag(document.header("ETag"));
  Request again;
  ASSERT_TRUE(again.set_target("/openapi.json"));
  again.headers.push_back({"If-None-Match", etag});
  EXPECT_EQ(router.handle(ctx, again).status, 304);

  Request page;
  ASSERT_TRUE(page.set_target("/docs"));
  const Response docs = router.handle(ctx, page);
  EXPECT_EQ(docs.content_type(), "text/html; charset=utf-8");
  EXPECT_THAT(docs.header("Content-Security-Policy"), HasSubstr("connect-src 'self'"));
  EXPECT_THAT(docs.body, Not(HasSubstr("https://"))) << "no outside host";
  EXPECT_THAT(docs.body, Not(HasSubstr("innerHTML")));
}

}  // namespace holdfast::http::openapi_test
