// Wall time as text: RFC 3339 for JSON, logs and files, HTTP-date (RFC 9110) for headers. Reading is
// strict: what is not in the format, or no real date, is refused, not guessed.
//
//   format_rfc3339(at) == "2026-01-01T12:30:00Z", with ".000250" where there are parts of a second
//
// Thread-safety: pure functions; no locale, no time zone database.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "holdfast/base/clock.hpp"
#include "holdfast/base/text_form.hpp"

namespace holdfast {

/// UTC with 'Z'; six digits of fraction, or none for whole seconds. Years 0000–9999.
std::string format_rfc3339(WallTime at);
void append_rfc3339(std::string& out, WallTime at);

/// Offsets are converted to UTC; a fraction past microseconds is cut; a leap second (…:60) counts as the
/// second after. Nothing for anything else.
std::optional<WallTime> parse_rfc3339(std::string_view text);

/// "Sun, 06 Nov 1994 08:49:37 GMT"; parts of a second are dropped.
std::string format_http_date(WallTime at);

/// The preferred form and the two obsolete ones that RFC 9110, 5.6.7 obliges a recipient to accept. The
/// two-digit years of RFC 850 mean 1970–2069.
std::optional<WallTime> parse_http_date(std::string_view text);

template <>
struct TextForm<WallTime> {
  static void append(std::string& out, const WallTime& at) { append_rfc3339(out, at); }
  static std::optional<WallTime> parse(std::string_view text) { return parse_rfc3339(text); }
  static constexpr TextSchema schema{.what = "an RFC 3339 time such as 2026-01-31T12:30:00Z",
                                     .format = "date-time",
                                     .example = "2026-01-31T12:30:00Z"};
};

}  // namespace holdfast
