// The tables of SqlLeases and of admit(). Numbered by the application in its own history.
#pragma once

#include <vector>

#include "holdfast/sql/migrations.hpp"

namespace holdfast::lease {

/// leases, lease_fences.
std::vector<sql::Migration> migrations();

}  // namespace holdfast::lease
