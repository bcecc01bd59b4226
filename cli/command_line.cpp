#include <CLI/CLI.hpp>
#include <exception>

#include "cli/commands/commands.hpp"
#include "cli/invocation.hpp"
#include "holdfast/base/json.hpp"

namespace holdfast::cli {

namespace {

constexpr const char* kAbout =
    "Holdfast: an order system that keeps its promises when things break.\n"
    "\n"
    "  holdfast serve --demo          start it, with a few products to try\n"
    "  holdfast COMMAND --help        what a command does, with examples\n";

/// For a person one line; for a machine one object. Both on standard error: standard output is for results.
void report(const Invocation& invocation, const Error& error) {
  const Terminal& terminal = invocation.terminal;
  if (!invocation.json()) {
    // Who runs a command may know causes that a client of the API may not.
    const std::string cause = error.cause().empty() ? "" : " (" + error.cause() + ")";
    terminal.note(terminal.red("holdfast: ", Terminal::Stream::note) + error.detail() + cause + "\n");
    for (const FieldViolation& violation : error.violations()) {
      if (error.detail().find(violation.message) != std::string::npos) continue;  // settings' faults
      terminal.note("  " + violation.pointer + ": " + violation.message + "\n");
    }
    return;
  }
  std::string out;
  JsonWriter writer(out);
  writer.begin_object().key("error").begin_object();
  writer.member("code", to_string(error.code()))
      .member("reason", error.reason())
      .member("detail", error.detail());
  if (!error.cause().empty()) writer.member("cause", error.cause());
  writer.key("violations").begin_array();
  for (const FieldViolation& violation : error.violations()) {
    writer.begin_object();
    writer.member("pointer", violation.pointer)
        .member("code", violation.code)
        .member("message", violation.message);
    writer.end_object();
  }
  writer.end_array().end_object().end_object();
  terminal.note(out + "\n");
}

void add_commands(CLI::App& app, Invocation& invocation) {
  add_serve(app, invocation);
  add_worker(app, invocation);
  add_migrate(app, invocation);
  add_import(app, invocation);
  add_replay(app, invocation);
  add_outbox(app, invocation);
  add_dead_letters(app, invocation);
  add_webhooks(app, invocation);
  add_drill(app, invocation);
  add_sagas(app, invocation);
  add_keys(app, invocation);
  add_config(app, invocation);
  add_version(app, invocation);
}

int run_command(Invocation& invocation) {
  try {
    return static_cast<int>(invocation.run());
  } catch (const Error& error) {
    report(invocation, error);
    return static_cast<int>(exit_code_of(error));
  } catch (const std::exception& failure) {
    report(invocation, Error(ErrorCode::internal, failure.what()));
    return static_cast<int>(ExitCode::failed);
  }
}

}  // namespace

void add_output_option(CLI::App& command, Invocation& invocation) {
  command
      .add_option_function<std::string>(
          "--output",
          [&invocation](const std::string& format) {
            invocation.output = format == "json" ? OutputFormat::json : OutputFormat::text;
          },
          "text for people, json for machines")
      ->check(CLI::IsMember({"text", "json"}).description(""))
      ->type_name("text|json");
}

void add_settings_options(CLI::App& command, Invocation& invocation) {
  command.add_option("--config", invocation.config_file, "YAML file of settings (HOLDFAST_CONFIG)")
      ->type_name("FILE");
  command
      .add_option("--data", invocation.data_folder,
                  "folder of database and mail; ./data unless set (HOLDFAST_DATA)")
      ->type_name("FOLDER");
  command
      .add_option("--set", invocation.settings,
                  "one setting, before file and environment: --set http.address=:80")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
}

int run_holdfast(int argc, const char* const* argv, Invocation& invocation) {
  CLI::App app(kAbout, "holdfast");
  app.footer(std::string("\n") + std::string(kExitCodesText));
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string("holdfast " HOLDFAST_VERSION));
  app.failure_message(CLI::FailureMessage::simple);
  add_commands(app, invocation);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // Help and version are "errors" of exit code 0 here.
    return app.exit(error) == 0 ? static_cast<int>(ExitCode::ok) : static_cast<int>(ExitCode::usage);
  }
  return run_command(invocation);
}

}  // namespace holdfast::cli
