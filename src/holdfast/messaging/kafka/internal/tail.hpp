// The end of a topic: the highest position in its partitions' last records.
//
// Thread-safety: blocks; for a pool's thread.
#pragma once

#include <cstdint>
#include <string>

#include "holdfast/messaging/kafka/topic.hpp"

namespace holdfast::messaging::kafka {

/// Of records with `mark` only; 0 where there is none. Throws Error(unavailable) where the partitions could
/// not all be looked at within options.request_timeout.
std::int64_t highest_position(const Options& options, const std::string& mark, int partitions);

}  // namespace holdfast::messaging::kafka
