#include "holdfast/messaging/internal/names.hpp"

#include <algorithm>
#include <string>

#include "holdfast/base/error.hpp"
#include "holdfast/messaging/message.hpp"

namespace holdfast::messaging {
namespace {

bool is_name_character(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
         c == '-';
}

[[noreturn]] void refuse(std::string_view what, std::string_view text, std::string_view wanted) {
  throw Error(ErrorCode::invalid_argument, "The " + std::string(what) + " \"" +
                                               std::string(text.substr(0, 64)) + "\" must be " +
                                               std::string(wanted) + ".")
      .reason("message_invalid");
}

}  // namespace

void require_name(std::string_view what, std::string_view name) {
  if (name.empty() || name.size() > kMaxNameBytes || !std::ranges::all_of(name, is_name_character))
    refuse(what, name, "1 to 255 letters, digits, '.', '_' or '-'");
}

void require_short(std::string_view what, std::string_view text) {
  if (text.empty() || text.size() > kMaxNameBytes) refuse(what, text, "1 to 255 bytes long");
}

}  // namespace holdfast::messaging
