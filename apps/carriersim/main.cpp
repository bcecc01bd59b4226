// `carriersim`: an old carrier to develop against and to break. What it does is in carriersim.hpp.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "carriersim/carriersim.hpp"
#include "holdfast/base/error.hpp"
#include "holdfast/runtime/signals.hpp"

namespace {

using namespace holdfast;

struct Options {
  carriersim::Settings settings;
  std::string ready_file;
  std::size_t workers = 0;
};

/// Written beside and renamed into place: whoever sees the file sees all of it.
void write_atomically(const std::filesystem::path& path, const std::string& text) {
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

void add_options(CLI::App& app, Options& options) {
  carriersim::Settings& settings = options.settings;
  app.add_option("--address", settings.address, "host:port to listen on; port 0 takes a free one")
      ->capture_default_str();
  app.add_option("--data", settings.data, "its own data folder, made where it is missing")
      ->capture_default_str();
  app.add_option("--ready-file", options.ready_file, "write the URL here, in one step, once ready");
  app.add_option("--customer-number", settings.customer_number, "the one customer it has")
      ->capture_default_str();
  app.add_option("--password", settings.password, "what callers must show; empty: nothing");
  app.add_option("--behaviour", settings.behaviour,
                 "how to misbehave: JSON as PUT /carriersim/behaviour takes it");
  app.add_option("--workers", options.workers, "event loops; 0: one a core")->capture_default_str();
  app.footer(
      "Speaks fixed forms of NAME=value lines. Everything is kept in the data folder;\n"
      "GET /carriersim/book shows it.\n"
      "\n"
      "Examples:\n"
      "  carriersim\n"
      "  carriersim --behaviour "
      "'{\"rules\":[{\"action\":\"drop_after\",\"operation\":\"book\",\"rate\":0.1}]}'\n"
      "  printf 'FORM=SNDAUS\\nKUNNR=0000004711\\nXREF=x\\n' | \\\n"
      "       curl --data-binary @- http://127.0.0.1:8092/cgi-bin/auskunft");
}

void serve(const Context& ctx, const Options& options, runtime::Runtime& runtime, observe::Log& log) {
  carriersim::Carriersim carrier(options.settings, runtime, log);
  runtime::ShutdownSignals signals;
  carrier.start(ctx);
  if (::isatty(STDERR_FILENO) != 0) {
    std::fprintf(stderr, "carriersim is ready at %s. Ctrl-C stops it.\n", carrier.url().c_str());
  }
  if (!options.ready_file.empty()) write_atomically(options.ready_file, carrier.url() + "\n");
  signals.wait(ctx);
  std::error_code ignored;  // a stale one misleads only whoever does not look whether the process lives
  if (!options.ready_file.empty()) std::filesystem::remove(options.ready_file, ignored);
  carrier.stop(ctx);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("An old carrier to develop against and to break.");
  Options options;
  add_options(app, options);
  CLI11_PARSE(app, argc, argv);
  runtime::ShutdownSignals::block();
  const SystemClock clock;
  SystemRandom random;
  observe::Log log({}, clock);
  int code = 0;
  try {
    runtime::Runtime runtime({.loops = options.workers}, clock, random);
    runtime.run([&](const Context& ctx) { serve(ctx, options, runtime, log); });
  } catch (const Error& error) {
    const char* remedy =
        error.reason() == "cannot_listen"
            ? " Stop what listens there, or choose another address with --address 127.0.0.1:8093."
            : "";
    std::fprintf(stderr, "carriersim: %s%s\n", error.detail().c_str(), remedy);
    code = 1;
  }
  return code;
}
