// Whether a Redis will do as a broker: what is looked at once, at the start.
#pragma once

#include <string>

#include "holdfast/observe/log.hpp"
#include "holdfast/redis/client.hpp"

namespace holdfast::messaging::redis_streams {

/// Throws Error(failed_precondition, "redis_refused") naming the setting and the remedy; warns of what is
/// merely worse than it looks.
void check_server(const Context& ctx, holdfast::redis::Client& client, const observe::Logger& logger);

/// The refusal itself: `what` says what to change.
[[noreturn]] void refuse(std::string what);

}  // namespace holdfast::messaging::redis_streams
