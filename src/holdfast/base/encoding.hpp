// Bytes as text and back: hex, base64 (RFC 4648, with padding), base64url (without), and Crockford's
// base32 of 128 bits, in which ids are written. Decoders are strict: one text a value, so that nothing
// can be said in two ways (no white space, no other alphabet, unused bits are zero).
//
//   encode_hex(digest);  decode_base64url(cursor) → std::optional<std::string>
//
// Thread-safety: pure functions.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace holdfast {

using Bytes16 = std::array<std::uint8_t, 16>;

inline std::span<const std::uint8_t> as_bytes(std::string_view text) noexcept {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

/// Lower case. The decoder takes either case, an even count of digits.
std::string encode_hex(std::span<const std::uint8_t> bytes);
std::optional<std::string> decode_hex(std::string_view text);

std::string encode_base64(std::span<const std::uint8_t> bytes);
std::optional<std::string> decode_base64(std::string_view text);

std::string encode_base64url(std::span<const std::uint8_t> bytes);
std::optional<std::string> decode_base64url(std::string_view text);

/// 26 lower-case characters of 0-9a-z without i, l, o, u; sorts as the bytes do.
inline constexpr std::size_t kBase32Length = 26;
void append_base32(std::string& out, const Bytes16& bytes);
std::optional<Bytes16> decode_base32(std::string_view text);

}  // namespace holdfast
