// `paysim`: a payment provider to develop against and to break. What it does is in paysim.hpp.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "holdfast/base/error.hpp"
#include "holdfast/runtime/signals.hpp"
#include "paysim/paysim.hpp"

namespace {

using namespace holdfast;

struct Options {
  paysim::Settings settings;
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
  paysim::Settings& settings = options.settings;
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.add_option("--address", settings.address, "host:port to listen on; port 0 takes a free one")
      ->capture_default_str();
  app.add_option("--data", settings.data, "its own data folder, made where it is missing")
      ->capture_default_str();
  app.add_option("--ready-file", options.ready_file, "write the URL here, in one step, once ready");
  app.add_option("--secret-key", settings.secret_key, "the key callers must show")->capture_default_str();
  app.add_option("--webhook-url", settings.webhook_url,
                 "where to send events; without it, where it was last");
  app.add_option("--webhook-secret", settings.webhook_secret, "signs webhooks")->capture_default_str();
  app.add_option("--webhook-events", settings.webhook_events,
                 "types of events to send to --webhook-url, separated by commas; * is any")
      ->delimiter(',')
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->capture_default_str();
  app.add_option("--behaviour", settings.behaviour,
                 "how to misbehave: JSON as PUT /paysim/behaviour takes it");
  app.add_option("--workers", options.workers, "event loops; 0: one a core")->capture_default_str();
  app.footer(
      "Speaks a part of Stripe's API: payment intents, refunds, events, webhooks. Everything is kept in the "
      "data\n"
      "folder. The page at / shows what it has charged and how it misbehaves.\n"
      "\n"
      "Examples:\n"
      "  paysim\n"
      "  paysim --behaviour "
      "'{\"rules\":[{\"action\":\"drop_after\",\"operation\":\"authorize\",\"rate\":0.1}]}'\n"
      "  curl -u sk_test_paysim: http://127.0.0.1:4242/v1/payment_intents -d amount=1999 -d currency=gbp \\\n"
      "       -d confirm=true -d payment_method=pm_card_visa");
}

void serve(const Context& ctx, const Options& options, runtime::Runtime& runtime, observe::Log& log) {
  paysim::Paysim provider(options.settings, runtime, log);
  runtime::ShutdownSignals signals;
  provider.start(ctx);
  if (::isatty(STDERR_FILENO) != 0) {
    std::fprintf(stderr, "paysim is ready at %s (its page, and Stripe's API under /v1). Ctrl-C stops it.\n",
                 provider.url().c_str());
  }
  if (!options.ready_file.empty()) write_atomically(options.ready_file, provider.url() + "\n");
  signals.wait(ctx);
  std::error_code ignored;  // a stale one misleads only whoever does not look whether the process lives
  if (!options.ready_file.empty()) std::filesystem::remove(options.ready_file, ignored);
  provider.stop(ctx);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("A payment provider to develop against and to break.");
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
            ? " Stop what listens there, or choose another address with --address 127.0.0.1:4243."
            : "";
    std::fprintf(stderr, "paysim: %s%s\n", error.detail().c_str(), remedy);
    code = 1;
  }
  return code;
}
