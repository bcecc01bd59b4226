#include "support/checkout_shop.hpp"

#include <charconv>
#include <stdexcept>
#include <thread>

#include "holdfast/base/json.hpp"

namespace holdfast::drills {
namespace {

using namespace std::chrono_literals;

const JsonValue* element(const JsonValue& value, std::string_view name) {
  std::size_t index = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), index);
  if (error != std::errc{} || end != name.data() + name.size()) return value.find(name);
  return index < value.items().size() ? &value.items()[index] : nullptr;
}

ServerProcessOptions server_options(const CheckoutShopOptions& options, const PaysimProcess& paysim,
                                    const CarriersimProcess* carrier) {
  ServerProcessOptions server;
  server.arguments = {"--demo"};
  server.arguments.insert(server.arguments.end(), options.arguments.begin(), options.arguments.end());
  server.environment = options.environment;
  server.environment.try_emplace("HOLDFAST_PAYMENTS_PROVIDER", "stripe");
  server.environment.try_emplace("HOLDFAST_PAYMENTS_STRIPE_URL", paysim.url());
  server.environment.try_emplace("HOLDFAST_PAYMENTS_STRIPE_SECRET_KEY", PaysimProcess::kSecretKey);
  server.environment.try_emplace("HOLDFAST_PAYMENTS_STRIPE_WEBHOOK_SECRET", PaysimProcess::kWebhookSecret);
  server.environment.try_emplace("HOLDFAST_PAYMENTS_STRIPE_RETURN_URL", "http://localhost/paid");
  server.environment.try_emplace("HOLDFAST_RATE_LIMIT_ENABLED", "false");
  if (carrier == nullptr) return server;
  server.environment.try_emplace("HOLDFAST_SHIPPING_CARRIER", "legacy");
  server.environment.try_emplace("HOLDFAST_SHIPPING_LEGACY_URL", carrier->url());
  server.environment.try_emplace("HOLDFAST_SHIPPING_SETTLE_TIME", "200ms");
  return server;
}

}  // namespace

std::string json_at(const std::string& json, std::string_view path) {
  const JsonDocument document = JsonDocument::parse(json, {.max_bytes = 64 << 20});
  const JsonValue* value = &document.root();
  while (value != nullptr && !path.empty()) {
    const std::string_view name = path.substr(0, path.find('.'));
    path.remove_prefix(std::min(path.size(), name.size() + 1));
    value = element(*value, name);
  }
  if (value == nullptr || value->is_null()) return {};
  if (value->is_string()) return std::string(value->as_string());
  std::string out;
  JsonWriter(out).value(*value);
  return out;
}

CheckoutShop::CheckoutShop(CheckoutShopOptions options)
    : carrier_(options.carrier ? std::optional<CarriersimProcess>(std::in_place) : std::nullopt),
      server_(server_options(options, paysim_, carrier_ ? &*carrier_ : nullptr)),
      key_(server_.create_key("admin")) {
  paysim_.send_webhooks_to(server_.url() + "/v1/webhooks/payments");
}

HttpAnswer CheckoutShop::ask(const char* method, const std::string& target, const std::string& body,
                             HttpHeaders headers) {
  HttpConnection http(server_.port(), 20s, key_);
  return http.request(method, target, body, headers);
}

HttpAnswer CheckoutShop::try_place(const std::string& payment_method) {
  const std::string paying = payment_method.empty() ? "" : R"(,"paymentMethod":")" + payment_method + R"(")";
  return post("/v1/orders",
              R"({"customerId":"ada","customerEmail":"ada@example.org","items":[{"sku":")" +
                  std::string(kSku) +
                  R"(","quantity":2}],"shippingAddress":{"name":"Ada","line1":"1 Harbour St","city":"Hull",)"
                  R"("postalCode":"HU1 1AA","country":"GB"})" +
                  paying + "}",
              {{"Idempotency-Key", "order-" + std::to_string(++orders_)}});
}

std::string CheckoutShop::place(const std::string& payment_method) {
  const HttpAnswer placed = try_place(payment_method);
  if (placed.status != 201) throw std::runtime_error("the order was not taken: " + placed.body);
  return json_at(placed.body, "id");
}

std::string CheckoutShop::order(const std::string& id, std::string_view member) {
  return json_at(get("/v1/orders/" + id).body, member);
}

std::string CheckoutShop::payment(const std::string& id, std::string_view member) {
  return json_at(get("/v1/orders/" + id + "/payment").body, member);
}

std::string CheckoutShop::stock() { return json_at(get("/v1/stock/" + std::string(kSku)).body, "quantity"); }

std::string CheckoutShop::saga(const std::string& order, std::string_view member,
                               const std::string& definition) {
  return json_at(get("/v1/ops/sagas?definition=" + definition + "&key=" + order).body,
                 "items.0." + std::string(member));
}

std::string CheckoutShop::intent(const std::string& order) {
  const JsonDocument book = JsonDocument::parse(paysim_.book(), {.max_bytes = 64 << 20});
  std::string found;
  for (const JsonValue& each : book.root().find("intents")->items()) {
    if (each.find("orderId")->as_string() != order) continue;
    if (!found.empty()) throw std::runtime_error(order + " is in paysim's book twice");
    JsonWriter(found).value(each);
  }
  return found;
}

bool CheckoutShop::becomes(const std::string& order_id, std::string_view status,
                           std::chrono::milliseconds at_most) {
  return eventually([&] { return order(order_id, "status") == status; }, at_most);
}

bool CheckoutShop::eventually(const std::function<bool()>& holds, std::chrono::milliseconds at_most) {
  const auto until = std::chrono::steady_clock::now() + at_most;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(10ms);
  }
  return true;
}

void CheckoutShop::authenticate(const std::string& order_id, bool passed) {
  HttpConnection http(paysim_.port());
  const HttpAnswer answer = http.post("/paysim/authenticate/" + payment(order_id, "providerRef"),
                                      passed ? R"({"passed":true})" : R"({"passed":false})");
  if (answer.status >= 300) throw std::runtime_error("paysim refused: " + answer.body);
}

}  // namespace holdfast::drills
