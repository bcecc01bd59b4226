// UTF-8 as RFC 3629 defines it: no overlong forms, no surrogates, nothing above U+10FFFF. Everything
// that enters Holdfast as text is checked with these once, at the edge.
//
//   if (!is_valid_utf8(name)) …;  code_points("naïve") == 5
//
// Thread-safety: pure functions.
#pragma once

#include <cstddef>
#include <string_view>

namespace holdfast {

/// The bytes (1–4) of the well-formed sequence that `text` begins with, or 0 where there is none.
std::size_t utf8_sequence(std::string_view text) noexcept;

bool is_valid_utf8(std::string_view text) noexcept;

/// The longest beginning of `text` of at most `most` bytes that cuts no sequence in two.
std::string_view utf8_prefix(std::string_view text, std::size_t most) noexcept;

/// How many code points; `text` must be valid (otherwise each lead byte counts).
std::size_t code_points(std::string_view text) noexcept;

/// True where `text` holds a control character: U+0000–U+001F, U+007F, or U+0080–U+009F.
bool has_control_characters(std::string_view text) noexcept;

}  // namespace holdfast
