// PostgreSQL's failures in the port's terms.
#pragma once

#include <string>
#include <string_view>

#include "holdfast/sql/failure.hpp"

struct pg_result;

namespace holdfast::sql::postgres {

/// Of a SQLSTATE, five characters.
FailureKind classify(std::string_view sqlstate) noexcept;

/// The failure a result reports. `statement` is added to its cause, shortened.
DatabaseError failure_of(const pg_result* result, std::string_view statement);

/// Whether it is the end of a wait for a lock (lock_timeout, nowait): the database is well, somebody holds
/// what was needed.
bool waited_for_lock(const Error& failure) noexcept;

/// The failure of a connection that was lost, or gave no answer, while `doing`.
DatabaseError lost(std::string_view doing, std::string_view why);

/// The failure to connect to `address`; libpq's `message` becomes the setting to change and the remedy.
DatabaseError not_connected(std::string_view address, std::string_view message);

}  // namespace holdfast::sql::postgres
