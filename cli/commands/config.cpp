// `holdfast config check|print`.
#include <CLI/CLI.hpp>

#include "cli/commands/commands.hpp"
#include "cli/settings.hpp"

namespace holdfast::cli {

namespace {

ExitCode run_check(const Invocation& invocation) {
  load_settings(invocation);  // throws what is wrong with them
  invocation.terminal.print(invocation.json() ? "{\"sound\":true}\n" : "The settings are sound.\n");
  return ExitCode::ok;
}

ExitCode run_print(const Invocation& invocation) {
  const auto format = invocation.json() ? config::PrintFormat::json : config::PrintFormat::yaml;
  std::string text = config::print(load_settings(invocation), format);
  if (!text.ends_with('\n')) text += '\n';
  invocation.terminal.print(text);
  return ExitCode::ok;
}

}  // namespace

void add_config(CLI::App& app, Invocation& invocation) {
  CLI::App* config = app.add_subcommand("config", "The settings: whether they are sound, and what they are");
  config->footer("Examples:\n  holdfast config check --config holdfast.yaml\n  holdfast config print");
  config->require_subcommand(1);

  CLI::App* check =
      config->add_subcommand("check", "List everything that is wrong with the settings; starts nothing");
  check->footer(
      "Examples:\n  holdfast config check --config holdfast.yaml\n  holdfast config check --set "
      "http.address=:80");
  add_settings_options(*check, invocation);
  add_output_option(*check, invocation);
  check->callback([&invocation] { invocation.run = [&invocation] { return run_check(invocation); }; });

  CLI::App* print =
      config->add_subcommand("print", "Print every setting with where it comes from; secrets as ***");
  print->footer("Examples:\n  holdfast config print > holdfast.yaml\n  holdfast config print --output json");
  add_settings_options(*print, invocation);
  add_output_option(*print, invocation);
  print->callback([&invocation] { invocation.run = [&invocation] { return run_print(invocation); }; });
}

}  // namespace holdfast::cli
