// `holdfast`: the one binary. What it does is in commands/; how it ends, in exit_code.hpp.
#include <cstdlib>

#include "cli/invocation.hpp"

int main(int argc, char** argv) {
  using namespace holdfast;
  const SystemClock clock;
  SystemRandom random;
  const cli::Environment environment = [](std::string_view name) -> std::string {
    const char* value = std::getenv(std::string(name).c_str());
    return value == nullptr ? "" : value;
  };
  cli::Invocation invocation{.clock = clock,
                             .random = random,
                             .terminal = cli::Terminal::standard(environment),
                             .environment = environment,
                             .program = argc > 0 ? argv[0] : "holdfast"};
  return cli::run_holdfast(argc, argv, invocation);
}
