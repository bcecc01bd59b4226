// A dozen products with stock, so that a new installation has something to order.
#pragma once

#include <cstddef>

#include "holdfast/runtime/context.hpp"
#include "holdfast/sql/database.hpp"

namespace holdfast::orders {

/// Loads it where the catalog is empty; returns how many products that made.
std::size_t load_demo_catalog(const Context& ctx, sql::Database& database);

}  // namespace holdfast::orders
