#include "cli/running.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include "cli/data_folder.hpp"
#include "holdfast/runtime/signals.hpp"
#include "orders/demo_catalog.hpp"
#include "orders/modules/catalog/catalog.hpp"
#include "orders/open_database.hpp"

namespace holdfast::cli {

namespace fs = std::filesystem;

namespace {

/// What went wrong at the start, as one line with a remedy.
Error start_refused(const Error& error, orders::Role role) {
  if (error.code() == ErrorCode::failed_precondition) return schema_refused(error);
  if (error.reason() != "cannot_listen") return error;
  const bool serves = role == orders::Role::serve;
  return Error(ErrorCode::unavailable,
               fmt::format("{} Stop what listens there, or choose another address with {} or --set "
                           "{}=127.0.0.1:8081.",
                           error.detail(), serves ? "HOLDFAST_HTTP_ADDRESS" : "HOLDFAST_WORKER_ADDRESS",
                           serves ? "http.address" : "worker.address"))
      .reason("cannot_listen")
      .cause(error.cause());
}

/// The running system and what surrounds it, on the main fiber.
class Running {
 public:
  Running(const Invocation& invocation, const LoadedSettings& settings, const RunningOptions& options,
          runtime::Runtime& runtime, observe::Log& log, observe::Metrics& metrics)
      : invocation_(invocation),
        settings_(*settings),
        options_(options),
        runtime_(runtime),
        logger_(log.logger("holdfast")),
        system_(*settings, runtime, log, metrics, options.role) {}

  ExitCode run(const Context& ctx) {
    runtime::ShutdownSignals signals;
    start(ctx);
    announce();
    const int signal = signals.wait(ctx);
    logger_.info("stopping", {{"signal", signal}});
    if (show_banner())
      invocation_.terminal.note("\nStopping: answering what has arrived; once more ends at once.\n");
    withdraw();
    const bool clean = system_.stop(ctx);
    logger_.info("stopped", {{"clean", clean}});
    return clean ? ExitCode::ok : ExitCode::failed;
  }

 private:
  void start(const Context& ctx) {
    try {
      if (!settings_.database.migrate) {
        const auto database = orders::open_unmigrated(ctx, settings_, runtime_, "cli");
        require_schema(ctx, *database, false);
      }
      system_.start(ctx);
    } catch (const Error& error) {
      throw start_refused(error, options_.role);
    }
    if (options_.demo) orders::load_demo_catalog(ctx, system_.database());
    if (!serves()) return;
    const auto first = system_.database().read(ctx, [](sql::Snapshot& db) {
      return orders::catalog::list(db, {.status = orders::catalog::ProductStatus::active, .limit = 1});
    });
    if (!first.items.empty()) sample_sku_ = first.items.front().sku;
  }

  bool serves() const { return options_.role == orders::Role::serve; }
  bool show_banner() const { return options_.banner || invocation_.terminal.note_is_terminal(); }
  fs::path pid_file() const { return fs::path(settings_.data) / "holdfast.pid"; }

  std::string url() const {
    const std::string& address = serves() ? settings_.http.address : settings_.worker.address;
    std::string host = address.substr(0, address.rfind(':'));
    if (host.empty() || host == "0.0.0.0" || host == "[::]") host = "127.0.0.1";
    return fmt::format("http://{}:{}", host, system_.http_port());
  }

  void announce() const {
    if (serves()) write_atomically(pid_file(), fmt::format("{}\n", ::getpid()));
    if (show_banner()) invocation_.terminal.note(serves() ? banner() : worker_banner());
    if (!options_.ready_file.empty())
      write_atomically(options_.ready_file, system_.http_port() != 0 ? url() + "\n" : "ready\n");
  }

  std::string worker_banner() const {
    std::string text = "The worker is running. Ctrl-C stops it.\n";
    if (system_.http_port() != 0)
      text += fmt::format("  Health   {0}/health/ready    metrics {0}/metrics\n", url());
    return text;
  }

  void withdraw() const {
    std::error_code ignored;  // stale ones mislead only whoever does not look whether the process lives
    if (serves()) fs::remove(pid_file(), ignored);
    if (!options_.ready_file.empty()) fs::remove(options_.ready_file, ignored);
  }

  std::string banner() const {
    const Terminal& terminal = invocation_.terminal;
    const std::string program = invocation_.program;
    const std::string data = fs::absolute(settings_.data).lexically_normal().string();
    std::string text =
        "\n" + terminal.bold("The Order System is ready at " + url(), Terminal::Stream::note) + "\n\n";
    text += fmt::format("  Look:    curl -s '{}/v1/products?limit=3'\n", url());
    text += fmt::format("  Order:   KEY=$({} keys create --scope write{} | tail -n 1)\n", program,
                        settings_.data == "data" ? "" : " --data " + settings_.data);
    text += fmt::format(
        "           curl -s {}/v1/orders -H \"Authorization: Bearer $KEY\" -H 'Content-Type: "
        "application/json' \\\n"
        "             -H 'Idempotency-Key: my-first-order' \\\n"
        "             -d '{{\"customerId\": \"ada\", \"items\": [{{\"sku\": \"{}\", \"quantity\": 2}}]}}'\n",
        url(), sample_sku_);
    text += fmt::format("\n  API      {0}/docs    OpenAPI {0}/openapi.json\n", url());
    text += fmt::format("  Health   {0}/health/ready    metrics {0}/metrics\n", url());
    text += fmt::format("  Data     {}\n", data);
    if (!orders::sqlite_file(settings_))
      text += fmt::format("  Database {}\n", orders::shown_database(settings_));
    if (settings_.notifications.mode == orders::MailMode::maildir) {
      text += fmt::format("  Mail     {}/new\n",
                          fs::absolute(orders::data_path(settings_, settings_.notifications.maildir))
                              .lexically_normal()
                              .string());
    }
    text += payments_line();
    text += "  Logs     standard error, here\n\nCtrl-C stops it gracefully.\n\n";
    return text;
  }

  /// Nothing where orders are on account. A provider on this machine is a simulator with a page of its own.
  std::string payments_line() const {
    const orders::payments::Settings& payments = settings_.payments;
    if (payments.provider != orders::payments::ProviderKind::stripe) return {};
    const std::string& provider = payments.stripe.url;
    if (!provider.starts_with("http://")) return fmt::format("  Payments {}\n", provider);
    return fmt::format(
        "  Payments {}/ shows what was charged. To see a card declined, order with\n"
        "           \"paymentMethod\": \"pm_card_chargeDeclined\". What became of your orders:\n"
        "           curl -s {}/v1/orders -H \"Authorization: Bearer $KEY\"\n",
        provider, url());
  }

  const Invocation& invocation_;
  const orders::Settings& settings_;
  const RunningOptions& options_;
  runtime::Runtime& runtime_;
  const observe::Logger logger_;
  orders::OrderSystem system_;
  std::string sample_sku_ = "YOUR-SKU";  // what the banner orders
};

}  // namespace

ExitCode run_order_system(const Invocation& invocation, const LoadedSettings& settings,
                          const RunningOptions& options) {
  runtime::ShutdownSignals::block();
  require_data_folder(*settings);
  observe::Log log(orders::log_options(settings->log), invocation.clock);
  observe::Metrics metrics;
  const auto process = observe::observe_process(metrics);
  const observe::Logger stalls = log.logger("runtime");
  runtime::Runtime runtime({.loops = settings->runtime.loops,
                            .on_stall =
                                [&stalls](const std::string& where) {
                                  stalls.warn("a loop stalled", {{"where", where}});
                                }},
                           invocation.clock, invocation.random);
  ExitCode code = ExitCode::failed;
  runtime.run([&](const Context& ctx) {
    code = Running(invocation, settings, options, runtime, log, metrics).run(ctx);
  });
  return code;
}

}  // namespace holdfast::cli
