// Trimming: what every group has passed and that is old enough leaves the log; so do old inbox records.
#pragma once

#include <cstdint>

#include "holdfast/messaging/broker.hpp"
#include "holdfast/sql/database.hpp"

namespace holdfast::messaging::engine {

/// Deletes in transactions of trim_batch rows until nothing is left to delete or `ctx` ends; returns the
/// number of messages deleted. Any number of processes may do it at once.
std::int64_t trim(const Context& ctx, sql::Database& database, const BrokerOptions& options);

}  // namespace holdfast::messaging::engine
