// `holdfast version`.
#include <CLI/CLI.hpp>

#include "cli/commands/commands.hpp"
#include "holdfast/base/json.hpp"

namespace holdfast::cli {

namespace {

#if defined(__clang__)
constexpr const char* kCompiler = "clang " __clang_version__;
#else
constexpr const char* kCompiler = "gcc " __VERSION__;
#endif

ExitCode run_version(const Invocation& invocation) {
  if (!invocation.json()) {
    invocation.terminal.print("holdfast " HOLDFAST_VERSION "\n");
    return ExitCode::ok;
  }
  std::string out;
  JsonWriter(out)
      .begin_object()
      .member("name", "holdfast")
      .member("version", HOLDFAST_VERSION)
      .member("compiler", kCompiler)
      .end_object();
  invocation.terminal.print(out + "\n");
  return ExitCode::ok;
}

}  // namespace

void add_version(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("version", "Print the version");
  command->footer("Examples:\n  holdfast version\n  holdfast version --output json");
  add_output_option(*command, invocation);
  command->callback([&invocation] { invocation.run = [&invocation] { return run_version(invocation); }; });
}

}  // namespace holdfast::cli
