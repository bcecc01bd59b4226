// What a topic, a group, a key and a type may look like.
#pragma once

#include <string_view>

namespace holdfast::messaging {

/// Throws Error(invalid_argument) naming `what` unless `name` is 1 … kMaxNameBytes letters, digits, '.',
/// '_' or '-'.
void require_name(std::string_view what, std::string_view name);

/// The same for free text: 1 … kMaxNameBytes bytes.
void require_short(std::string_view what, std::string_view text);

}  // namespace holdfast::messaging
