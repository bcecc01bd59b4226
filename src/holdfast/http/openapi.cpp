#include "holdfast/http/openapi.hpp"

#include <algorithm>
#include <set>

#include "holdfast/base/digest.hpp"
#include "holdfast/base/encoding.hpp"
#include "holdfast/http/docs_page.hpp"
#include "holdfast/http/operation.hpp"
#include "holdfast/http/problem.hpp"

namespace holdfast::http {
namespace {

constexpr std::string_view kSchemas = "#/components/schemas/";
constexpr std::string_view kResponses = "#/components/responses/";

/// "{id}" for "{id}" and "{rest...}": OpenAPI has no parameter of several segments.
std::string path_template(std::string_view pattern) {
  std::string out(pattern);
  if (const std::size_t dots = out.find("...}"); dots != std::string::npos) out.erase(dots, 3);
  return out;
}

std::string lower_case(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

/// "NotFound": the name of the problem response of a status.
std::string response_name(int status) {
  std::string name;
  for (const char c : reason_phrase(status)) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0) name.push_back(c);
  }
  return name;
}

/// The statuses of the problems that `route` may answer.
std::set<int> problem_statuses(const Route& route) {
  const RouteInfo& info = route.info;
  const Operation* const operation = info.operation.get();
  std::set<int> statuses{429, 500, 503};
  statuses.insert(info.errors.begin(), info.errors.end());
  if (operation != nullptr && (operation->path != nullptr || operation->query != nullptr))
    statuses.insert(400);
  if (operation != nullptr && operation->body != nullptr) statuses.insert({400, 413, 415});
  if (!info.scope.empty()) statuses.insert({401, 403});
  if (route.pattern.find('{') != std::string::npos) statuses.insert(404);
  if (info.idempotency != Idempotency::none) statuses.insert({400, 409, 422});
  return statuses;
}

class DocumentWriter {
 public:
  explicit DocumentWriter(const Router& router) : router_(router), schemas_(std::string(kSchemas)) {}

  std::string write(const ApiInfo& info) {
    register_requests_first();
    JsonWriter writer(out_);
    writer.begin_object().member("openapi", "3.1.0");
    writer.key("info").begin_object().member("title", info.title).member("version", info.version);
    if (!info.description.empty()) writer.member("description", info.description);
    writer.end_object();
    writer.key("paths").begin_object();
    for (const std::string& pattern : patterns()) write_path(writer.key(path_template(pattern)), pattern);
    writer.end_object();
    write_components(writer.key("components"));
    writer.end_object();
    return std::move(out_);
  }

 private:
  /// So that types which requests hold are documented as refusing unknown members.
  void register_requests_first() {
    schemas_.refuse_unknown(true);
    for (const auto& route : router_.routes()) {
      if (!route->info.hidden && route->info.operation && route->info.operation->body != nullptr) {
        route->info.operation->body(schemas_);
      }
    }
    schemas_.refuse_unknown(false);
  }

  /// Those of documented routes, in the order added.
  std::vector<std::string> patterns() const {
    std::vector<std::string> found;
    for (const auto& route : router_.routes()) {
      if (route->info.hidden || route->method == Method::other) continue;
      if (std::find(found.begin(), found.end(), route->pattern) == found.end())
        found.push_back(route->pattern);
    }
    return found;
  }

  void write_path(JsonWriter& writer, const std::string& pattern) {
    writer.begin_object();
    for (const auto& route : router_.routes()) {
      if (route->info.hidden || route->pattern != pattern || route->method == Method::other) continue;
      write_operation(writer.key(lower_case(to_string(route->method))), *route);
    }
    writer.end_object();
  }

  void write_operation(JsonWriter& writer, const Route& route) {
    const RouteInfo& info = route.info;
    writer.begin_object();
    if (!info.name.empty()) writer.member("operationId", info.name);
    if (!info.summary.empty()) writer.member("summary", info.summary);
    if (!info.description.empty()) writer.member("description", info.description);
    if (!info.tags.empty()) {
      writer.key("tags").begin_array();
      for (const std::string& tag : info.tags) writer.value(tag);
      writer.end_array();
    }
    write_parameters(writer, route);
    if (info.operation && info.operation->body != nullptr) write_body(writer, route);
    write_responses(writer.key("responses"), route);
    writer.key("security").begin_array();
    if (!info.scope.empty()) {
      writer.begin_object().key("apiKey").begin_array().value(info.scope).end_array().end_object();
    }
    writer.end_array().end_object();
  }

  void write_parameters(JsonWriter& writer, const Route& route) {
    const Operation* const operation = route.info.operation.get();
    writer.key("parameters").begin_array();
    if (operation != nullptr && operation->path != nullptr) {
      for (const ParameterSchema& parameter : operation->path(schemas_))
        write_parameter(writer, "path", parameter);
    } else {
      write_bare_path_parameters(writer, route.pattern);
    }
    if (operation != nullptr && operation->query != nullptr) {
      for (const ParameterSchema& parameter : operation->query(schemas_))
        write_parameter(writer, "query", parameter);
    }
    if (route.info.idempotency != Idempotency::none) {
      write_parameter(
          writer, "header",
          {.name = "Idempotency-Key",
           .required = route.info.idempotency == Idempotency::required,
           .schema = R"({"type":"string","minLength":1,"maxLength":255})",
           .description = "Chosen by the client, one for each thing it wants done. A retry with the same key "
                          "and body gets the first answer again, and nothing is done twice."});
    }
    writer.end_array();
  }

  static void write_bare_path_parameters(JsonWriter& writer, std::string_view pattern) {
    const std::string text = path_template(pattern);
    for (std::size_t open = text.find('{'); open != std::string::npos; open = text.find('{', open + 1)) {
      const std::size_t close = text.find('}', open);
      write_parameter(writer, "path",
                      {.name = text.substr(open + 1, close - open - 1), .schema = R"({"type":"string"})"});
    }
  }

  static void write_parameter(JsonWriter& writer, std::string_view where, const ParameterSchema& parameter) {
    writer.begin_object().member("name", parameter.name).member("in", where);
    writer.member("required", parameter.required);
    if (!parameter.description.empty()) writer.member("description", parameter.description);
    if (parameter.list) writer.member("style", where == "query" ? "form" : "simple").member("explode", false);
    writer.key("schema").raw(parameter.schema).end_object();
  }

  void write_body(JsonWriter& writer, const Route& route) {
    const std::string schema = route.info.operation->body(schemas_);
    writer.key("requestBody").begin_object().member("required", true).key("content").begin_object();
    writer.key("application/json").begin_object().key("schema").raw(schema).end_object();
    if (route.method == Method::patch) {
      writer.key("application/merge-patch+json").begin_object().key("schema").raw(schema).end_object();
    }
    writer.end_object().end_object();
  }

  void write_responses(JsonWriter& writer, const Route& route) {
    const Operation* const operation = route.info.operation.get();
    const int status = operation != nullptr ? operation->status : 200;
    writer.begin_object().key(std::to_string(status)).begin_object();
    writer.member("description", reason_phrase(status));
    if (operation != nullptr && operation->location) {
      writer.key("headers").begin_object().key("Location").begin_object();
      writer.member("description", "Where it is.")
          .key("schema")
          .raw(R"({"type":"string","format":"uri-reference"})");
      writer.end_object().end_object();
    }
    if (operation != nullptr && operation->answer != nullptr) {
      writer.key("content").begin_object().key("application/json").begin_object();
      writer.key("schema").raw(operation->answer(schemas_)).end_object().end_object();
    }
    writer.end_object();
    for (const int problem : problem_statuses(route)) {
      used_statuses_.insert(problem);
      const std::string reference = std::string(kResponses) + response_name(problem);
      writer.key(std::to_string(problem)).begin_object().member("$ref", reference).end_object();
    }
    writer.end_object();
  }

  void write_components(JsonWriter& writer) {
    const std::string problem = json_schema<Problem>(schemas_);
    writer.begin_object().key("schemas").begin_object();
    for (const auto& [name, schema] : schemas_.all()) writer.key(name).raw(schema);
    writer.end_object().key("responses").begin_object();
    for (const int status : used_statuses_) {
      writer.key(response_name(status)).begin_object().member("description", reason_phrase(status));
      if (status == 429 || status == 503) {
        writer.key("headers").begin_object().key("Retry-After").begin_object();
        writer.member("description", "Seconds.")
            .key("schema")
            .raw(R"({"type":"integer"})")
            .end_object()
            .end_object();
      }
      writer.key("content").begin_object().key("application/problem+json").begin_object();
      writer.key("schema").raw(problem).end_object().end_object().end_object();
    }
    writer.end_object().key("securitySchemes").begin_object().key("apiKey").begin_object();
    writer.member("type", "http").member("scheme", "bearer");
    writer.member("description", "An API key: `Authorization: Bearer …`.")
        .end_object()
        .end_object()
        .end_object();
  }

  const Router& router_;
  SchemaRegistry schemas_;
  std::set<int> used_statuses_;
  std::string out_;
};

/// Serves a text that never changes while the process lives.
Handler serve_fixed(Response response) {
  const Sha256Digest digest = sha256(response.body);
  const std::string etag = "\"" + encode_hex(std::span(digest).first(8)) + "\"";
  response.set("ETag", etag).set("Cache-Control", "no-cache");
  return [response = std::move(response), etag](const Context&, Request& request) {
    if (request.header("If-None-Match") != etag) return response;
    Response unchanged(304);
    unchanged.set("ETag", etag);
    return unchanged;
  };
}

}  // namespace

std::string openapi_document(const Router& router, const ApiInfo& info) {
  return DocumentWriter(router).write(info);
}

void add_api_pages(Router& router, const ApiInfo& info) {
  router.get("/openapi.json", serve_fixed(Response::json(200, openapi_document(router, info))),
             {.name = "getOpenapiDocument", .hidden = true});
  router.get("/docs", serve_fixed(docs_page()), {.name = "getDocsPage", .hidden = true});
}

}  // namespace holdfast::http
