// Where the effect of a leased work is: refuses those whose lease has passed on to another.
//
//   db.transact(ctx, "write report", [&](sql::Transaction& tx) {
//     lease::admit(tx, "nightly-report", fence);       // throws where a higher fence has been here
//     …
//   });
//
// Thread-safety: as the Transaction's.
#pragma once

#include <string_view>

#include "holdfast/lease/leases.hpp"
#include "holdfast/sql/database.hpp"

namespace holdfast::lease {

/// Remembers `fence` as the highest seen at `resource`. Throws Error(conflict, "fenced_off") where a higher
/// one has been admitted: the lease is another's by now.
void admit(sql::Transaction& tx, std::string_view resource, Fence fence);

}  // namespace holdfast::lease
