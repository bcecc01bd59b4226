// What the API answers instead of what was asked: Stripe's error object and the status that goes with it.
//
//   throw ApiError(404, {.type = "invalid_request_error", .code = "resource_missing", .message = …});
//   {"error":{"type":"card_error","code":"card_declined","decline_code":"insufficient_funds", …}}
//
// Thread-safety: a value.
#pragma once

#include <exception>
#include <string>
#include <string_view>

namespace holdfast::paysim {

struct ErrorBody {
  std::string type = "invalid_request_error";  ///< api_error, card_error, idempotency_error, …
  std::string code;                            ///< left out where empty, as all below
  std::string decline_code;
  std::string message;
  std::string param;
  std::string payment_intent;  ///< JSON
  std::string charge;          ///< id
};

/// `{"error":{…}}`.
std::string to_error_json(const ErrorBody& error);
/// The inner object alone, as in last_payment_error.
std::string to_error_object(const ErrorBody& error);

class ApiError final : public std::exception {
 public:
  ApiError(int status, ErrorBody body) : status_(status), body_(std::move(body)) {}

  static ApiError bad_request(std::string_view param, std::string message, std::string_view code = {});
  static ApiError missing(std::string_view what, std::string_view id, std::string_view param);
  static ApiError unauthenticated(std::string message);

  int status() const noexcept { return status_; }
  const ErrorBody& body() const noexcept { return body_; }
  const char* what() const noexcept override { return body_.message.c_str(); }

 private:
  int status_;
  ErrorBody body_;
};

}  // namespace holdfast::paysim
