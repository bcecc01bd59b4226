// `--filter group=receipts --filter error=timeout`: which dead letters are meant.
#pragma once

#include <string>
#include <vector>

#include "holdfast/messaging/dead_letters.hpp"

namespace holdfast::cli {

inline constexpr const char* kDeadLetterFilterHelp =
    "only those where KEY is VALUE: group, topic, type, key, error (contains), from and before (RFC 3339 "
    "times); "
    "repeatable, all must hold";

/// Throws Error(invalid_argument)/"usage" for what is no such filter, or one given twice.
messaging::DeadLetterFilter parse_dead_letter_filter(const std::vector<std::string>& assignments);

}  // namespace holdfast::cli
