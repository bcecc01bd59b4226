// The subcommands. Each function adds one to the parser; see the file of its name.
#pragma once

#include "cli/invocation.hpp"

namespace holdfast::cli {

void add_dead_letters(CLI::App& app, Invocation& invocation);
void add_outbox(CLI::App& app, Invocation& invocation);
void add_replay(CLI::App& app, Invocation& invocation);
void add_version(CLI::App& app, Invocation& invocation);

}  // namespace holdfast::cli
