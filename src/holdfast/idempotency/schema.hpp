// The table of this room: idempotency_records.
#pragma once

#include <string>
#include <vector>

#include "holdfast/base/random.hpp"
#include "holdfast/sql/database.hpp"
#include "holdfast/sql/migrations.hpp"

namespace holdfast::idempotency {

/// This room's versions are kFirstMigration … kFirstMigration + 99.
inline constexpr std::int64_t kFirstMigration = 200;

std::vector<sql::Migration> migrations();

/// Names this database, at random and once: whoever keeps its answers elsewhere does so under it.
std::string store_id(const Context& ctx, sql::Database& database, Random& random);

}  // namespace holdfast::idempotency
