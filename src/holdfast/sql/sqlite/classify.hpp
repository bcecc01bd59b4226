// SQLite's result codes as failures of the port.
#pragma once

#include <string_view>

#include "holdfast/sql/failure.hpp"

struct sqlite3;

namespace holdfast::sql::sqlite {

/// `code` is an extended result code, `message` SQLite's own: a few kinds show in it alone.
FailureKind classify(int code, std::string_view message) noexcept;

/// The failure that `db` has just reported with `code`. `doing` and `statement` go to the log.
DatabaseError failure_of(sqlite3* db, int code, std::string_view doing, std::string_view statement = {});

/// Whether the connection should be opened anew: after some I/O errors only that helps.
bool needs_reopening(int code) noexcept;

}  // namespace holdfast::sql::sqlite
