// A place in a PostgreSQL's write-ahead log: what pg_lsn is there.
//
// Thread-safety: values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace holdfast::sql::postgres {

/// Bytes since the log's beginning; what is written later is at a higher one.
enum class Position : std::uint64_t {};

/// "16/B374D848", as PostgreSQL writes it.
std::string to_string(Position position);
std::optional<Position> parse_position(std::string_view text) noexcept;

}  // namespace holdfast::sql::postgres
