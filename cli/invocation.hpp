// One run of `holdfast`: what its command needs from the process, and what the command line said that
// all commands share. Commands add themselves to the parser and leave what to do in `run`.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cli/exit_code.hpp"
#include "cli/terminal.hpp"
#include "holdfast/base/clock.hpp"
#include "holdfast/base/random.hpp"

namespace CLI {
class App;
}

namespace holdfast::cli {

enum class OutputFormat : std::uint8_t { text, json };

struct Invocation {
  const Clock& clock;
  Random& random;
  Terminal terminal;
  Environment environment;
  std::string program;  ///< how it was called, to be repeated in advice

  OutputFormat output = OutputFormat::text;
  std::string config_file;            ///< --config
  std::string data_folder;            ///< --data
  std::vector<std::string> settings;  ///< --set http.address=…
  std::function<ExitCode()> run;      ///< of the command that was named

  bool json() const noexcept { return output == OutputFormat::json; }
};

/// `--output text|json`.
void add_output_option(CLI::App& command, Invocation& invocation);
/// `--config FILE`, `--data FOLDER`, `--set key=value`.
void add_settings_options(CLI::App& command, Invocation& invocation);

/// Parses the command line and runs the command named there; returns the process's exit code.
int run_holdfast(int argc, const char* const* argv, Invocation& invocation);

}  // namespace holdfast::cli
