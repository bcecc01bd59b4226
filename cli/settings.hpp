// The settings a command runs with: file < environment < --data and --set.
#pragma once

#include <filesystem>
#include <vector>

#include "cli/invocation.hpp"
#include "holdfast/config/config.hpp"
#include "orders/settings.hpp"

namespace holdfast::cli {

using LoadedSettings = config::Loaded<orders::Settings>;

/// `more` counts over everything. Throws Error(invalid_argument, "invalid_configuration") with all faults.
LoadedSettings load_settings(const Invocation& invocation, std::vector<config::Override> more = {});

}  // namespace holdfast::cli
