// The tables of this room, as migrations.
#pragma once

#include <vector>

#include "holdfast/sql/migrations.hpp"

namespace holdfast::saga {

/// sagas, saga_signals, saga_leases, saga_workers, saga_definitions. Its version is where it stands in
/// this list; an application numbers them anew in its own history.
std::vector<sql::Migration> migrations();

}  // namespace holdfast::saga
