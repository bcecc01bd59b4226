#include "cli/replay/api.hpp"

#include <fmt/format.h>

#include "holdfast/base/error.hpp"
#include "holdfast/base/json.hpp"

namespace holdfast::cli {

Refusal refusal_of(const ApiAnswer& answer) {
  constexpr std::size_t kShownBytes = 200;
  try {
    const JsonDocument document = JsonDocument::parse(answer.body);
    const JsonValue* code = document.root().find("code");
    const JsonValue* detail = document.root().find("detail");
    if (code != nullptr && code->is_string()) {
      return {std::string(code->as_string()),
              detail != nullptr && detail->is_string() ? std::string(detail->as_string()) : std::string()};
    }
  } catch (const Error&) {
    // no JSON: an answer of something between us and the server; shown as it is
  }
  return {fmt::format("status_{}", answer.status), answer.body.substr(0, kShownBytes)};
}

void require_status(const ApiAnswer& answer, int wanted, std::string_view doing) {
  if (answer.status == wanted) return;
  const Refusal refusal = refusal_of(answer);
  const std::string what =
      fmt::format("{} was refused with {} ({}): {}", doing, answer.status, refusal.code, refusal.detail);
  if (answer.status == 401) {
    throw Error(ErrorCode::unauthenticated, what + " Make a key with `holdfast keys create --scope admin`.");
  }
  if (answer.status == 403) {
    throw Error(ErrorCode::permission_denied, what + " The key needs the admin scope.");
  }
  throw Error(ErrorCode::internal, what);
}

}  // namespace holdfast::cli
