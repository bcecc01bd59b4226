#include "cli/exit_code.hpp"

namespace holdfast::cli {

ExitCode exit_code_of(const Error& error) noexcept {
  if (error.reason() == "usage") return ExitCode::usage;
  if (error.reason() == "invalid_configuration") return ExitCode::configuration;
  switch (error.code()) {
    case ErrorCode::unavailable:
    case ErrorCode::deadline_exceeded: return ExitCode::unavailable;
    case ErrorCode::cancelled: return ExitCode::interrupted;
    default: return ExitCode::failed;
  }
}

}  // namespace holdfast::cli
