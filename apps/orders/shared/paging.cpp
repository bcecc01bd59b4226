#include "orders/shared/paging.hpp"

#include <charconv>

#include "holdfast/base/encoding.hpp"

namespace holdfast::orders {
namespace {

[[noreturn]] void refuse_cursor() {
  throw Error(
      ErrorCode::invalid_argument,
      "The cursor is not one this list gave out. Start again without it, with the same sort and filters.")
      .reason("bad_cursor")
      .violations({{"?cursor", "bad_cursor", "must be a nextCursor of the same list"}});
}

}  // namespace

std::string write_cursor(const Cursor& cursor) { return encode_base64url(as_bytes(to_json(cursor))); }

Cursor read_cursor(std::string_view text, std::string_view order, std::size_t key_count) {
  const auto json = decode_base64url(text);
  if (!json) refuse_cursor();
  Cursor cursor;
  try {
    cursor = from_json<Cursor>(*json, {.limits = {.max_bytes = 4096, .max_depth = 3}});
  } catch (const Error&) {
    refuse_cursor();
  }
  if (cursor.order != order || cursor.keys.size() != key_count) refuse_cursor();
  return cursor;
}

std::int64_t cursor_number(std::string_view key) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), value);
  if (error != std::errc{} || end != key.data() + key.size()) refuse_cursor();
  return value;
}

std::string like_anywhere(std::string_view text) {
  std::string pattern = "%";
  for (const char c : text) {
    if (c == '%' || c == '_' || c == '\\') pattern.push_back('\\');
    pattern.push_back(c);
  }
  pattern.push_back('%');
  return pattern;
}

}  // namespace holdfast::orders
