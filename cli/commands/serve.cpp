// `holdfast serve` and `holdfast worker`: their options. What they do: cli/running.hpp.
#include <CLI/CLI.hpp>

#include "cli/commands/commands.hpp"
#include "cli/running.hpp"

namespace holdfast::cli {

namespace {

struct Raw {
  bool demo = false;
  bool banner = false;
  bool no_worker = false;
  std::string ready_file;
};

ExitCode run(const Invocation& invocation, orders::Role role, const Raw& raw) {
  std::vector<config::Override> more;
  if (raw.no_worker) more.push_back({"worker.enabled", "false", "--no-worker"});
  const LoadedSettings settings = load_settings(invocation, std::move(more));
  return run_order_system(
      invocation, settings,
      {.role = role, .demo = raw.demo, .banner = raw.banner, .ready_file = raw.ready_file});
}

void add_common(CLI::App& command, Invocation& invocation, const std::shared_ptr<Raw>& raw,
                orders::Role role) {
  command.add_option("--ready-file", raw->ready_file, "write the URL here, in one step, once ready")
      ->type_name("PATH");
  command.add_flag("--banner", raw->banner, "say where things are, also where standard error is no terminal");
  add_settings_options(command, invocation);
  add_output_option(command, invocation);
  command.callback([&invocation, raw, role] {
    invocation.run = [&invocation, raw, role] { return run(invocation, role, *raw); };
  });
}

}  // namespace

void add_serve(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("serve", "Run the Order System: API, events, health, metrics");
  command->footer(
      "Makes the data folder and the database where they are missing, and brings the schema up to date "
      "unless\n"
      "database.migrate is false. SIGTERM and Ctrl-C stop it gracefully: what has arrived is answered.\n"
      "\n"
      "Examples:\n"
      "  holdfast serve --demo\n"
      "  holdfast serve --data /var/lib/holdfast --set http.address=0.0.0.0:8080\n"
      "  HOLDFAST_HTTP_ADDRESS=127.0.0.1:0 holdfast serve --ready-file /tmp/url");
  auto raw = std::make_shared<Raw>();
  command->add_flag("--demo", raw->demo, "load a dozen products where the catalog is empty");
  command->add_flag("--no-worker", raw->no_worker, "leave the events to `holdfast worker`");
  add_common(*command, invocation, raw, orders::Role::serve);
}

void add_worker(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("worker", "Handle events without serving the API");
  command->footer(
      "Any number of workers may run beside a server on the same data folder; they share the work.\n"
      "\n"
      "Examples:\n"
      "  holdfast worker\n"
      "  holdfast worker --data /var/lib/holdfast --set notifications.mode=smtp");
  add_common(*command, invocation, std::make_shared<Raw>(), orders::Role::worker);
}

}  // namespace holdfast::cli
