// The data folder of a command that opens the database itself, and the settings that say where it is.
#pragma once

#include <functional>

#include "cli/invocation.hpp"
#include "holdfast/runtime/context.hpp"
#include "holdfast/sql/database.hpp"

namespace holdfast::cli {

/// Runs `body` as a fiber, with the database of the data folder open. Throws Error(unavailable) where there
/// is none, or its schema is not this binary's, saying what to do.
ExitCode with_database(const Invocation& invocation,
                       const std::function<ExitCode(const Context&, sql::Database&)>& body);

}  // namespace holdfast::cli
