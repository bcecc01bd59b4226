// How `holdfast` ends, for scripts. The same table is in `holdfast --help` and docs/cli.md.
#pragma once

#include <string_view>

#include "holdfast/base/error.hpp"

namespace holdfast::cli {

enum class ExitCode : int {
  ok = 0,
  failed = 1,         ///< it was tried and failed, or what was checked does not hold
  usage = 2,          ///< the command line is wrong; nothing was done
  configuration = 3,  ///< the settings are wrong; nothing was started
  unavailable = 4,    ///< what it needs can't be used now: server, port, data folder, disk, schema
  interrupted = 130,  ///< SIGINT
  terminated = 143,   ///< SIGTERM
};

inline constexpr std::string_view kExitCodesText =
    "Exit codes:\n"
    "  0    done; what was checked holds\n"
    "  1    failed, or what was checked does not hold\n"
    "  2    the command line is wrong; nothing was done\n"
    "  3    the settings are wrong; nothing was started\n"
    "  4    something it needs can't be used now: the server, the port, the data folder, the schema\n"
    "  130  ended by Ctrl-C (SIGINT)\n"
    "  143  ended by SIGTERM\n";

/// What an Error that nobody handled ends the process with.
ExitCode exit_code_of(const Error& error) noexcept;

}  // namespace holdfast::cli
