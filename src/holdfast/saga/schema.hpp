// The tables of this room, as migrations.
#pragma once

#include <cstdint>
#include <vector>

#include "holdfast/sql/migrations.hpp"

namespace holdfast::saga {

/// This room's versions are kFirstMigration … kFirstMigration + 99.
inline constexpr std::int64_t kFirstMigration = 300;

/// sagas, saga_signals, saga_leases, saga_workers, saga_definitions.
std::vector<sql::Migration> migrations();

}  // namespace holdfast::saga
