// The table of this room: idempotency_records.
#pragma once

#include <vector>

#include "holdfast/sql/migrations.hpp"

namespace holdfast::idempotency {

/// This room's versions are kFirstMigration … kFirstMigration + 99.
inline constexpr std::int64_t kFirstMigration = 200;

std::vector<sql::Migration> migrations();

}  // namespace holdfast::idempotency
