// For tests of the whole Order System: one that runs, in a folder of its own, asked through its router
// (without sockets) or by its port.
//
//   with_system([](RunningSystem& system) {
//     const Answer answer = system.post("/v1/orders", R"({…})", {{"Idempotency-Key", "k1"}});
//     EXPECT_EQ(answer.status, 201);
//   });
#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "holdfast/base/clock.hpp"
#include "holdfast/base/json.hpp"
#include "holdfast/base/random.hpp"
#include "holdfast/http/request.hpp"
#include "holdfast/http/response.hpp"
#include "holdfast/observe/log.hpp"
#include "holdfast/observe/metrics.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/sql/testing/test_database.hpp"
#include "orders/modules/access/access.hpp"
#include "orders/order_system.hpp"

namespace holdfast::orders::testing {

struct Answer {
  int status = 0;
  std::string body;
  std::vector<http::ResponseHeader> headers;

  std::string header(std::string_view name) const {
    for (const auto& each : headers) {
      if (http::equal_ignoring_case(each.name, name)) return each.value;
    }
    return {};
  }
  JsonDocument json() const { return JsonDocument::parse(body, {.max_bytes = 64 << 20}); }
  /// The text member at the top, or empty.
  std::string text(std::string_view member) const {
    const JsonDocument document = json();
    const JsonValue* found = document.root().find(member);
    return found != nullptr && found->is_string() ? std::string(found->as_string()) : std::string();
  }
};

using Headers = std::vector<std::pair<std::string, std::string>>;

class RunningSystem {
 public:
  RunningSystem(const Context& context, runtime::Runtime& the_runtime, const Settings& given)
      : ctx(context),
        runtime(the_runtime),
        settings(given),
        log({.level = observe::LogLevel::warn, .write = [this](std::string_view lines) { logged += lines; }},
            runtime.clock()),
        ids(runtime.clock(), runtime.random()),
        system(settings, runtime, log, metrics) {
    system.start(ctx);
    admin = make_key(access::Scope::admin);
    key = admin;
  }
  ~RunningSystem() { system.stop(ctx); }

  std::string make_key(access::Scope scope) {
    return system.database()
        .transact(ctx,
                  [&](sql::Transaction& tx) {
                    return access::create_key(ctx, tx, ids, random, {"test", scope});
                  })
        .text;
  }

  Answer ask(http::Method method, std::string target, std::string body = {}, Headers headers = {}) {
    http::Response response = respond(method, std::move(target), std::move(body), std::move(headers));
    return {response.status, std::move(response.body), std::move(response.headers)};
  }
  /// What writes the body of a streamed answer.
  http::Response::Stream stream(std::string target, Headers headers = {}) {
    return respond(http::Method::get, std::move(target), {}, std::move(headers)).stream;
  }
  http::Response respond(http::Method method, std::string target, std::string body, Headers headers) {
    http::Request request;
    request.method = method;
    request.method_name = http::to_string(method);
    request.remote_address = "127.0.0.1";
    if (!request.set_target(target)) return http::Response(400);
    if (!key.empty()) headers.emplace_back("Authorization", "Bearer " + key);
    if (!body.empty() &&
        std::none_of(headers.begin(), headers.end(), [](auto& h) { return h.first == "Content-Type"; })) {
      headers.emplace_back("Content-Type", "application/json");
    }
    for (const auto& [name, value] : headers) request.headers.push_back({name, value});
    request.body = body;
    return system.router().handle(ctx.with_timeout(std::chrono::seconds(10)).with_request_id("req-test"),
                                  request);
  }
  Answer get(std::string target, Headers headers = {}) {
    return ask(http::Method::get, std::move(target), {}, std::move(headers));
  }
  Answer post(std::string target, std::string body = {}, Headers headers = {}) {
    return ask(http::Method::post, std::move(target), std::move(body), std::move(headers));
  }
  Answer order(std::string idempotency_key, std::string body) {
    return post("/v1/orders", std::move(body), {{"Idempotency-Key", std::move(idempotency_key)}});
  }
  void add_product(const std::string& sku, int price_minor, int stock, const std::string& currency = "GBP") {
    const Answer made =
        post("/v1/products", R"({"sku":")" + sku + R"(","name":"The )" + sku + R"(","price":{"minor":)" +
                                 std::to_string(price_minor) + R"(,"currency":")" + currency +
                                 R"("},"initialStock":)" + std::to_string(stock) + "}");
    if (made.status != 201) throw Error(ErrorCode::internal, made.body);
  }
  std::int64_t stock(const std::string& sku) {
    return get("/v1/stock/" + sku).json().root().find("quantity")->as_int64();
  }
  std::int64_t count(const std::string& table) {
    return system.database().query_value<std::int64_t>(ctx, "select count(*) from " + table);
  }

  Context ctx;
  runtime::Runtime& runtime;
  const Settings settings;
  std::string logged;
  observe::Log log;
  observe::Metrics metrics;
  SeededRandom random{99};
  IdGenerator ids;
  OrderSystem system;
  std::string admin;
  std::string key;  ///< what requests are sent with; empty: none
};

inline Settings test_settings(const std::filesystem::path& folder) {
  Settings settings;
  settings.data = (folder / "data").string();
  settings.http.address = "127.0.0.1:0";
  settings.http.access_log = false;
  return settings;
}

inline void with_system(const std::function<void(RunningSystem&)>& body,
                        const std::function<void(Settings&)>& adjust = {}) {
  const sql::TemporaryFolder folder;
  SystemClock clock;
  SeededRandom random(5);
  runtime::Runtime runtime({.loops = 1}, clock, random);
  Settings settings = test_settings(folder.path());
  const sql::TestDatabase database;
  if (sql::on_postgres()) settings.database.url = config::Secret(database.url());
  if (adjust) adjust(settings);
  runtime.run([&](const Context& ctx) {
    RunningSystem running(ctx, runtime, settings);
    body(running);
  });
}

}  // namespace holdfast::orders::testing
