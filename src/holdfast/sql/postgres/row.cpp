#include "holdfast/sql/postgres/row.hpp"

#include <libpq-fe.h>

#include <charconv>
#include <cstddef>

#include "holdfast/sql/postgres/types.hpp"

namespace holdfast::sql::postgres {
namespace {

int digit(char c) noexcept { return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10; }

// "\x00ff", as the server writes bytea.
void decode_hex(std::string_view text, std::vector<std::byte>& bytes) {
  bytes.clear();
  if (text.starts_with("\\x")) text.remove_prefix(2);
  bytes.reserve(text.size() / 2);
  for (std::size_t i = 0; i + 1 < text.size(); i += 2)
    bytes.push_back(static_cast<std::byte>(digit(text[i]) * 16 + digit(text[i + 1])));
}

Value number(std::string_view text) noexcept {
  std::int64_t whole = 0;
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, whole);
  if (read.ec == std::errc() && read.ptr == end) return Value::integer(whole);
  double real = 0;
  std::from_chars(text.data(), end, real);
  return Value::real(real);
}

Value real(std::string_view text) noexcept {
  double value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return Value::real(value);
}

}  // namespace

ResultRow::ResultRow(const pg_result* result, std::string_view sql, std::size_t hidden)
    : result_(result), sql_(sql), hidden_(hidden) {}

std::size_t ResultRow::columns() const noexcept {
  return static_cast<std::size_t>(PQnfields(result_)) - hidden_;
}

std::string_view ResultRow::name(std::size_t column) const {
  const char* name = PQfname(result_, static_cast<int>(column + hidden_));
  return name != nullptr ? std::string_view(name) : std::string_view();
}

Value ResultRow::value(std::size_t column) const {
  const int index = static_cast<int>(column + hidden_);
  if (PQgetisnull(result_, row_, index) != 0) return {};
  const std::string_view text(PQgetvalue(result_, row_, index),
                              static_cast<std::size_t>(PQgetlength(result_, row_, index)));
  switch (PQftype(result_, index)) {
    case kInt2:
    case kInt4:
    case kInt8:
    case kOid:
    case kNumeric: return number(text);
    case kBool: return Value::integer(text == "t" ? 1 : 0);
    case kFloat4:
    case kFloat8: return real(text);
    case kBytea: {
      if (bytes_.size() <= column) bytes_.resize(columns());
      decode_hex(text, bytes_[column]);
      return Value::blob(bytes_[column]);
    }
    default: return Value::text(text);
  }
}

}  // namespace holdfast::sql::postgres
