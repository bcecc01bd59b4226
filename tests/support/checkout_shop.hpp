// A shop with its payment provider and its carrier, all of them real processes, for tests of the checkout.
//
//   CheckoutShop shop;
//   const std::string order = shop.place("pm_card_visa");
//   EXPECT_TRUE(shop.becomes(order, "shipped"));
//
// Thread-safety: one thread.
#pragma once

#include <functional>
#include <optional>

#include "drills/frame/carriersim_process.hpp"
#include "drills/frame/paysim_process.hpp"
#include "drills/frame/server_process.hpp"

namespace holdfast::drills {

/// The value at "a.b.c" of a JSON text, as text; numbers in a path count into arrays. Empty where there is
/// none.
std::string json_at(const std::string& json, std::string_view path);

struct CheckoutShopOptions {
  bool carrier = true;
  std::map<std::string, std::string> environment = {};  ///< of the server; on top of what links the three
  std::vector<std::string> arguments = {};              ///< after `serve`
};

class CheckoutShop {
 public:
  static constexpr const char* kSku = "MUG-ANCHOR";
  static constexpr std::chrono::milliseconds kPatience = std::chrono::seconds(30);

  explicit CheckoutShop(CheckoutShopOptions options = {});

  ServerProcess& server() { return server_; }
  PaysimProcess& paysim() { return paysim_; }
  CarriersimProcess& carrier() { return carrier_.value(); }

  HttpAnswer get(const std::string& target) { return ask("GET", target); }
  HttpAnswer post(const std::string& target, const std::string& body = {}, const HttpHeaders& headers = {}) {
    return ask("POST", target, body, headers);
  }
  /// Two mugs, to an address; without a payment method where it is empty.
  HttpAnswer try_place(const std::string& payment_method);
  /// The order's id. Throws std::runtime_error where it was not taken.
  std::string place(const std::string& payment_method = "pm_card_visa");
  HttpAnswer cancel(const std::string& order) { return post("/v1/orders/" + order + "/cancellation", "{}"); }

  std::string order(const std::string& id, std::string_view member);
  std::string payment(const std::string& id, std::string_view member);
  std::string stock();
  /// The saga of that definition with the order's key: a member of its summary.
  std::string saga(const std::string& order, std::string_view member,
                   const std::string& definition = "checkout");
  /// Of paysim's book, the one intent of the order; empty where there is none. Throws where there are more.
  std::string intent(const std::string& order);

  /// Waits until the order's status is that; false after `at_most`.
  bool becomes(const std::string& order, std::string_view status,
               std::chrono::milliseconds at_most = kPatience);
  static bool eventually(const std::function<bool()>& holds, std::chrono::milliseconds at_most = kPatience);

  /// Does to a payment what its owner does at the bank's page.
  void authenticate(const std::string& order, bool passed);

 private:
  HttpAnswer ask(const char* method, const std::string& target, const std::string& body = {},
                 HttpHeaders headers = {});

  PaysimProcess paysim_;
  std::optional<CarriersimProcess> carrier_;
  ServerProcess server_;
  std::string key_;
  int orders_ = 0;
};

}  // namespace holdfast::drills
