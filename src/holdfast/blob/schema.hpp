// The table of this room: blob_claims, which messages refer to which blobs (claim_check.hpp).
#pragma once

#include <vector>

#include "holdfast/sql/migrations.hpp"

namespace holdfast::blob {

/// This room's versions are kFirstMigration … kFirstMigration + 99.
inline constexpr std::int64_t kFirstMigration = 500;

std::vector<sql::Migration> migrations();

}  // namespace holdfast::blob
