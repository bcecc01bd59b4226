// `holdfast replay`: its options. What it does: cli/replay/replay.hpp.
#include "cli/replay/replay.hpp"

#include <CLI/CLI.hpp>

#include "cli/commands/commands.hpp"
#include "holdfast/base/error.hpp"
#include "holdfast/base/money.hpp"
#include "holdfast/config/units.hpp"

namespace holdfast::cli {

namespace {

constexpr const char* kFooter =
    "The file holds invoice lines. They are grouped by invoice; each becomes an order, with the invoice "
    "number as\n"
    "idempotency key; an invoice C… that names all of an earlier order of the same customer becomes its\n"
    "cancellation. What can't be sent is left out, with the reason. Interrupt it and run it again as you "
    "like: the\n"
    "end state is the same (for as long as the server remembers keys; with --state, for ever).\n"
    "At the end everything is read back through the API and checked; exit code 0 says that all of it held.\n"
    "\n"
    "Examples:\n"
    "  holdfast replay online_retail.csv --preset uci-online-retail --api-key \"$(holdfast keys create "
    "--scope admin | tail -n 1)\"\n"
    "  holdfast replay sales.csv --map sku=Article --map price=Amount --limit 100 --url http://shop:8080 "
    "--state sales.state\n";

struct Raw {
  ReplayOptions options;
  std::string preset;
  std::vector<std::string> columns;
  std::string receipts_timeout = "60s";
  std::string patience = "2m";
  bool no_import = false;
  bool no_reconcile = false;
};

Duration duration_of(const char* option, const std::string& text) {
  const auto duration = config::parse_duration(text);
  if (!duration) {
    throw Error(ErrorCode::invalid_argument,
                std::string(option) + " takes a duration such as 60s; \"" + text + "\" is none.")
        .reason("usage");
  }
  return *duration;
}

ReplayOptions options_of(const Invocation& invocation, const Raw& raw) {
  ReplayOptions options = raw.options;
  if (!raw.preset.empty()) options.mapping = ColumnMapping::preset(raw.preset);
  for (const std::string& column : raw.columns) options.mapping.map(column);
  options.receipts_timeout = duration_of("--receipts-timeout", raw.receipts_timeout);
  options.patience = duration_of("--patience", raw.patience);
  options.import_products = !raw.no_import;
  options.reconcile = !raw.no_reconcile;
  if (options.api_key.empty()) options.api_key = invocation.environment("HOLDFAST_API_KEY");
  if (options.api_key.empty()) {
    throw Error(ErrorCode::invalid_argument,
                "An API key is needed: --api-key or HOLDFAST_API_KEY. `holdfast keys create --scope admin` "
                "makes one.")
        .reason("usage");
  }
  if (!Currency::parse(options.currency)) {
    throw Error(ErrorCode::invalid_argument, "--currency takes an ISO 4217 code such as GBP.")
        .reason("usage");
  }
  return options;
}

void add_sending_options(CLI::App& command, Raw& raw) {
  command.add_option("--url", raw.options.url, "the server")->capture_default_str()->type_name("URL");
  command.add_option("--api-key", raw.options.api_key, "a key of scope admin (HOLDFAST_API_KEY)")
      ->type_name("KEY");
  command.add_option("--clients", raw.options.clients, "requests in flight")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024).description(""))
      ->type_name("N");
  command.add_option("--rate", raw.options.orders_per_second, "at most so many orders a second")
      ->check(CLI::PositiveNumber.description(""))
      ->type_name("N");
  command.add_option("--limit", raw.options.limit, "only the first N orders by time")->type_name("N");
  command.add_option("--patience", raw.patience, "how long a request is tried again")
      ->capture_default_str()
      ->type_name("TIME");
  command.add_option("--state", raw.options.state_file, "remember here what was acknowledged")
      ->type_name("FILE");
}

}  // namespace

void add_replay(CLI::App& app, Invocation& invocation) {
  CLI::App* command =
      app.add_subcommand("replay", "Send a file of invoices through the API and check the outcome");
  command->footer(kFooter);
  auto raw = std::make_shared<Raw>();
  command->add_option("FILE", raw->options.file, "CSV with a line of column names")->required();
  command->add_option("--preset", raw->preset, "a known layout: uci-online-retail")->type_name("NAME");
  command
      ->add_option("--map", raw->columns,
                   "sku, name, price, invoice, quantity, date or customer is in that column")
      ->type_name("FIELD=COLUMN")
      ->allow_extra_args(false);
  add_sending_options(*command, *raw);
  command->add_flag("--no-import-products", raw->no_import, "the products are there already");
  command
      ->add_option("--stock", raw->options.stock,
                   "pieces of each new product; what the file needs unless set")
      ->check(CLI::Range(1, 1'000'000'000).description(""))
      ->type_name("N");
  command->add_option("--currency", raw->options.currency, "of the prices")
      ->capture_default_str()
      ->type_name("CODE");
  command
      ->add_option("--rejects", raw->options.rejects_file,
                   "write the lines left out here, with reasons, as CSV")
      ->type_name("FILE");
  command->add_option("--receipts-timeout", raw->receipts_timeout, "how long the last receipt may take")
      ->capture_default_str()
      ->type_name("TIME");
  command->add_flag("--no-reconcile", raw->no_reconcile, "send only, check nothing");
  add_output_option(*command, invocation);
  command->callback([&invocation, raw] {
    invocation.run = [&invocation, raw] { return run_replay(invocation, options_of(invocation, *raw)); };
  });
}

}  // namespace holdfast::cli
