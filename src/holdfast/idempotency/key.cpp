#include "holdfast/base/error.hpp"
#include "holdfast/idempotency/idempotency.hpp"

namespace holdfast::idempotency {
namespace {

constexpr std::size_t kMaxKeyBytes = 255;

[[noreturn]] void refuse(std::string detail) {
  throw Error(ErrorCode::invalid_argument, std::move(detail))
      .reason("idempotency_key_invalid")
      .violations({{.pointer = "header Idempotency-Key",
                    .code = "idempotency_key_invalid",
                    .message = "must be 1 to 255 printable ASCII characters"}});
}

bool printable(char c) noexcept { return c >= 0x20 && c <= 0x7e; }

/// The inside of an RFC 8941 string: \" and \\ are the only escapes.
std::string unquoted(std::string_view text) {
  std::string key;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"') refuse("The Idempotency-Key is a quoted string with something after its end.");
    if (text[i] == '\\') {
      ++i;
      if (i >= text.size() || (text[i] != '"' && text[i] != '\\'))
        refuse("The Idempotency-Key is a quoted string with a malformed escape.");
    }
    key += text[i];
  }
  return key;
}

}  // namespace

std::string parse_key(std::string_view value) {
  while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
  while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
  for (const char c : value) {
    if (!printable(c)) refuse("The Idempotency-Key has characters other than printable ASCII.");
  }
  std::string key;
  if (value.starts_with('"')) {
    // The last quote must be the end of the string, not an escaped one: unquoted() sees a lone backslash.
    if (value.size() < 2 || value.back() != '"')
      refuse("The Idempotency-Key is a quoted string without its end.");
    key = unquoted(value.substr(1, value.size() - 2));
  } else {
    key = std::string(value);
  }
  if (key.empty()) refuse("The Idempotency-Key is empty.");
  if (key.size() > kMaxKeyBytes)
    refuse("The Idempotency-Key has " + std::to_string(key.size()) + " characters; at most 255 are taken.");
  return key;
}

}  // namespace holdfast::idempotency
