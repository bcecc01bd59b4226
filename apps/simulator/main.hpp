// What the main() of every simulator does: options, runtime, a ready file, a graceful stop.
//   return simulator::run<paysim::Paysim>(kAbout, paysim::Settings{}, add_options, argc, argv);
// A simulator is made of its settings, a Runtime and a Log, and has start(ctx), url() and stop(ctx).
#pragma once

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <concepts>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "holdfast/base/error.hpp"
#include "holdfast/observe/log.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/runtime/signals.hpp"

namespace holdfast::simulator {

/// What it says of itself. All literals.
struct About {
  const char* name;          ///< of the binary
  const char* what;          ///< the first line of --help
  const char* footer;        ///< the last lines of --help: what it speaks, examples
  const char* is_ready_at;   ///< to a terminal, once it listens: what is at its URL
  const char* free_address;  ///< proposed where its address is taken, as "127.0.0.1:4243"
};

template <typename T>
concept Simulator = requires(T it, const Context& ctx) {
  it.start(ctx);
  { it.url() } -> std::convertible_to<std::string>;
  it.stop(ctx);
};

namespace internal {

/// Written beside and renamed into place: whoever sees the file sees all of it.
inline void write_atomically(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::path beside = path;
  beside += ".new";
  std::ofstream file(beside, std::ios::trunc);
  file << text;
  file.close();
  std::error_code failure;
  if (file) std::filesystem::rename(beside, path, failure);
  if (!file || failure)
    throw Error(ErrorCode::unavailable, "The file " + path.string() + " can't be written.");
}

template <Simulator T>
void serve(const Context& ctx, T& it, const About& about, const std::string& ready_file) {
  runtime::ShutdownSignals signals;
  it.start(ctx);
  if (::isatty(STDERR_FILENO) != 0) {
    std::fprintf(stderr, "%s is ready at %s%s. Ctrl-C stops it.\n", about.name, it.url().c_str(),
                 about.is_ready_at);
  }
  if (!ready_file.empty()) write_atomically(ready_file, it.url() + "\n");
  signals.wait(ctx);
  std::error_code ignored;  // a stale one misleads only whoever does not look whether the process lives
  if (!ready_file.empty()) std::filesystem::remove(ready_file, ignored);
  it.stop(ctx);
}

}  // namespace internal

/// Runs until SIGTERM or SIGINT; returns main()'s code: 1 where it could not start, with the reason and the
/// remedy on stderr. `add_options(app, settings)` adds the simulator's own; --address, --data, --ready-file
/// and
/// --workers are there already. One event loop unless told: it stands beside the service it is there for.
template <Simulator T, typename Settings, typename AddOptions>
int run(const About& about, Settings settings, AddOptions&& add_options, int argc, char** argv) {
  CLI::App app(about.what);
  std::string ready_file;
  std::size_t workers = 1;
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.add_option("--address", settings.address, "host:port to listen on; port 0 takes a free one")
      ->capture_default_str();
  app.add_option("--data", settings.data, "its own data folder, made where it is missing")
      ->capture_default_str();
  app.add_option("--ready-file", ready_file, "write the URL here, in one step, once ready");
  app.add_option("--workers", workers, "event loops; 0: one a core")->capture_default_str();
  add_options(app, settings);
  app.footer(about.footer);
  CLI11_PARSE(app, argc, argv);
  runtime::ShutdownSignals::block();
  const SystemClock clock;
  SystemRandom random;
  observe::Log log({}, clock);
  try {
    runtime::Runtime runtime({.loops = workers}, clock, random);
    runtime.run([&](const Context& ctx) {
      T it(settings, runtime, log);
      internal::serve(ctx, it, about, ready_file);
    });
  } catch (const Error& error) {
    const std::string remedy =
        error.reason() == "cannot_listen"
            ? std::string(" Stop what listens there, or choose another address with --address ") +
                  about.free_address + "."
            : "";
    std::fprintf(stderr, "%s: %s%s\n", about.name, error.detail().c_str(), remedy.c_str());
    return 1;
  }
  return 0;
}

}  // namespace holdfast::simulator
