// The subcommands. Each function adds one to the parser; see the file of its name.
#pragma once

#include "cli/invocation.hpp"

namespace holdfast::cli {

void add_config(CLI::App& app, Invocation& invocation);
void add_dead_letters(CLI::App& app, Invocation& invocation);
void add_drill(CLI::App& app, Invocation& invocation);
void add_import(CLI::App& app, Invocation& invocation);
void add_keys(CLI::App& app, Invocation& invocation);
void add_migrate(CLI::App& app, Invocation& invocation);
void add_migrate_data(CLI::App& migrate, Invocation& invocation);
void add_outbox(CLI::App& app, Invocation& invocation);
void add_replay(CLI::App& app, Invocation& invocation);
void add_sagas(CLI::App& app, Invocation& invocation);
void add_serve(CLI::App& app, Invocation& invocation);
void add_version(CLI::App& app, Invocation& invocation);
void add_webhooks(CLI::App& app, Invocation& invocation);
void add_worker(CLI::App& app, Invocation& invocation);

}  // namespace holdfast::cli
