// What must not be read in a log, a trace or a configuration print-out: secrets, credentials, people's
// e-mail addresses. Best effort by name and by shape: the last line of defence, not the first.
//
// Thread-safety: pure functions.
#pragma once

#include <string>
#include <string_view>

namespace holdfast::observe {

inline constexpr std::string_view kMasked = "***";

/// Whether a field of this name holds a secret: it contains password, secret, token, authorization,
/// apiKey, cookie, credential or the like, in any case and with or without `_` and `-`.
bool names_a_secret(std::string_view name) noexcept;

/// Whether redact() would change it. Cheap: for nearly all texts one pass without an allocation.
bool needs_redaction(std::string_view text) noexcept;

/// "Bearer abc" becomes "Bearer ***" (Basic likewise), "jane@example.com" becomes "j***@example.com".
std::string redact(std::string_view text);

}  // namespace holdfast::observe
