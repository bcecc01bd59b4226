#include "paysim/api_error.hpp"

#include "holdfast/base/json.hpp"

namespace holdfast::paysim {

std::string to_error_object(const ErrorBody& error) {
  std::string out;
  JsonWriter writer(out);
  writer.begin_object();
  const auto add = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) writer.member(name, value);
  };
  add("charge", error.charge);
  add("code", error.code);
  add("decline_code", error.decline_code);
  add("message", error.message);
  add("param", error.param);
  if (!error.payment_intent.empty()) writer.key("payment_intent").raw(error.payment_intent);
  writer.member("type", error.type).end_object();
  return out;
}

std::string to_error_json(const ErrorBody& error) { return "{\"error\":" + to_error_object(error) + "}"; }

ApiError ApiError::bad_request(std::string_view param, std::string message, std::string_view code) {
  return {400, {.code = std::string(code), .message = std::move(message), .param = std::string(param)}};
}

ApiError ApiError::missing(std::string_view what, std::string_view id, std::string_view param) {
  return {404,
          {.code = "resource_missing",
           .message = "No such " + std::string(what) + ": '" + std::string(id) + "'",
           .param = std::string(param)}};
}

ApiError ApiError::unauthenticated(std::string message) { return {401, {.message = std::move(message)}}; }

}  // namespace holdfast::paysim
