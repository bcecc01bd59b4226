// For tests: a Paysim that runs in a folder of its own, asked over HTTP, and a receiver of its webhooks.
//
//   with_paysim([](RunningPaysim& paysim) {
//     EXPECT_EQ(paysim.authorize("k1", "pm_card_visa").status, 200);
//   });
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/json.hpp"
#include "holdfast/base/random.hpp"
#include "holdfast/http/client.hpp"
#include "holdfast/http/server.hpp"
#include "holdfast/observe/log.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "holdfast/sql/testing/temporary_folder.hpp"
#include "paysim/paysim.hpp"

namespace holdfast::paysim::testing {

struct Reply {
  int status = 0;
  std::string body;
  http::ClientResponse whole;

  /// The text or number at `a.b.c`, as text; empty where there is none.
  std::string at(std::string_view path) const {
    const JsonDocument document = JsonDocument::parse(body, {.max_bytes = 64 << 20});
    const JsonValue* value = &document.root();
    while (value != nullptr && !path.empty()) {
      const std::string_view name = path.substr(0, path.find('.'));
      path.remove_prefix(std::min(path.size(), name.size() + 1));
      value = value->find(name);
    }
    if (value == nullptr || value->is_null()) return {};
    if (value->is_string()) return std::string(value->as_string());
    if (value->kind() == JsonKind::int64) return std::to_string(value->as_int64());
    std::string out;
    JsonWriter(out).value(*value);
    return out;
  }
  /// How many items the array at the top-level member `name` has.
  std::size_t count(std::string_view name) const {
    const JsonDocument document = JsonDocument::parse(body, {.max_bytes = 64 << 20});
    const JsonValue* value = document.root().find(name);
    return value == nullptr ? 0 : value->items().size();
  }
};

class RunningPaysim {
 public:
  RunningPaysim(const Context& context, runtime::Runtime& the_runtime, const Settings& given)
      : ctx(context),
        runtime(the_runtime),
        settings(given),
        log({.level = observe::LogLevel::off}, runtime.clock()),
        client(runtime, {}) {
    start();
  }
  ~RunningPaysim() { stop(); }

  void start() {
    paysim.emplace(settings, runtime, log);
    paysim->start(ctx);
  }
  void stop() {
    if (paysim) paysim->stop(ctx);
    paysim.reset();
  }

  Reply ask(http::Method method, const std::string& target, std::string body = {},
            std::vector<http::ResponseHeader> headers = {}, Duration timeout = std::chrono::seconds(20)) {
    if (key.empty()) return send(method, target, std::move(body), std::move(headers), timeout);
    headers.push_back({"Authorization", "Bearer " + key});
    return send(method, target, std::move(body), std::move(headers), timeout);
  }
  Reply get(const std::string& target) { return ask(http::Method::get, target); }
  Reply post(const std::string& target, std::string form = {}, const std::string& idempotency_key = {},
             Duration timeout = std::chrono::seconds(20)) {
    std::vector<http::ResponseHeader> headers{{"Content-Type", "application/x-www-form-urlencoded"}};
    if (!idempotency_key.empty()) headers.push_back({"Idempotency-Key", idempotency_key});
    return ask(http::Method::post, target, std::move(form), std::move(headers), timeout);
  }
  Reply control(http::Method method, const std::string& target, std::string json) {
    return ask(method, target, std::move(json), {{"Content-Type", "application/json"}});
  }
  Reply behave(std::string json) { return control(http::Method::put, "/paysim/behaviour", std::move(json)); }

  static std::string form(const std::string& card, const std::string& order = "ord_1",
                          const std::string& more = "&capture_method=manual") {
    return "amount=1999&currency=gbp&confirm=true&payment_method=" + card + "&metadata[order_id]=" + order +
           more;
  }
  Reply authorize(const std::string& idempotency_key, const std::string& card,
                  const std::string& order = "ord_1", Duration timeout = std::chrono::seconds(20)) {
    return post("/v1/payment_intents", form(card, order), idempotency_key, timeout);
  }
  /// authorize() where no answer comes: the Error's reason, or code. `timeout`: of one that hangs; the
  /// machine of a test may be busy.
  std::string unanswered(const std::string& idempotency_key, const std::string& card,
                         const std::string& order = "ord_1", Duration timeout = std::chrono::seconds(2)) {
    try {
      return "answered " + std::to_string(authorize(idempotency_key, card, order, timeout).status);
    } catch (const Error& error) {
      return std::string(error.reason());
    }
  }
  std::size_t intents_of(const std::string& order) {
    return get("/v1/payment_intents/search?query=metadata[%27order_id%27]:%27" + order + "%27").count("data");
  }

  /// Whether `holds` becomes true within twenty seconds.
  bool eventually(const std::function<bool()>& holds) {
    const Instant until = ctx.now() + std::chrono::seconds(20);
    while (!holds()) {
      if (ctx.now() > until) return false;
      runtime::sleep_for(ctx, std::chrono::milliseconds(5));
    }
    return true;
  }

  Context ctx;
  runtime::Runtime& runtime;
  Settings settings;
  observe::Log log;
  http::Client client;
  std::optional<Paysim> paysim;
  std::string key = "sk_test_paysim";  ///< what requests are sent with; empty: none

 private:
  Reply send(http::Method method, const std::string& target, std::string body,
             std::vector<http::ResponseHeader> headers, Duration timeout) {
    http::ClientRequest request;
    request.method = method;
    request.url = paysim->url() + target;
    request.headers = std::move(headers);
    // A client may send again by itself what a kept-alive connection was closed on; here it can't.
    request.headers.push_back({"Connection", "close"});
    request.body = std::move(body);
    request.timeout = timeout;
    http::ClientResponse answer = client.send(ctx, request);
    return {answer.status, answer.body, answer};
  }
};

/// Takes webhooks; answers what `answer` says, 200 unless set.
class Receiver {
 public:
  struct Hook {
    std::string signature;
    std::string body;
  };

  explicit Receiver(runtime::Runtime& runtime) {
    http::Router router;
    router.post("/hooks", [this](const Context&, http::Request& request) {
      received.push_back({std::string(request.header("Stripe-Signature")), std::string(request.body)});
      return http::Response(answer ? answer(received.size()) : 200);
    });
    server_.emplace(runtime, std::move(router), http::ServerOptions{.address = "127.0.0.1:0"});
    server_->start();
  }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(server_->port()) + "/hooks"; }
  /// "payment_intent.succeeded" of each, in the order they came.
  std::vector<std::string> types() const {
    std::vector<std::string> all;
    for (const Hook& hook : received) all.push_back(Reply{200, hook.body, {}}.at("type"));
    return all;
  }

  std::vector<Hook> received;
  std::function<int(std::size_t number)> answer;

 private:
  std::optional<http::Server> server_;
};

inline void with_paysim(const std::function<void(RunningPaysim&)>& body,
                        const std::function<void(Settings&)>& adjust = {}) {
  const sql::TemporaryFolder folder;
  SystemClock clock;
  SeededRandom random(5);
  runtime::Runtime runtime({.loops = 1}, clock, random);
  Settings settings{.address = "127.0.0.1:0", .data = (folder.path() / "data").string()};
  if (adjust) adjust(settings);
  runtime.run([&](const Context& ctx) {
    RunningPaysim running(ctx, runtime, settings);
    body(running);
  });
}

}  // namespace holdfast::paysim::testing
