// The schema of the Order System: the platform's tables and the modules', in the order of their history.
#pragma once

#include <vector>

#include "holdfast/sql/migrations.hpp"

namespace holdfast::orders {

/// All steps, ascending.
std::vector<sql::Migration> migrations();

}  // namespace holdfast::orders
