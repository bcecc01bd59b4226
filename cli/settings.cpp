#include "cli/settings.hpp"

namespace holdfast::cli {

LoadedSettings load_settings(const Invocation& invocation, std::vector<config::Override> more) {
  config::Sources sources;
  sources.file =
      invocation.config_file.empty() ? invocation.environment("HOLDFAST_CONFIG") : invocation.config_file;
  sources.environment = config::process_environment();
  sources.other_variables = {"HOLDFAST_CONFIG",       "HOLDFAST_API_KEY",      "HOLDFAST_FAULT_KILL",
                             "HOLDFAST_BINARY",       "HOLDFAST_CRASH_ROUNDS", "HOLDFAST_EMBEDDED_ONLY",
                             "HOLDFAST_TEST_DATABASE"};
  if (!invocation.data_folder.empty())
    sources.overrides.push_back({"data", invocation.data_folder, "--data"});
  for (const std::string& setting : invocation.settings)
    sources.overrides.push_back(config::parse_override(setting));
  for (config::Override& one : more) sources.overrides.push_back(std::move(one));
  return config::load<orders::Settings>(sources);
}

}  // namespace holdfast::cli
